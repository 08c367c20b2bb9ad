// Owns the way from what an author names (a project folder, a `.wasm` or `.so`, a shipped strategy) to a module that can be instantiated here: found,
// built when it is a project, scanned and metered as at admission. Conformance and calibration are the check's, so that a strategy
// that fails them can still be run and looked into.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import {
	buildStrategy,
	type ConfigValues,
	didYouMean,
	encodeConfig,
	MANIFEST_FILE,
	readManifest,
	type StrategyManifest,
} from '@infermesh/sdk';
import { admitModule } from '../strategy/admission/admit.js';
import { wasmEngine } from '../strategy/admission/engine.js';
import type { AdmittedModule, Refusal } from '../strategy/admission/result.js';
import { mapTrap } from '../strategy/admission/trap.js';
import { checkLibrary } from '../strategy/native/check-library.js';
import { isLibrary, type NativeEngine, patientLimits } from '../strategy/native/code.js';
import { buildNativeEngine, builtNativeEngine } from '../strategy/native/engine.js';
import { libraryDigest, ownPlatform } from '../strategy/native/inspect-native.js';
import { askManifest } from '../strategy/native/manifest.js';
import { deciderDefaults } from '../strategy/runtime/decider.js';
import { MEMORY_PAGES_MIN, type StrategyModule } from '../strategy/runtime/instance.js';
import { projectErrors } from './errors.js';

export interface PrepareOptions {
	/** Folder of the shipped strategies. Default: `plugins/` of this installation. */
	readonly pluginsDir?: string;
}

/** Module bytes as an author built them, and where they came from. */
export interface StrategySource {
	/** What the author named. */
	readonly where: string;
	/** Project folder; undefined for a bare module. */
	readonly dir: string | undefined;
	readonly wasm: Uint8Array;
	readonly sourceMap: string | undefined;
}

export interface PreparedStrategy extends StrategySource {
	readonly manifest: StrategyManifest;
	/** With the manifest's default configuration. */
	readonly module: StrategyModule;
	/** Undefined for a native strategy: nothing of it is metered. */
	readonly admitted: AdmittedModule | undefined;
	/** The same module with other configuration values. Throws IM_MANIFEST_CONFIG. */
	withConfig(values: ConfigValues): StrategyModule;
	/** `file:line:column in function: message` of a trap, as far as known. */
	describeTrap(trap: unknown): string | undefined;
}

/** Largest file read as a module; admission's own bound is lower and says so with a report. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;
/** Memory the metered module accepts; an instance gets exactly what its pool needs. */
export const MEMORY_PAGES_MAX = 1024;

/** Folder of the shipped strategies of this installation. */
export const shippedDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..', 'plugins');

/** Finds, builds, scans and compiles. Throws `MeshError`: IM_PROJECT_*, IM_MANIFEST_*, IM_BUILD_*, IM_NATIVE_*. */
export async function prepareStrategy(where: string, options: PrepareOptions = {}): Promise<PreparedStrategy> {
	const source = await openStrategy(where, options);
	return isLibrary(source.wasm) ? prepareLibrary(source, await buildNativeEngine()) : prepareSource(source);
}

/** Reads a library as bytes, then asks it for its manifest in a sandbox. Throws its first problem. */
function prepareLibrary(source: StrategySource, engine: NativeEngine): PreparedStrategy {
	const [problem] = checkLibrary(source.wasm, ownPlatform).problems;
	if (problem !== undefined) throw problem;
	const digest = libraryDigest(source.wasm);
	const limits = patientLimits;
	const manifest = askManifest(source.wasm, digest, engine, limits);
	checkKind(manifest, source.where);
	const module: StrategyModule = {
		versionId: 1,
		label: `${manifest.name}@${manifest.version}`,
		digest,
		module: { native: 'process', library: source.wasm, engine, limits },
		manifest,
		heapBase: 0,
		config: encodeConfig(manifest),
	};
	return {
		...source,
		manifest,
		module,
		admitted: undefined,
		withConfig: (values) => ({ ...module, config: encodeConfig(manifest, values) }),
		describeTrap: (trap) => (trap instanceof Error ? trap.message : undefined),
	};
}

/** Scans, meters and compiles module bytes. Throws IM_MANIFEST_* and IM_PROJECT_REFUSED with the first refusal. */
export function prepareSource(source: StrategySource): PreparedStrategy {
	// Who calls this cannot wait for a compiler: what native strategies run on must stand.
	if (isLibrary(source.wasm)) return prepareLibrary(source, builtNativeEngine());
	const manifest = readManifest(source.wasm);
	checkKind(manifest, source.where);
	const admitted = admitModule(source.wasm, {
		memoryPages: MEMORY_PAGES_MIN,
		memoryPagesMax: MEMORY_PAGES_MAX,
		stackSlotsMax: deciderDefaults.fuel.stackSlotsMax,
		...(source.sourceMap === undefined ? {} : { sourceMap: source.sourceMap }),
	});
	if (!admitted.ok) throw refused(admitted.refusals, source.where);
	const module: StrategyModule = {
		versionId: 1,
		label: `${manifest.name}@${manifest.version}`,
		digest: admitted.digest,
		module: new wasmEngine.Module(admitted.wasm),
		manifest,
		heapBase: admitted.heapBase,
		config: encodeConfig(manifest),
	};
	return {
		...source,
		manifest,
		module,
		admitted,
		withConfig: (values) => ({ ...module, config: encodeConfig(manifest, values) }),
		describeTrap: (trap) => describeTrap(trap, admitted),
	};
}

