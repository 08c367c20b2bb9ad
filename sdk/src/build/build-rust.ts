// Owns the way from a strategy in Rust to what the mesh loads: the generated manifest.rs, one run of cargo without network, what it said. A module gets the
// flags that let the host admit it (its memory, `__heap_base`, a small stack, SIMD as in AssemblyScript modules); a library those it is refused without.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import type { BuildTarget, StrategyManifest } from '../manifest/schema.js';
import type { Diagnostic } from './asc.js';
import { buildErrors } from './errors.js';
import { replaceFile } from './replace-file.js';
import { run } from './run-compiler.js';
import { rustManifestSource } from './rust-manifest.js';
import { findToolchain, type Toolchain } from './rust-toolchain.js';
import { closeImports } from './wasi.js';
import { withoutZeroing } from './zeroed-memory.js';

/** What a strategy in Rust is built to where strategy.yaml does not say. */
const TARGET_DEFAULT: BuildTarget = 'wasm32-unknown-unknown';
/** Of the module's own stack; arrays of a decision belong in scratch. */
const STACK_BYTES = 16_384;

/** Longest text shown of a failure that has no place in the source. */
const WORDS_MAX = 1000;

/** Features that old and new compilers are held to alike: newer ones turn on by themselves what admission refuses. */
const features = '+simd128,+nontrapping-fptoint,+bulk-memory,+sign-ext,-reference-types,-multivalue';

/** Each as an argument of the compiler. */
const asLinkArguments = (...given: readonly string[]): string[] => given.flatMap((each) => ['-C', `link-arg=${each}`]);

const moduleFlags: readonly string[] = [
	'-C',
	`target-feature=${features}`,
	...asLinkArguments('--import-memory', '--export=__heap_base', '--stack-first', `-zstack-size=${STACK_BYTES}`),
];

/** Tables of addresses that are read-only once it is loaded, no executable stack, nothing left undefined. */
const libraryFlags = asLinkArguments('-Wl,-z,relro,-z,now,-z,noexecstack,-z,defs', '-Wl,--build-id=none');

export interface BuiltCrate {
	/** A module, or a shared library. */
	readonly bytes: Uint8Array<ArrayBuffer>;
	readonly native: boolean;
	readonly diagnostics: readonly Diagnostic[];
}

function flagsFor(target: BuildTarget, { linker, triple, sysroot }: Toolchain, dir: string, debug: boolean): string[] {
	const own: string[] = [...linker];
	// A module keeps the names of its functions, by which traps and refusals are told.
	if (target !== 'native') own.push(...moduleFlags, ...(debug ? [] : asLinkArguments('--strip-debug')));
	else own.push(...libraryFlags, ...(debug ? [] : ['-C', 'strip=symbols']));
	// The functions of C (mathematics, above all) that the other module target has among its own.
	if (target === 'wasm32-wasip1')
		own.push(...asLinkArguments(`-L${path.join(sysroot, 'lib/rustlib', triple, 'lib/self-contained')}`, '-lc'));
	// Names in what is built are relative to the project: the same source gives the same bytes wherever it stands.
	return [...own, `--remap-path-prefix=${dir}=.`];
}

/** Compiles the crate of the project in `dir`. Throws IM_BUILD_COMPILER, IM_BUILD_COMPILE, IM_BUILD_IMPORT and IM_BUILD_TIMEOUT. */
export async function buildRust(dir: string, manifest: StrategyManifest, debug: boolean): Promise<BuiltCrate> {
	const target = manifest.target ?? TARGET_DEFAULT;
	const native = target === 'native';
	const entry = path.join(dir, manifest.source);
	replaceFile(path.join(path.dirname(entry), 'manifest.rs'), rustManifestSource(manifest));
	const crate = crateOf(dir, manifest);
	const toolchain = await findToolchain(dir, target);
	const folder = path.join(dir, 'build/cargo');
	const args = ['build', '--offline', '--lib', '--target', toolchain.triple, '--target-dir', folder];
	// A panic must be caught at the border of a library: what aborts would end a mesh that runs it inline.
	const panics = native ? ['release', 'dev'].flatMap((name) => ['--config', `profile.${name}.panic="unwind"`]) : [];
	const variables = [
		// With the compiler that was found, whichever comes first in PATH.
		`RUSTC=${toolchain.rustc}`,
		// For every crate, the SDK too: what is compiled without a feature is not inlined into what has it. Above RUSTFLAGS and Cargo's own files.
		`CARGO_ENCODED_RUSTFLAGS=${flagsFor(target, toolchain, dir, debug).join('\x1f')}`,
	];
	const options = ['--message-format', 'json', ...panics, ...(debug ? [] : ['--release'])];
	const said = await run('/usr/bin/env', [...variables, toolchain.cargo, ...args, ...options], crate);
	const messages = readMessages(said?.stdout ?? '', path.relative(dir, crate), native ? '.so' : '.wasm');
	if (said === undefined || said.code !== 0)
		throw failure(dir, manifest.source, said?.stderr ?? '', messages.diagnostics);
	if (messages.file === undefined)
		throw failure(dir, manifest.source, 'nothing was built: `crate-type = ["cdylib"]` belongs under [lib]', []);
	const bytes = Uint8Array.from(readFileSync(messages.file));
	return {
		bytes: native ? bytes : withoutZeroing(closeImports(bytes, entry)),
		native,
		diagnostics: messages.diagnostics,
	};
}

