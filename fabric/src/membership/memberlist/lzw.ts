// Owns the compression of memberlist: LZW as Go's compress/lzw has it, least significant bits first, 8-bit literals, codes of 9 to 12 bits, 256
// clears and 257 ends. Expanding is bounded by the caller: a code may stand for thousands of bytes.
import { Malformed } from '../../bytes/binary.js';

const clearCode = 256;
const endCode = 257;
const widthMin = 9;
const widthMax = 12;
const codes = 1 << widthMax;

/** More was packed into the input than the caller allows. */
export class TooLong extends Error {}

/** Throws Malformed, and TooLong above `maxBytes`. What follows the end code is passed over. */
export function expand(input: Uint8Array, maxBytes: number): Uint8Array {
	const prefix = new Uint16Array(codes);
	const suffix = new Uint8Array(codes);
	const lengths = new Uint16Array(codes).fill(1, 0, clearCode);
	const reader = new CodeReader(input);
	let output = new Uint8Array(Math.min(maxBytes, Math.max(256, input.length * 4)));
	let length = 0;
	let width = widthMin;
	/** The highest code in use: the entry that the next code completes. */
	let highest = endCode;
	/** The code before, none after a clear or once the table is full. */
	let last = -1;
	for (;;) {
		const code = reader.read(width);
		if (code === endCode) return output.subarray(0, length);
		if (code === clearCode) {
			width = widthMin;
			highest = endCode;
			last = -1;
			continue;
		}
		const unfinished = code === highest && last >= 0;
		if (code > highest) throw new Malformed('no such code');
		const size = unfinished ? (lengths[last] as number) + 1 : (lengths[code] as number);
		if (length + size > maxBytes) throw new TooLong();
		if (length + size > output.length) {
			const larger = new Uint8Array(Math.min(maxBytes, Math.max(length + size, output.length * 2)));
			larger.set(output.subarray(0, length));
			output = larger;
		}
		// A code of the entry under way is the text before and its own first byte again.
		let at = length + size - 1 - Number(unfinished);
		let walk = unfinished ? last : code;
		for (; walk > endCode; walk = prefix[walk] as number) output[at--] = suffix[walk] as number;
		output[at] = walk;
		if (unfinished) output[length + size - 1] = walk;
		length += size;
		if (last >= 0) {
			suffix[highest] = walk;
			prefix[highest] = last;
			lengths[highest] = (lengths[last] as number) + 1;
		}
		last = code;
		highest++;
		if (highest < 1 << width) continue;
		if (width < widthMax) width++;
		else {
			last = -1;
			highest--;
		}
	}
}

class CodeReader {
	readonly #input: Uint8Array;
	#at = 0;
	#bits = 0;
	#count = 0;

	constructor(input: Uint8Array) {
		this.#input = input;
	}

	read(width: number): number {
		while (this.#count < width) {
			const byte = this.#input[this.#at++];
			if (byte === undefined) throw new Malformed('cut short');
			this.#bits |= byte << this.#count;
			this.#count += 8;
		}
		const code = this.#bits & ((1 << width) - 1);
		this.#bits >>>= width;
		this.#count -= width;
		return code;
	}
}

/** A hash of (code, byte) to code, open addressing; four slots a code keep it short of full. */
const slots = codes * 4;

export function compress(input: Uint8Array): Uint8Array {
	const writer = new CodeWriter(input.length);
	const table = new Int32Array(slots).fill(-1);
	let width = widthMin;
	let highest = endCode;
	writer.write(clearCode, width);
	let code = input[0];
	/** Writes a code and takes the next number; false when that was the last and the table starts anew. */
	const emit = (value: number): boolean => {
		writer.write(value, width);
		highest++;
		if (highest === 1 << width) width++;
		if (highest < codes - 1) return true;
		writer.write(clearCode, widthMax);
		width = widthMin;
		highest = endCode;
		table.fill(-1);
		return false;
	};
	for (let at = 1; at < input.length && code !== undefined; at++) {
		const byte = input[at] as number;
		const key = (code << 8) | byte;
		let slot = (Math.imul(key, 0x9e3779b1) >>> 8) % slots;
		let entry = table[slot] as number;
		while (entry !== -1 && entry >>> widthMax !== key) {
			slot = (slot + 1) % slots;
			entry = table[slot] as number;
		}
		if (entry !== -1) {
			code = entry & (codes - 1);
			continue;
		}
		if (emit(code)) table[slot] = (key << widthMax) | highest;
		code = byte;
	}
	if (code !== undefined) emit(code);
	writer.write(endCode, width);
	return writer.finish();
}

class CodeWriter {
	/** Every code but the clears consumes a byte of input at least. */
	readonly #output: Uint8Array;
	#at = 0;
	#bits = 0;
	#count = 0;

	constructor(inputBytes: number) {
		this.#output = new Uint8Array(Math.ceil((inputBytes * widthMax) / 8) + Math.ceil(inputBytes / 1_024) * 2 + 16);
	}

	write(code: number, width: number): void {
		this.#bits |= code << this.#count;
		this.#count += width;
		for (; this.#count >= 8; this.#count -= 8) {
			this.#output[this.#at++] = this.#bits & 0xff;
			this.#bits >>>= 8;
		}
	}

	finish(): Uint8Array {
		if (this.#count > 0) this.#output[this.#at++] = this.#bits & 0xff;
		return this.#output.subarray(0, this.#at);
	}
}
