// Owns the way from a strategy project to a module: manifest, generated accessors, compiler, the rules of a strategy, manifest
// section, files. What a strategy may not do is refused here with the author's line; admission refuses it again from the bytes.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import { hooks as hookDefinitions } from '../../abi/hooks.js';
import { loadManifest, MANIFEST_FILE } from '../manifest/load.js';
import type { BuildTarget, StrategyManifest } from '../manifest/schema.js';
import { writeManifestSection } from '../manifest/section.js';
import { type Compilation, compile, type Diagnostic } from './asc.js';
import { buildC } from './build-c.js';
import { buildRust } from './build-rust.js';
import { buildErrors } from './errors.js';
import { allocations, type ModuleText, type Offence, readModuleText, signatureOf, startLines } from './inspect.js';
import { manifestSource } from './manifest-source.js';
import { replaceFile } from './replace-file.js';

export interface BuildOptions {
	/** Where the module goes; default `<dir>/build/<name>.wasm`, of a native strategy `.so`. The source map is written beside it. */
	readonly outFile?: string;
	/** Entry file, relative to the project, in place of the manifest's `source`: the same strategy in another language. */
	readonly source?: string;
	/** What a strategy in Rust is built to, in place of the manifest's `target`. */
	readonly target?: BuildTarget;
	/** Write nothing but the generated accessors. Default false. */
	readonly dryRun?: boolean;
	/** Build without optimisation, with every function kept. Default false. */
	readonly debug?: boolean;
}

export interface BuiltStrategy {
	/** The module, or the shared library of a native strategy. */
	readonly wasm: Uint8Array<ArrayBuffer>;
	/** JSON, with the sources inside; empty for languages whose compiler gives none. */
	readonly sourceMap: string;
	readonly manifest: StrategyManifest;
	/** Warnings; errors are thrown. */
	readonly diagnostics: readonly Diagnostic[];
	/** Undefined after a dry run. */
	readonly outFile: string | undefined;
}

/** The AssemblyScript SDK of this package, seen from sdk/dist/src/build/. */
export const sdkSourceDir = fileURLToPath(new URL('../../../assembly/', import.meta.url));

/** Where `import … from 'infermesh'` leads: the project's own copy in `sdk/` when it has one, else this package's. */
export function sdkDirOf(dir: string): string {
	const own = path.join(dir, 'sdk');
	return existsSync(path.join(own, 'index.ts')) ? own : sdkSourceDir;
}

function readText(file: string): string | undefined {
	try {
		return readFileSync(file, 'utf8');
	} catch {
		return undefined;
	}
}

/** One diagnostic a line. The place of the first is left out: it is the error's `where`, which is shown before its message. */
function format(dir: string, diagnostics: readonly Diagnostic[]): string {
	return diagnostics
		.map((found, index) => (found.line === 0 || index === 0 ? found.message : `${shown(dir, found)}: ${found.message}`))
		.join('\n  ');
}

function shown(dir: string, place: { readonly file: string; readonly line: number; readonly column: number }): string {
	const file = place.file.startsWith('~lib/') ? place.file : path.join(dir, place.file);
	return `${file}:${place.line}:${place.column}`;
}

class Builder {
	readonly #dir: string;
	readonly #manifest: StrategyManifest;
	readonly #sdk: string;

	readonly #name: string;

	/** `name` is the file name of the module without `.wasm`: its source map is called after it. */
	constructor(dir: string, manifest: StrategyManifest, name: string) {
		this.#dir = dir;
		this.#name = name;
		this.#manifest = manifest;
		this.#sdk = sdkDirOf(dir);
	}

	compile(optimize: boolean): Promise<Compilation> {
		return compile({
			entry: this.#manifest.source,
			name: this.#name,
			optimize,
			read: (file) => {
				const library = /(?:^|\/)node_modules\/infermesh\/(.+)$/.exec(file)?.[1];
				return readText(library === undefined ? path.resolve(this.#dir, file) : path.join(this.#sdk, library));
			},
		});
	}

	/** Throws what the author must correct. */
	async check(compiled: Compilation): Promise<void> {
		const errors = compiled.diagnostics.filter((found) => found.severity === 'error');
		if (compiled.wasm === undefined || compiled.text === undefined)
			throw this.#fail('IM_BUILD_COMPILE', format(this.#dir, errors), errors);
		const module = readModuleText(compiled.text);
		this.#checkImports(module);
		this.#checkHooks(module);
		const grows = [...module.functions.values()].some((entry) => entry.grows);
		if (!grows && module.start === undefined) return;
		const debug = readModuleText((await this.compile(false)).text ?? '');
		if (grows) throw this.#offence('IM_BUILD_ALLOCATES', allocations(debug), 'allocates here, through');
		throw this.#offence('IM_BUILD_START', startLines(debug), 'is computed when the module is loaded, by');
	}

	#checkImports(module: ModuleText): void {
		if (module.imports.length === 0) return;
		throw this.#fail('IM_BUILD_IMPORT', `it imports ${module.imports.join(', ')}`, []);
	}

	#checkHooks(module: ModuleText): void {
		const problems: string[] = [];
		for (const hook of hookDefinitions) {
			const exported = module.exports.get(hook.name);
			const declared = hook.name === 'init' || this.#manifest.hooks.some((name) => name === hook.name);
			const wanted = `(${hook.parameters.map(() => 'i32').join(', ')}) -> i32`;
			if (exported === undefined) {
				if (declared && hook.name !== 'init') problems.push(`\`${hook.name}\` is not exported`);
			} else if (!declared)
				problems.push(`\`${hook.name}\` is exported but not listed under \`hooks\` in ${MANIFEST_FILE}`);
			else if (signatureOf(module, exported) !== wanted) {
				const parameters = hook.parameters.map((name) => `${name}: ${name === 'frame' ? 'usize' : 'i32'}`).join(', ');
				problems.push(`\`${hook.name}\` must be \`export function ${hook.name}(${parameters}): i32\``);
			}
		}
		if (!module.exportsHeapBase)
			problems.push('`__heap_base` is not exported; call `begin(frame)` of the SDK in each hook');
		if (problems.length > 0) throw this.#fail('IM_BUILD_HOOKS', problems.join('; '), []);
	}