/** The folder with Cargo.toml: that of the project, or one nearer to the entry. */
function crateOf(dir: string, manifest: StrategyManifest): string {
	const entry = path.join(dir, manifest.source);
	for (let at = path.dirname(entry); ; at = path.dirname(at)) {
		if (existsSync(path.join(at, 'Cargo.toml'))) return at;
		if (at === dir || at === path.dirname(at)) break;
	}
	throw new MeshError(buildErrors, 'IM_BUILD_ENTRY', 'a strategy in Rust is a crate', {
		where: path.join(dir, 'Cargo.toml'),
		hint: 'write Cargo.toml beside strategy.yaml; `infermesh strategy new --template strategy-rust` shows one',
	});
}

interface CargoMessage {
	readonly reason?: string;
	readonly filenames?: readonly string[];
	readonly target?: { readonly kind?: readonly string[] };
	readonly message?: {
		readonly level?: string;
		readonly message?: string;
		readonly spans?: readonly {
			readonly file_name: string;
			readonly line_start: number;
			readonly column_start: number;
			readonly is_primary: boolean;
		}[];
	};
}

interface Messages {
	readonly file: string | undefined;
	readonly diagnostics: readonly Diagnostic[];
}

/** What was built, by how its name ends, and what the compiler found. A macro of a dependency is a library too, but of another kind. */
function readMessages(text: string, crate: string, suffix: string): Messages {
	let built: string | undefined;
	const diagnostics: Diagnostic[] = [];
	for (const line of text.split('\n')) {
		if (!line.startsWith('{')) continue;
		const { reason, filenames, message, target } = JSON.parse(line) as CargoMessage;
		if (reason === 'compiler-artifact' && target?.kind?.includes('cdylib') === true)
			built = filenames?.find((file) => file.endsWith(suffix)) ?? built;
		if (reason !== 'compiler-message' || (message?.level !== 'error' && message?.level !== 'warning')) continue;
		const span = message.spans?.find((each) => each.is_primary);
		// The compiler's own count of what it found, without a place.
		if (span === undefined && message.level === 'warning') continue;
		if (span === undefined && diagnostics.some(({ severity }) => severity === 'error')) continue;
		diagnostics.push({
			file: span === undefined ? '' : path.join(crate, span.file_name),
			line: span?.line_start ?? 0,
			column: span?.column_start ?? 0,
			code: 0,
			severity: message.level,
			message: message.message ?? '',
		});
	}
	return { file: built, diagnostics };
}

function failure(dir: string, source: string, text: string, diagnostics: readonly Diagnostic[]): MeshError {
	const errors = diagnostics.filter(({ severity }) => severity === 'error');
	const first = errors[0];
	const placed = errors.slice(1).map((each) => `${each.file}:${each.line}:${each.column}: ${each.message}`);
	const message = first === undefined ? ownWords(text) : [first.message, ...placed].join('\n  ');
	const place = first === undefined || first.line === 0 ? source : `${first.file}:${first.line}:${first.column}`;
	return new MeshError(buildErrors, 'IM_BUILD_COMPILE', message, {
		where: path.join(dir, place),
		details: { diagnostics },
	});
}

/** What cargo or the linker says for itself, from its first error on. */
function ownWords(text: string): string {
	const from = text.search(/^error/m);
	return text.slice(Math.max(0, from)).trim().slice(0, WORDS_MAX) || 'cargo failed';
}