function checkKind({ kind, name }: StrategyManifest, where: string): void {
	if (kind === 'inference') return;
	throw new MeshError(projectErrors, 'IM_PROJECT_KIND_UNSUPPORTED', `${name} is a ${kind} strategy`, { where });
}

/** Module bytes of a project folder (built now), a `.wasm` or a shipped strategy. Throws `MeshError`. */
export async function openStrategy(where: string, options: PrepareOptions = {}): Promise<StrategySource> {
	const stats = statSync(where, { throwIfNoEntry: false });
	if (stats?.isDirectory() === true) {
		const { wasm, sourceMap } = await buildStrategy(path.resolve(where));
		return { where, dir: path.resolve(where), wasm, sourceMap: sourceMap === '' ? undefined : sourceMap };
	}
	if (stats !== undefined) return readModuleFile(where, undefined);
	const plugins = options.pluginsDir ?? shippedDir;
	const dir = path.join(plugins, where);
	if (/^[a-z0-9_-]+$/.test(where) && existsSync(path.join(dir, MANIFEST_FILE))) return openShipped(where, dir);
	const known = shippedNames(plugins);
	const message = `there is no folder, file or shipped strategy \`${where}\`${didYouMean(where, known)}`;
	throw new MeshError(projectErrors, 'IM_PROJECT_NOT_FOUND', message, { where });
}

/** Names of the strategies that ship with the mesh, sorted. */
export function shippedNames(pluginsDir: string = shippedDir): string[] {
	if (!existsSync(pluginsDir)) return [];
	return readdirSync(pluginsDir)
		.filter((name) => existsSync(path.join(pluginsDir, name, MANIFEST_FILE)))
		.sort();
}

/** A shipped strategy is built with the mesh; a missing build is made now. */
async function openShipped(where: string, dir: string): Promise<StrategySource> {
	const file = path.join(dir, 'build', `${where}.wasm`);
	if (existsSync(file)) return { ...readModuleFile(file, dir), where };
	const { wasm, sourceMap } = await buildStrategy(dir);
	return { where, dir, wasm, sourceMap };
}

function readModuleFile(file: string, dir: string | undefined): StrategySource {
	try {
		const { size } = statSync(file);
		if (size > FILE_BYTES_MAX)
			throw new MeshError(projectErrors, 'IM_PROJECT_TOO_LARGE', `${size} bytes; the bound is ${FILE_BYTES_MAX}`, {
				where: file,
			});
		const map = `${file}.map`;
		const hasMap = (statSync(map, { throwIfNoEntry: false })?.size ?? Number.POSITIVE_INFINITY) <= FILE_BYTES_MAX;
		return { where: file, dir, wasm: readFileSync(file), sourceMap: hasMap ? readFileSync(map, 'utf8') : undefined };
	} catch (cause) {
		if (cause instanceof MeshError) throw cause;
		throw new MeshError(projectErrors, 'IM_PROJECT_UNREADABLE', undefined, { where: file, cause });
	}
}

function refused(refusals: readonly Refusal[], where: string): MeshError {
	const [first, ...rest] = refusals;
	const more = rest.length === 0 ? '' : ` (and ${rest.length} more)`;
	return new MeshError(projectErrors, 'IM_PROJECT_REFUSED', `${first?.code ?? ''}: ${first?.what ?? ''}${more}`, {
		where: placeOf(first) ?? where,
		details: { refusals: refusals.map(({ code, what, hint, where: place }) => ({ code, what, hint, where: place })) },
		...(first === undefined ? {} : { hint: first.hint }),
	});
}

function placeOf(refusal: Refusal | undefined): string | undefined {
	const place = refusal?.where;
	if (place?.source !== undefined) return `${place.source}:${place.line ?? 0}:${place.column ?? 0}`;
	return place === undefined
		? undefined
		: [place.function, `byte ${place.offset}`].filter((part) => part !== undefined).join(', ');
}

function describeTrap(trap: unknown, admitted: AdmittedModule): string | undefined {
	if (!(trap instanceof Error)) return undefined;
	const place = mapTrap(trap, admitted);
	if (place === undefined) return trap.message;
	const at =
		place.source === undefined ? `byte ${place.offset}` : `${place.source}:${place.line ?? 0}:${place.column ?? 0}`;
	return `${at} in ${place.function}: ${trap.message}`;
}
