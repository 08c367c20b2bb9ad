// Owns bounded reading of WebAssembly bytes: LEB128, names, raw skips. Knows nothing of sections or opcodes.
// Invariant: never reads at or beyond `end`, never allocates by a count it has not compared with the bytes left.
import type { AdmissionCode } from './errors.js';

/** A fault found at one byte of a module. Thrown inside the admission room only; its edge turns it into a refusal. */
export class ModuleFault extends Error {
	readonly code: AdmissionCode;
	readonly offset: number;

	constructor(code: AdmissionCode, offset: number, message: string) {
		super(message);
		this.name = 'ModuleFault';
		this.code = code;
		this.offset = offset;
	}
}

export function malformed(offset: number, message: string): ModuleFault {
	return new ModuleFault('IM_ADMISSION_MALFORMED', offset, message);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

export class ByteReader {
	readonly bytes: Uint8Array;
	at: number;
	end: number;

	constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
		this.bytes = bytes;
		this.at = at;
		this.end = end;
	}

	/** A reader over the next `length` bytes; this reader moves past them. */
	slice(length: number, what: string): ByteReader {
		const from = this.at;
		this.skip(length, what);
		return new ByteReader(this.bytes, from, this.at);
	}

	get done(): boolean {
		return this.at >= this.end;
	}

	get left(): number {
		return this.end - this.at;
	}

	u8(what = 'byte'): number {
		if (this.at >= this.end) throw malformed(this.at, `the module ends inside a ${what}`);
		return this.bytes[this.at++] as number;
	}

	skip(length: number, what: string): void {
		if (length > this.end - this.at) throw malformed(this.at, `a ${what} of ${length} bytes runs past its section`);
		this.at += length;
	}

	/** Unsigned LEB128 of at most 32 bits and 5 bytes. */
	u32(what = 'number'): number {
		const first = this.u8(what);
		if (first < 0x80) return first;
		let value = first & 0x7f;
		for (let shift = 7; shift < 35; shift += 7) {
			const byte = this.u8(what);
			if (shift === 28 && byte > 0x0f) throw malformed(this.at - 1, `a ${what} does not fit 32 bits`);
			value |= (byte & 0x7f) << shift;
			if (byte < 0x80) return value >>> 0;
		}
		throw malformed(this.at, `a ${what} is longer than 5 bytes`);
	}

	/** Signed LEB128 of at most 32 bits and 5 bytes. */
	s32(what = 'number'): number {
		let value = 0;
		for (let shift = 0; shift < 35; shift += 7) {
			const byte = this.u8(what);
			value |= (byte & 0x7f) << shift;
			if (byte < 0x80) return shift < 25 && (byte & 0x40) !== 0 ? value | (-1 << (shift + 7)) : value;
		}
		throw malformed(this.at, `a ${what} is longer than 5 bytes`);
	}

	/** Moves past a signed LEB128 of at most `bytesMax` bytes whose value is not needed. */
	skipLeb(bytesMax: number, what = 'number'): void {
		for (let i = 0; i < bytesMax; i++) if (this.u8(what) < 0x80) return;
		throw malformed(this.at, `a ${what} is longer than ${bytesMax} bytes`);
	}

	/** A vector's length: refused when it exceeds `max` or when the bytes left cannot hold that many elements. */
	count(what: string, max: number, code: AdmissionCode = 'IM_ADMISSION_COUNT'): number {
		const at = this.at;
		const value = this.u32(what);
		if (value > this.left) throw malformed(at, `${value} × ${what} cannot fit into ${this.left} bytes`);
		if (value > max) throw new ModuleFault(code, at, `${value} × ${what}; the limit is ${max}`);
		return value;
	}

	/** A length-prefixed UTF-8 name. */
	name(what = 'name'): string {
		const length = this.u32(what);
		const from = this.at;
		this.skip(length, what);
		try {
			return utf8.decode(this.bytes.subarray(from, this.at));
		} catch {
			throw malformed(from, `a ${what} is not UTF-8`);
		}
	}
}
