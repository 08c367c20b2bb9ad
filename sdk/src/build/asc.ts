// Owns running the AssemblyScript compiler in this process, in memory: files in, bytes and diagnostics out. It knows nothing of
// strategies. The compiler keeps process-wide settings, so runs take turns; it is loaded on first use (about 0.3 s).

export interface Diagnostic {
	/** As the compiler names it: relative to the project, or `~lib/…`. */
	readonly file: string;
	/** From 1; 0 when the diagnostic has no place. */
	readonly line: number;
	readonly column: number;
	readonly code: number;
	readonly severity: 'error' | 'warning' | 'info';
	readonly message: string;
}

export interface Compilation {
	/** Undefined when there were errors. */
	readonly wasm: Uint8Array | undefined;
	readonly sourceMap: string | undefined;
	/** The module as text, with function names. */
	readonly text: string | undefined;
	readonly diagnostics: readonly Diagnostic[];
}

export interface CompileOptions {
	readonly entry: string;
	/** Name of the module; the source map is called `<name>.wasm.map`. */
	readonly name: string;
	readonly optimize: boolean;
	/** Text of a file, or undefined; paths are relative to the project, of libraries `node_modules/<package>/<file>`. */
	readonly read: (file: string) => string | undefined;
}

interface AscRange {
	readonly start: number;
	readonly source: { readonly normalizedPath: string } | null;
}

interface AscDiagnostic {
	readonly message: string;
	readonly code: number;
	readonly category: number;
	readonly range: AscRange | null;
}

interface BinaryenModule {
	/** 0 when there is no such global. */
	getGlobal(name: string): number;
	addGlobalExport(internalName: string, externalName: string): void;
}

interface Asc {
	readonly version: string;
	main(
		argv: string[],
		api: {
			readFile(file: string): string | null;
			writeFile(file: string, contents: string | Uint8Array): void;
			listFiles(): string[];
			reportDiagnostic(diagnostic: AscDiagnostic): void;
			readonly transforms: readonly object[];
		},
	): Promise<{ readonly error: Error | null }>;
}

/** The compiler's own name of the end of static data; it exists when the source mentions it, as the SDK does. */
const HEAP_BASE = '~lib/memory/__heap_base';

const severities = ['info', 'info', 'warning', 'error'] as const;

let loading: Promise<Asc> | undefined;

/** The specifier is a variable because the package's types declare globals that do not belong in this program. */
function loadAsc(): Promise<Asc> {
	const specifier: string = 'assemblyscript/asc';
	loading ??= import(specifier) as Promise<Asc>;
	return loading;
}

export async function compilerVersion(): Promise<string> {
	return (await loadAsc()).version;
}

function flags(options: CompileOptions): string[] {
	return [
		options.entry,
		'--outFile',
		`${options.name}.wasm`,
		'--textFile',
		`${options.name}.wast`,
		'--sourceMap',
		`./${options.name}.wasm.map`,
		'--runtime',
		'stub',
		'--use',
		'abort=',
		'--importMemory',
		'--noExportMemory',
		'--enable',
		'simd',
		'--optimizeLevel',
		options.optimize ? '3' : '0',
		'--shrinkLevel',
		'0',
		...(options.optimize ? [] : ['--debug']),
		'--noColors',
		'--baseDir',
		'.',
	];
}

function place(text: string | undefined, offset: number): { line: number; column: number } {
	if (text === undefined) return { line: 0, column: 0 };
	const before = text.slice(0, offset);
	const lineStart = before.lastIndexOf('\n') + 1;
	return { line: before.split('\n').length, column: offset - lineStart + 1 };
}

async function run(options: CompileOptions): Promise<Compilation> {
	const asc = await loadAsc();
	const written = new Map<string, string | Uint8Array>();
	const read = new Map<string, string>();
	const diagnostics: Diagnostic[] = [];
	const result = await asc.main(flags(options), {
		readFile(file) {
			const text = options.read(file);
			if (text !== undefined) read.set(file.replace(/^.*node_modules\//, '~lib/'), text);
			return text ?? null;
		},
		writeFile: (file, contents) => void written.set(file, contents),
		listFiles: () => [],
		reportDiagnostic(found) {
			const file = found.range?.source?.normalizedPath ?? '';
			diagnostics.push({
				file,
				...place(read.get(file), found.range?.start ?? 0),
				code: found.code,
				severity: severities[found.category] ?? 'error',
				message: found.message,
			});
		},
		transforms: [
			{
				afterCompile(module: BinaryenModule) {
					if (module.getGlobal(HEAP_BASE) !== 0) module.addGlobalExport(HEAP_BASE, '__heap_base');
				},
			},
		],
	});
	if (result.error !== null) {
		if (!diagnostics.some((found) => found.severity === 'error'))
			diagnostics.push({ file: '', line: 0, column: 0, code: 0, severity: 'error', message: result.error.message });
		return { wasm: undefined, sourceMap: undefined, text: undefined, diagnostics };
	}
	return {
		wasm: written.get(`${options.name}.wasm`) as Uint8Array | undefined,
		sourceMap: written.get(`${options.name}.wasm.map`) as string | undefined,
		text: written.get(`${options.name}.wast`) as string | undefined,
		diagnostics,
	};
}

let last: Promise<unknown> = Promise.resolve();

/** Compiles one module. Never throws for mistakes in the source: they are diagnostics. */
export function compile(options: CompileOptions): Promise<Compilation> {
	const mine = last.then(() => run(options));
	last = mine.catch(() => undefined);
	return mine;
}
