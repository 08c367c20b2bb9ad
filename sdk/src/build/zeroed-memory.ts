// Owns a start function that strategies do not need. A linker that imports its memory does not know that the memory is new, and lets the module zero its
// own variables when it is loaded; a host's memory is new for each instance, and admission accepts no code that runs at load. Invariant: only a function
// that does nothing but write zeros is taken away from the start; any other stays, and is refused with the rest of the rules.
import { joinBytes, readU32, type Section, sections } from '../manifest/wasm-bytes.js';

const START = 8;
const CODE = 10;
const I32 = 0x41;
const END = 0x0b;
const MEMORY_FILL = [0xfc, 0x0b, 0x00] as const;

/** First byte behind a constant, which a signed number of at most five bytes follows. */
function afterConstant(wasm: Uint8Array, at: number): number | undefined {
	if (wasm[at] !== I32) return undefined;
	let end = at + 1;
	while (((wasm[end] ?? 0) & 0x80) !== 0 && end < at + 6) end++;
	return end + 1;
}

/** Whether the body at `at` is nothing but fills of memory with zeros. */
function onlyZeroes(wasm: Uint8Array, at: number, end: number): boolean {
	if (wasm[at] !== 0) return false;
	let next = at + 1;
	while (next < end - 1) {
		const value = afterConstant(wasm, next);
		if (value === undefined || wasm[value] !== I32 || wasm[value + 1] !== 0) return false;
		const fill = afterConstant(wasm, value + 2);
		if (fill === undefined || MEMORY_FILL.some((byte, index) => wasm[fill + index] !== byte)) return false;
		next = fill + MEMORY_FILL.length;
	}
	return wasm[next] === END;
}

/** The body of function `index` in a module that imports none. */
function bodyOf(wasm: Uint8Array, code: Section, index: number): readonly [at: number, end: number] {
	let { next } = readU32(wasm, code.body, code.end);
	for (let skipped = 0; ; skipped++) {
		const size = readU32(wasm, next, code.end);
		if (skipped === index) return [size.next, size.next + size.value];
		next = size.next + size.value;
	}
}

/** The module, which imports no function, without a start that only zeroes memory; else the same bytes. */
export function withoutZeroing(wasm: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
	const all = [...sections(wasm)];
	const start = all.find(({ id }) => id === START);
	const code = all.find(({ id }) => id === CODE);
	if (start === undefined || code === undefined) return wasm;
	const [at, end] = bodyOf(wasm, code, readU32(wasm, start.body, start.end).value);
	return onlyZeroes(wasm, at, end) ? joinBytes([wasm.subarray(0, start.start), wasm.subarray(start.end)]) : wasm;
}
