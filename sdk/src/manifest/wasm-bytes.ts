// Owns the outermost layer of a WebAssembly module: numbers and sections, from bytes that may be hostile. Every count is checked against what is left
// before it is used; what stands inside a section is its reader's.
import { MeshError } from '@infermesh/proto';
import { manifestErrors } from './errors.js';

/** Most sections of a module; a real one has about fifteen. */
const SECTIONS_MAX = 256;

export interface Section {
	readonly id: number;
	/** Offset of the section's first byte (its id) and of the byte after its last. */
	readonly start: number;
	readonly end: number;
	/** Custom sections only. */
	readonly name: string | undefined;
	/** First byte of the contents, behind the name of a custom section. */
	readonly body: number;
}

/** IM_MANIFEST_CORRUPT at a byte of the module. */
export function corrupt(message: string, offset: number): MeshError {
	return new MeshError(manifestErrors, 'IM_MANIFEST_CORRUPT', message, { where: `byte ${offset}` });
}

const text = new TextDecoder('utf-8', { fatal: true });

/** Throws IM_MANIFEST_CORRUPT where the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array, offset: number): string {
	try {
		return text.decode(bytes);
	} catch (cause) {
		throw new MeshError(manifestErrors, 'IM_MANIFEST_CORRUPT', 'text is not UTF-8', { where: `byte ${offset}`, cause });
	}
}

/** Reads an unsigned LEB128 of at most five bytes. Throws IM_MANIFEST_CORRUPT. */
export function readU32(bytes: Uint8Array, start: number, end: number): { value: number; next: number } {
	let value = 0;
	for (let index = 0; index < 5; index++) {
		const byte = start + index < end ? bytes[start + index] : undefined;
		if (byte === undefined) throw corrupt('the module ends in the middle of a number', start + index);
		value += (byte & 0x7f) * 2 ** (7 * index);
		if ((byte & 0x80) !== 0) continue;
		if (value > 0xffffffff) break;
		return { value, next: start + index + 1 };
	}
	throw corrupt('a number has more than 32 bits', start);
}

/** Sections in order. Throws IM_MANIFEST_NOT_WASM and IM_MANIFEST_CORRUPT. */
export function* sections(wasm: Uint8Array): Generator<Section> {
	const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
	if (wasm.length < magic.length || magic.some((byte, index) => wasm[index] !== byte))
		throw new MeshError(manifestErrors, 'IM_MANIFEST_NOT_WASM');
	let at = magic.length;
	for (let count = 0; at < wasm.length; count++) {
		if (count >= SECTIONS_MAX) throw corrupt(`more than ${SECTIONS_MAX} sections`, at);
		const id = wasm[at] ?? 0;
		const size = readU32(wasm, at + 1, wasm.length);
		const end = size.next + size.value;
		if (end > wasm.length) throw corrupt('a section reaches beyond the module', at);
		if (id === 0) {
			const length = readU32(wasm, size.next, end);
			if (length.next + length.value > end) throw corrupt('a section name reaches beyond its section', at);
			const body = length.next + length.value;
			yield { id, start: at, end, name: decodeText(wasm.subarray(length.next, body), length.next), body };
		} else yield { id, start: at, end, name: undefined, body: size.next };
		at = end;
	}
}

/** An unsigned LEB128. */
export function encodeU32(value: number): number[] {
	const bytes: number[] = [];
	let rest = value;
	do {
		const low = rest % 128;
		rest = Math.floor(rest / 128);
		bytes.push(rest > 0 ? low | 0x80 : low);
	} while (rest > 0);
	return bytes;
}

/** The parts, one behind the other. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
	const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		joined.set(part, at);
		at += part.length;
	}
	return joined;
}
