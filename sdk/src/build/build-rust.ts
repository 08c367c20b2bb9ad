// Owns the way from a strategy in Rust to a WebAssembly module: the generated manifest.rs, the toolchain found, one run of cargo without network, what
// it said. The flags are those that make a module the host can admit: its memory, `__heap_base`, a small stack, SIMD as in AssemblyScript modules.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import type { StrategyManifest } from '../manifest/schema.js';
import type { Diagnostic } from './asc.js';
import { buildErrors } from './errors.js';
import { replaceFile } from './replace-file.js';
import { rustManifestSource } from './rust-manifest.js';

const TARGET = 'wasm32-unknown-unknown';
const TIMEOUT_MS = 300_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
/** Of the module's own stack; arrays of a decision belong in scratch. */
const STACK_BYTES = 16_384;

/** Features that old and new compilers are held to alike: newer ones turn on by themselves what admission refuses. */
const features = '+simd128,+nontrapping-fptoint,+bulk-memory,+sign-ext,-reference-types,-multivalue';
const linkArguments = [
	'--import-memory',
	'--export=__heap_base',
	'--stack-first',
	'-zstack-size='.concat(String(STACK_BYTES)),
];

export interface BuiltModule {
	readonly module: Uint8Array<ArrayBuffer>;
	readonly diagnostics: readonly Diagnostic[];
}

interface Toolchain {
	/** Arguments of the compiler that differ between toolchains. */
	readonly linker: readonly string[];
}

interface Said {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Resolves to what a program said; undefined when there is no such program. */
function run(file: string, args: readonly string[], cwd: string): Promise<Said | undefined> {
	return new Promise((resolve) => {
		const options = {
			cwd,
			timeout: TIMEOUT_MS,
			maxBuffer: OUTPUT_BYTES_MAX,
			encoding: 'utf8',
		} as const;
		execFile(file, [...args], options, (error, stdout, stderr) => {
			if (error?.code === 'ENOENT') resolve(undefined);
			else resolve({ code: error === null ? 0 : 1, stdout, stderr });
		});
	});
}

/** Debian's packages, or rustup's target. */
const hint =
	'Debian: apt-get install cargo rustc libstd-rust-dev-wasm32 lld; with rustup: rustup target add wasm32-unknown-unknown';

function missing(what: string, where: string): MeshError {
	return new MeshError(buildErrors, 'IM_BUILD_COMPILER', what, { where, hint });
}

/** Throws IM_BUILD_COMPILER, which says what is missing. */
async function findToolchain(dir: string): Promise<Toolchain> {
	const root = await run('rustc', ['--print', 'sysroot'], dir);
	if (root === undefined || root.code !== 0) throw missing('there is no Rust compiler `rustc`', dir);
	const libraries = path.join(root.stdout.trim(), 'lib/rustlib', TARGET, 'lib');
	if (!existsSync(libraries)) throw missing(`\`rustc\` has no libraries for ${TARGET}`, libraries);
	if ((await run('cargo', ['--version'], dir)) === undefined) throw missing('there is no `cargo`', dir);
	const version = (await run('rustc', ['-vV'], dir))?.stdout ?? '';
	const host = /^host: (.+)$/m.exec(version)?.[1] ?? '';
	// rustup brings the linker inside; Debian's compiler takes the one of its lld package.
	if (existsSync(path.join(root.stdout.trim(), 'lib/rustlib', host, 'bin/rust-lld'))) return { linker: [] };
	if ((await run('wasm-ld', ['--version'], dir)) === undefined) throw missing('there is no linker `wasm-ld`', dir);
	return { linker: ['-C', 'linker=wasm-ld'] };
}

/** Compiles the crate of the project in `dir`. Throws IM_BUILD_COMPILER and IM_BUILD_COMPILE. */
export async function buildRust(dir: string, manifest: StrategyManifest, debug: boolean): Promise<BuiltModule> {
	const entry = path.join(dir, manifest.source);
	replaceFile(path.join(path.dirname(entry), 'manifest.rs'), rustManifestSource(manifest));
	const crate = crateOf(dir, manifest);
	const toolchain = await findToolchain(dir);
	const flags = [
		...toolchain.linker,
		'-C',
		`target-feature=${features}`,
		...linkArguments.flatMap((argument) => ['-C', `link-arg=${argument}`]),
		// Names in what is built are relative to the project: the same source gives the same bytes wherever it stands.
		`--remap-path-prefix=${dir}=.`,
	];
	const folder = path.join(dir, 'build/cargo');
	const args = ['build', '--offline', '--lib', '--target', TARGET, '--target-dir', folder, '--message-format', 'json'];
	// Flags for every crate, the SDK too: what is compiled without a feature is not inlined into what has it.
	const config = ['--config', `target.${TARGET}.rustflags=${JSON.stringify(flags)}`];
	const said = await run('cargo', [...args, ...config, ...(debug ? [] : ['--release'])], crate);
	const messages = readMessages(said?.stdout ?? '', path.relative(dir, crate));
	if (said === undefined || said.code !== 0)
		throw failure(dir, manifest.source, said?.stderr ?? '', messages.diagnostics);
	if (messages.module === undefined)
		throw failure(dir, manifest.source, 'the crate gives no module: `crate-type = ["cdylib"]` belongs under [lib]', []);
	return { module: Uint8Array.from(readFileSync(messages.module)), diagnostics: messages.diagnostics };
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
		hint: 'write Cargo.toml beside strategy.yaml; `infermesh strategy new --template strategy-rust-wasm` shows one',
	});
}

interface CargoMessage {
	readonly reason?: string;
	readonly filenames?: readonly string[];
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

function readMessages(
	text: string,
	crate: string,
): { readonly module: string | undefined; readonly diagnostics: readonly Diagnostic[] } {
	let module: string | undefined;
	const diagnostics: Diagnostic[] = [];
	for (const line of text.split('\n')) {
		if (!line.startsWith('{')) continue;
		const { reason, filenames, message } = JSON.parse(line) as CargoMessage;
		if (reason === 'compiler-artifact') module = filenames?.find((file) => file.endsWith('.wasm')) ?? module;
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
	return { module, diagnostics };
}

function failure(dir: string, source: string, text: string, diagnostics: readonly Diagnostic[]): MeshError {
	const errors = diagnostics.filter(({ severity }) => severity === 'error');
	const first = errors[0];
	const placed = errors.slice(1).map((each) => `${each.file}:${each.line}:${each.column}: ${each.message}`);
	const message =
		first === undefined ? text.trim().slice(-500) || 'cargo failed' : [first.message, ...placed].join('\n  ');
	const place = first === undefined || first.line === 0 ? source : `${first.file}:${first.line}:${first.column}`;
	return new MeshError(buildErrors, 'IM_BUILD_COMPILE', message, {
		where: path.join(dir, place),
		details: { diagnostics },
	});
}