	#offence(code: keyof typeof buildErrors, offences: readonly Offence[], says: string): MeshError {
		const diagnostics = offences.map(
			(offence): Diagnostic => ({
				file: offence.file,
				line: offence.line,
				column: offence.column,
				code: 0,
				severity: 'error',
				message: `${says} ${offence.what}`,
			}),
		);
		return this.#fail(code, format(this.#dir, diagnostics) || buildErrors[code].summary, diagnostics);
	}

	#fail(code: keyof typeof buildErrors, message: string, diagnostics: readonly Diagnostic[]): MeshError {
		const first = diagnostics.find((found) => found.line > 0);
		const where = first === undefined ? path.join(this.#dir, this.#manifest.source) : shown(this.#dir, first);
		return new MeshError(buildErrors, code, message, { where, details: { diagnostics } });
	}
}

/**
 * Builds the strategy project in `dir`. Writes `manifest.ts` beside the entry file, the module and its source map.
 * @throws MeshError IM_MANIFEST_*, IM_BUILD_*; `details.diagnostics` holds every Diagnostic.
 */
export async function buildStrategy(dir: string, options: BuildOptions = {}): Promise<BuiltStrategy> {
	const { source, target } = options;
	const manifest = {
		...loadManifest(dir),
		...(source === undefined ? {} : { source }),
		...(target === undefined ? {} : { target }),
	};
	if (target !== undefined && !manifest.source.endsWith('.rs'))
		throw new MeshError(buildErrors, 'IM_BUILD_TARGET', `${manifest.source} is not in Rust`, { where: dir });
	const entry = path.join(dir, manifest.source);
	if (!existsSync(entry)) throw new MeshError(buildErrors, 'IM_BUILD_ENTRY', undefined, { where: entry });
	if (manifest.source.endsWith('.c')) return buildLibrary(dir, manifest, options);
	if (manifest.source.endsWith('.rs')) return buildCrate(dir, manifest, options);
	replaceFile(path.join(path.dirname(entry), 'manifest.ts'), manifestSource(manifest));
	const outFile = path.resolve(options.outFile ?? path.join(dir, 'build', `${manifest.name}.wasm`));
	const builder = new Builder(dir, manifest, path.basename(outFile, '.wasm'));
	const compiled = await builder.compile(options.debug !== true);
	await builder.check(compiled);
	const wasm = writeManifestSection(compiled.wasm ?? new Uint8Array(0), manifest);
	const sourceMap = compiled.sourceMap ?? '';
	if (options.dryRun !== true) {
		replaceFile(`${outFile}.map`, sourceMap);
		replaceFile(outFile, wasm);
	}
	const written = options.dryRun === true ? undefined : outFile;
	return { wasm, sourceMap, manifest, diagnostics: compiled.diagnostics, outFile: written };
}

async function buildLibrary(dir: string, manifest: StrategyManifest, options: BuildOptions): Promise<BuiltStrategy> {
	const { library, diagnostics } = await buildC(dir, manifest, options.debug === true);
	const outFile = path.resolve(options.outFile ?? path.join(dir, 'build', `${manifest.name}.so`));
	if (options.dryRun !== true) replaceFile(outFile, library);
	const written = options.dryRun === true ? undefined : outFile;
	return { wasm: library, sourceMap: '', manifest, diagnostics, outFile: written };
}

async function buildCrate(dir: string, manifest: StrategyManifest, options: BuildOptions): Promise<BuiltStrategy> {
	const { bytes, native, diagnostics } = await buildRust(dir, manifest, options.debug === true);
	const wasm = native ? bytes : writeManifestSection(bytes, manifest);
	const file = `${manifest.name}.${native ? 'so' : 'wasm'}`;
	const outFile = path.resolve(options.outFile ?? path.join(dir, 'build', file));
	if (options.dryRun !== true) replaceFile(outFile, wasm);
	const written = options.dryRun === true ? undefined : outFile;
	return { wasm, sourceMap: '', manifest, diagnostics, outFile: written };
}
