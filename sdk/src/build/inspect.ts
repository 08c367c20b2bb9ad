// Owns reading a compiled module's text form: exports, imports, start function, and who calls whom from which source line. Enough to
// tell an author where a strategy does what it must not; admission reads the binary and trusts nothing here.

export interface SourcePlace {
	readonly file: string;
	readonly line: number;
	readonly column: number;
}

interface Call {
	readonly callee: string;
	/** Nearest source place before the call; undefined in builds without debug information. */
	readonly place: SourcePlace | undefined;
}

interface FunctionText {
	readonly name: string;
	readonly signature: string;
	readonly calls: Call[];
	grows: boolean;
}

export interface ModuleText {
	readonly functions: ReadonlyMap<string, FunctionText>;
	/** Export name → function name. */
	readonly exports: ReadonlyMap<string, string>;
	/** `module.name` of each import but the memory. */
	readonly imports: readonly string[];
	readonly start: string | undefined;
	readonly exportsHeapBase: boolean;
}

const functionHead = /^ \(func \$(\S+)(.*)$/;
const sourcePlace = /;;@ (\S+):(\d+):(\d+)$/;
const callee = /\(call \$([^\s()]+)/;

/** Reads the text binaryen writes: one expression a line, functions indented by one space. */
export function readModuleText(text: string): ModuleText {
	const functions = new Map<string, FunctionText>();
	const exports = new Map<string, string>();
	const imports: string[] = [];
	let start: string | undefined;
	let current: FunctionText | undefined;
	let place: SourcePlace | undefined;
	for (const line of text.split('\n')) {
		const head = functionHead.exec(line);
		if (head !== null) {
			current = { name: head[1] ?? '', signature: (head[2] ?? '').trim(), calls: [], grows: false };
			functions.set(current.name, current);
			place = undefined;
			continue;
		}
		const found = sourcePlace.exec(line);
		if (found !== null) place = { file: found[1] ?? '', line: Number(found[2]), column: Number(found[3]) + 1 };
		const call = callee.exec(line);
		if (call !== null) current?.calls.push({ callee: call[1] ?? '', place });
		if (line.includes('(memory.grow') && current !== undefined) current.grows = true;
		if (current !== undefined) continue;
		const exported = /^ \(export "([^"]+)" \(func \$(\S+)\)\)/.exec(line);
		if (exported !== null) exports.set(exported[1] ?? '', exported[2] ?? '');
		const imported = /^ \(import "([^"]+)" "([^"]+)" \((\w+)/.exec(line);
		if (imported !== null && imported[3] !== 'memory') imports.push(`${imported[1]}.${imported[2]}`);
		const started = /^ \(start \$(\S+)\)/.exec(line);
		if (started !== null) start = started[1];
	}
	return { functions, exports, imports, start, exportsHeapBase: text.includes('(export "__heap_base" (global') };
}

/** The i32 parameters of a function and whether it returns an i32 and takes nothing else; undefined for an unknown function. */
export function signatureOf(module: ModuleText, name: string): string | undefined {
	const found = module.functions.get(name);
	if (found === undefined) return undefined;
	const parameters = [...found.signature.matchAll(/\(param (?:\$\S+ )?(\w+)\)/g)].map((match) => match[1]);
	const result = /\(result (\w+)\)/.exec(found.signature)?.[1] ?? 'void';
	return `(${parameters.join(', ')}) -> ${result}`;
}

function isLibrary(name: string): boolean {
	return name.startsWith('~lib/');
}

/** Functions from which a function that grows memory can be reached. */
function growers(module: ModuleText): Set<string> {
	const callers = new Map<string, string[]>();
	for (const { name, calls } of module.functions.values()) {
		for (const call of calls) {
			const known = callers.get(call.callee);
			if (known === undefined) callers.set(call.callee, [name]);
			else known.push(name);
		}
	}
	const reached = new Set<string>();
	const todo = [...module.functions.values()].filter((entry) => entry.grows).map((entry) => entry.name);
	for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
		if (reached.has(name)) continue;
		reached.add(name);
		todo.push(...(callers.get(name) ?? []));
	}
	return reached;
}

export interface Offence extends SourcePlace {
	readonly what: string;
}

/** Lines of the author's files that call something of the standard library that allocates. For debug builds. */
export function allocations(module: ModuleText): Offence[] {
	const growing = growers(module);
	const found = new Map<string, Offence>();
	for (const { name, calls } of module.functions.values()) {
		if (isLibrary(name)) continue;
		for (const { callee: target, place } of calls) {
			if (place === undefined || isLibrary(place.file) || !isLibrary(target) || !growing.has(target)) continue;
			const what = target.replace(/^~lib\/(?:rt\/\w+\/|rt\/)?/, '').replace(/^(?:\w+\/)+/, '');
			const key = `${place.file}:${place.line}`;
			if (!found.has(key)) found.set(key, { ...place, what });
		}
	}
	return [...found.values()];
}

/** Lines of top-level code that is not evaluated at build time. For debug builds. */
export function startLines(module: ModuleText): Offence[] {
	const found = new Map<string, Offence>();
	for (const { name, calls } of module.functions.values()) {
		if (!name.startsWith('start:') || name.startsWith('start:~lib/')) continue;
		for (const { callee: target, place } of calls) {
			if (place === undefined || target.startsWith('start:')) continue;
			found.set(`${place.file}:${place.line}`, { ...place, what: target.replace(/^.*\//, '') });
		}
	}
	return [...found.values()];
}
