// Owns writing and reading the log's own binary form: bytes, unsigned LEB128 varints up to 2^53 − 1, length-prefixed bytes and text.

const VARINT_BYTES_MAX = 8;

/** A growing buffer that is used again and again. */
export class ByteWriter {
	/** Never of Node's pool: `take` gives it away. */
	#bytes: Buffer<ArrayBuffer>;
	#length = 0;

	constructor(initialBytes: number) {
		this.#bytes = Buffer.alloc(initialBytes);
	}

	get length(): number {
		return this.#length;
	}

	clear(): void {
		this.#length = 0;
	}

	/** Makes room for `count` more bytes, which the caller fills; answers where they begin. */
	reserve(count: number): number {
		const at = this.#length;
		const needed = at + count;
		if (needed > this.#bytes.length) {
			const grown = Buffer.alloc(Math.max(needed, this.#bytes.length * 2));
			this.#bytes.copy(grown, 0, 0, at);
			this.#bytes = grown;
		}
		this.#length = needed;
		return at;
	}

	u8(value: number): void {
		const at = this.reserve(1);
		this.#bytes[at] = value;
	}

	/** `value` is a safe integer, not negative. */
	varint(value: number): void {
		if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no unsigned safe integer`);
		let rest = value;
		while (rest >= 0x80) {
			this.u8((rest % 0x80) | 0x80);
			rest = Math.floor(rest / 0x80);
		}
		this.u8(rest);
	}

	bytes(value: Uint8Array): void {
		this.varint(value.length);
		const at = this.reserve(value.length);
		this.#bytes.set(value, at);
	}

	text(value: string): void {
		const length = Buffer.byteLength(value);
		this.varint(length);
		const at = this.reserve(length);
		this.#bytes.write(value, at);
	}

	/** Gives away the buffer with what was written; the writer must not be used after it. */
	take(): Uint8Array<ArrayBuffer> {
		return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset, this.#length);
	}

	/** What was written; valid until the next write or `clear`. */
	view(from = 0, to = this.#length): Buffer {
		return this.#bytes.subarray(from, to);
	}
}

/** What is read is not what a ByteWriter wrote. */
export class MalformedBytes extends Error {}

/** Reads what a ByteWriter wrote; every call may throw MalformedBytes. */
export class ByteReader {
	readonly #bytes: Buffer;
	#at = 0;

	constructor(bytes: Uint8Array) {
		this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	}

	get remaining(): number {
		return this.#bytes.length - this.#at;
	}

	u8(): number {
		const value = this.#bytes[this.#at];
		if (value === undefined) throw new MalformedBytes('cut short');
		this.#at++;
		return value;
	}

	varint(): number {
		let value = 0;
		let scale = 1;
		for (let count = 0; count < VARINT_BYTES_MAX; count++) {
			const byte = this.u8();
			value += (byte & 0x7f) * scale;
			if (byte < 0x80) {
				if (!Number.isSafeInteger(value)) break;
				return value;
			}
			scale *= 0x80;
		}
		throw new MalformedBytes('a number is too large');
	}

	/** A view of the bytes read from, not a copy. */
	bytes(): Buffer {
		const length = this.varint();
		if (length > this.remaining) throw new MalformedBytes('cut short');
		const value = this.#bytes.subarray(this.#at, this.#at + length);
		this.#at += length;
		return value;
	}

	text(): string {
		return this.bytes().toString();
	}
}
