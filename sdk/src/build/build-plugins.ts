// Owns building the strategies that ship with the mesh: every project in plugins/, rebuilt only when its sources, the SDK, the
// builder or the compiler have changed. Run as a script, it builds those of this repository.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MeshError } from '@infermesh/proto';
import { loadManifest, MANIFEST_FILE } from '../manifest/load.js';
import { buildStrategy, sdkDirOf } from './build-strategy.js';

export interface PluginBuild {
	readonly name: string;
	readonly wasmFile: string;
	/** False when what was there is up to date. */
	readonly built: boolean;
	readonly durationMs: number;
}

/** The repository root, seen from sdk/dist/src/build/. */
const repositoryRoot = fileURLToPath(new URL('../../../../', import.meta.url));
/** The compiled builder: its own code is an input of what it builds. */
const builderDir = fileURLToPath(new URL('../', import.meta.url));

function filesUnder(dir: string, extension: string): string[] {
	if (!existsSync(dir)) return [];
	return readdirSync(dir, { recursive: true, encoding: 'utf8' })
		.filter((file) => file.endsWith(extension) && !file.endsWith(`.test${extension}`))
		.sort()
		.map((file) => path.join(dir, file));
}

function compilerVersion(): string {
	const file = fileURLToPath(import.meta.resolve('assemblyscript/package.json'));
	return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Digest of everything a build of `dir` depends on; the generated accessors follow from the manifest and are left out. */
function inputDigest(dir: string): string {
	const generated = path.join(dir, path.dirname(loadManifest(dir).source), 'manifest.ts');
	const inputs = [
		path.join(dir, MANIFEST_FILE),
		...filesUnder(path.join(dir, 'assembly'), '.ts').filter((file) => file !== generated),
		...filesUnder(sdkDirOf(dir), '.ts'),
		...filesUnder(path.join(builderDir, 'build'), '.js'),
		...filesUnder(path.join(builderDir, 'manifest'), '.js'),
	];
	const hash = createHash('sha256').update(compilerVersion());
	for (const file of inputs) hash.update(`\n${path.basename(file)}\n`).update(readFileSync(file));
	return hash.digest('hex');
}

async function buildPlugin(dir: string, clockMs: () => number): Promise<PluginBuild> {
	const startedMs = clockMs();
	const { name } = loadManifest(dir);
	const wasmFile = path.join(dir, 'build', `${name}.wasm`);
	const stampFile = path.join(dir, 'build', `${name}.inputs`);
	const digest = inputDigest(dir);
	const fresh = existsSync(wasmFile) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === digest;
	if (!fresh) {
		await buildStrategy(dir);
		mkdirSync(path.dirname(stampFile), { recursive: true });
		writeFileSync(stampFile, digest);
	}
	return { name, wasmFile, built: !fresh, durationMs: clockMs() - startedMs };
}

/** Folders of shipped strategies under `root`, sorted by name. */
export function pluginDirs(root: string): string[] {
	const plugins = path.join(root, 'plugins');
	return readdirSync(plugins)
		.sort()
		.map((name) => path.join(plugins, name))
		.filter((dir) => existsSync(path.join(dir, MANIFEST_FILE)));
}

/**
 * Builds every strategy in `<root>/plugins`; results are `plugins/<name>/build/<name>.wasm`.
 * @throws MeshError IM_MANIFEST_*, IM_BUILD_* for the first that does not build.
 */
export async function buildPlugins(root: string, clockMs: () => number = () => 0): Promise<PluginBuild[]> {
	const builds: PluginBuild[] = [];
	for (const dir of pluginDirs(root)) builds.push(await buildPlugin(dir, clockMs));
	return builds;
}

async function main(): Promise<void> {
	try {
		for (const build of await buildPlugins(repositoryRoot, () => performance.now()))
			if (build.built) process.stdout.write(`built ${build.name} in ${Math.round(build.durationMs)} ms\n`);
	} catch (error) {
		if (!(error instanceof MeshError)) throw error;
		process.stderr.write(`${error.format()}\n`);
		process.exitCode = 1;
	}
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
