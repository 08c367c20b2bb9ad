// Owns what becomes of a module's function imports. A strategy is given its memory and nothing else, so that the few functions of WASI that can be
// answered from the frame are put into the module itself, where they are metered, replayed and covered by the digest like the rest of it; any other import
// is refused by name. No call leaves the module, and none knows more than the frame: the clock is the request's, and there are no files, arguments or
// variables. Invariant: indices stay what they were, because the functions put in stand where the imports stood.
import { MeshError } from '@infermesh/proto';
import { HEADER_REQUEST_OFFSET_WORD, REQUEST_NOW_MS_WORD, SECTION_ALIGN_BYTES } from '../gen/abi.js';
import { decodeText, encodeU32, joinBytes, readU32, type Section, sections } from '../manifest/wasm-bytes.js';
import { buildErrors } from './errors.js';

const WASI = 'wasi_snapshot_preview1';

/** Error numbers of WASI: not a descriptor that is open, and a function that is not there. */
const BADF = 8;
const NOSYS = 52;

// Instructions used below.
const GET = 0x20;
const SET = 0x21;
const TEE = 0x22;
const GLOBAL = 0x23;
const LOAD32 = 0x28;
const STORE32 = 0x36;
const STORE64 = 0x37;
const I32 = 0x41;
const I64 = 0x42;
const EQZ = 0x45;
const GREATER_UNSIGNED = 0x4b;
const ADD = 0x6a;
const SUBTRACT = 0x6b;
const AND = 0x71;
const MULTIPLY64 = 0x7e;
const EXTEND = 0xad;
const BLOCK = [0x02, 0x40];
const LOOP = [0x03, 0x40];
const IF = [0x04, 0x40];
const BRANCH = 0x0c;
const BRANCH_IF = 0x0d;
const RETURN = 0x0f;
const UNREACHABLE = 0x00;
const END = 0x0b;
/** Alignment of 4 bytes, offset follows. */
const ALIGNED = 2;

/** Signed LEB128 of a number that is not negative. */
function positive(value: number): number[] {
	const bytes = encodeU32(value);
	return ((bytes.at(-1) ?? 0) & 0x40) === 0 ? bytes : [...bytes.slice(0, -1), (bytes.at(-1) ?? 0) | 0x80, 0];
}

const answer = (status: number): number[] => [I32, ...positive(status)];
const storeZero = (parameter: number): number[] => [GET, parameter, I32, 0, STORE32, ALIGNED, 0];

/** (descriptor, vectors, count, written): says that all of it was written, and drops it. */
const fdWrite: readonly number[] = [
	[GET, 0, I32, 1, SUBTRACT, I32, 1, GREATER_UNSIGNED, ...IF, ...answer(BADF), RETURN, END],
	[...BLOCK, ...LOOP, GET, 2, EQZ, BRANCH_IF, 1],
	[GET, 4, GET, 1, LOAD32, ALIGNED, 4, ADD, SET, 4],
	[GET, 1, I32, 8, ADD, SET, 1, GET, 2, I32, 1, SUBTRACT, SET, 2, BRANCH, 0, END, END],
	[GET, 3, GET, 4, STORE32, ALIGNED, 0, ...answer(0)],
].flat();

const requestOffset = encodeU32(HEADER_REQUEST_OFFSET_WORD * 4);

/** (clock, precision, time): whichever clock is asked, that of the request, in nanoseconds. Local 3 is the frame, then the request block. */
const clockTime = (heapBase: number): readonly number[] =>
	[
		[GLOBAL, ...encodeU32(heapBase), I32, ...positive(SECTION_ALIGN_BYTES - 1), ADD],
		// −64: the low bits off.
		[I32, 0x40, AND, TEE, 3, LOAD32, ALIGNED, ...requestOffset, EQZ],
		[...IF, ...answer(NOSYS), RETURN, END],
		[GET, 3, GET, 3, LOAD32, ALIGNED, ...requestOffset, ADD, SET, 3],
		[GET, 2, GET, 3, LOAD32, ALIGNED, ...encodeU32(REQUEST_NOW_MS_WORD * 4), EXTEND],
		[I64, ...positive(1_000_000), MULTIPLY64, STORE64, ALIGNED, 0, ...answer(0)],
	].flat();

interface Given {
	/** Locals beyond the parameters, all i32. */
	readonly locals: number;
	readonly code: (heapBase: number) => readonly number[];
}

const always = (...code: readonly number[]): Given => ({ locals: 0, code: () => code });
const noFile = always(...answer(BADF));
const nothing = always(...answer(0));
const sizesOfNothing = always(...storeZero(0), ...storeZero(1), ...answer(0));

/** What a strategy is given of WASI. */
const given: Readonly<Record<string, Given>> = {
	args_get: nothing,
	args_sizes_get: sizesOfNothing,
	clock_time_get: { locals: 1, code: clockTime },
	environ_get: nothing,
	environ_sizes_get: sizesOfNothing,
	fd_close: noFile,
	fd_fdstat_get: noFile,
	fd_prestat_dir_name: noFile,
	fd_prestat_get: noFile,
	fd_seek: noFile,
	fd_write: { locals: 1, code: () => fdWrite },
	proc_exit: always(UNREACHABLE),
	sched_yield: nothing,
};

/** The names, for the documentation and its test. */
export const givenWasi: readonly string[] = Object.keys(given);

/** What an author can do instead, by how the name of a refused import begins. */
const insteadOf: ReadonlyArray<readonly [start: string, hint: string]> = [
	[`${WASI}.random_get`, 'chance is `frame.random`, from the request; give hash maps a hasher with a constant key'],
	[`${WASI}.poll_`, 'a strategy does not wait'],
	[`${WASI}.path_`, 'a strategy reaches no files'],
	[`${WASI}.fd_`, 'a strategy reaches no files; text for people is `frame.log`'],
	[`${WASI}.sock_`, 'a strategy reaches no network'],
	[`${WASI}.`, `of WASI a strategy is given ${Object.keys(given).join(', ')}`],
	['env.', 'nothing the crate is linked with defines it: add what does, or write it in Rust'],
];

interface Import {
	readonly module: string;
	readonly name: string;
	readonly kind: number;
	/** Of a function: its type. */
	readonly type: number;
	readonly start: number;
	readonly end: number;
}

const FUNCTION = 0;
const TABLE = 1;
const MEMORY = 2;

function importsOf(wasm: Uint8Array, section: Section): Import[] {
	const count = readU32(wasm, section.body, section.end);
	let at = count.next;
	const number = (): number => {
		const { value, next } = readU32(wasm, at, section.end);
		at = next;
		return value;
	};
	const text = (): string => {
		const length = number();
		const from = at;
		at += length;
		return decodeText(wasm.subarray(from, at), from);
	};
	const limits = (): void => {
		const flags = number();
		number();
		if ((flags & 1) !== 0) number();
	};
	return Array.from({ length: count.value }, () => {
		const start = at;
		const [module, name] = [text(), text()];
		const kind = wasm[at++] ?? 0;
		let type = 0;
		if (kind === FUNCTION) type = number();
		else if (kind === MEMORY) limits();
		else if (kind === TABLE) {
			at++;
			limits();
		} else at += 2;
		return { module, name, kind, type, start, end: at };
	});
}

/** Index of the exported global that says where the frame begins; undefined where it is not exported. */
function heapBaseIndex(wasm: Uint8Array, section: Section | undefined): number | undefined {
	if (section === undefined) return undefined;
	const count = readU32(wasm, section.body, section.end);
	let at = count.next;
	for (let i = 0; i < count.value; i++) {
		const length = readU32(wasm, at, section.end);
		const name = decodeText(wasm.subarray(length.next, length.next + length.value), at);
		const kind = length.next + length.value;
		const index = readU32(wasm, kind + 1, section.end);
		if (name === '__heap_base' && wasm[kind] === 3) return index.value;
		at = index.next;
	}
	return undefined;
}

function sectionOf(id: number, ...parts: readonly Uint8Array[]): Uint8Array {
	const contents = joinBytes(parts);
	return joinBytes([Uint8Array.from([id, ...encodeU32(contents.length)]), contents]);
}

/** A section's vector with `added` elements in front of those it has. */
function prepended(wasm: Uint8Array, section: Section, count: number, added: Uint8Array): Uint8Array {
	const had = readU32(wasm, section.body, section.end);
	const head = Uint8Array.from(encodeU32(had.value + count));
	return sectionOf(wasm[section.start] ?? 0, head, added, wasm.subarray(had.next, section.end));
}

function bodyOf({ locals, code }: Given, heapBase: number): Uint8Array {
	const declared = locals === 0 ? [0] : [1, ...encodeU32(locals), 0x7f];
	const body = [...declared, ...code(heapBase), END];
	return Uint8Array.from([...encodeU32(body.length), ...body]);
}

/**
 * The module with its imports of WASI put into it; the same bytes where it imports no function. `where` is what a refusal names.
 * @throws MeshError IM_BUILD_IMPORT with every import that is not given.
 */
export function closeImports(wasm: Uint8Array<ArrayBuffer>, where: string): Uint8Array<ArrayBuffer> {
	const all = [...sections(wasm)];
	const byId = (id: number): Section | undefined => all.find((section) => section.id === id);
	const importSection = byId(2);
	const imports = importSection === undefined ? [] : importsOf(wasm, importSection);
	const functions = imports.filter(({ kind }) => kind === FUNCTION);
	if (functions.length === 0) return wasm;
	const heapBase = heapBaseIndex(wasm, byId(7)) ?? 0;
	const bodies: Uint8Array[] = [];
	const refused: string[] = [];
	for (const { module, name } of functions) {
		const answered = module === WASI && Object.hasOwn(given, name) ? given[name] : undefined;
		if (answered === undefined) refused.push(`${module}.${name}`);
		else bodies.push(bodyOf(answered, heapBase));
	}
	if (refused.length > 0) throw refusal(refused, where);
	const types = Uint8Array.from(functions.flatMap(({ type }) => encodeU32(type)));
	const kept = imports.filter(({ kind }) => kind !== FUNCTION);
	const parts: Uint8Array[] = [wasm.subarray(0, 8)];
	for (const section of all) {
		if (section.id === 2) {
			const entries = kept.map(({ start, end }) => wasm.subarray(start, end));
			parts.push(sectionOf(2, Uint8Array.from(encodeU32(kept.length)), ...entries));
		} else if (section.id === 3) parts.push(prepended(wasm, section, bodies.length, types));
		else if (section.id === 10) parts.push(prepended(wasm, section, bodies.length, joinBytes(bodies)));
		else parts.push(wasm.subarray(section.start, section.end));
	}
	return joinBytes(parts);
}

function refusal(refused: readonly string[], where: string): MeshError {
	const hints = new Set(
		refused
			.map((name) => insteadOf.find(([start]) => name.startsWith(start))?.[1])
			.filter((hint) => hint !== undefined),
	);
	return new MeshError(buildErrors, 'IM_BUILD_IMPORT', `it imports ${refused.join(', ')}`, {
		where,
		...(hints.size === 0 ? {} : { hint: [...hints].join('; ') }),
	});
}
