// Owns strict binary reading and writing for the codecs of all rooms: unsigned LEB128 varints up to 2^53, length-prefixed bytes and text. A reader never
// reads past its end and never allocates more than the input holds; what does not fit throws Malformed, which the codecs turn into a named error.

/** Input that is not what its codec writes. Never leaves the room of that codec. */
export class Malformed extends Error {}

/** A growing buffer that can be used again and again. */
export class ByteWriter {
	/** Never of Node's pool: `take` gives it away. */
	#bytes: Buffer<ArrayBuffer>;
	#length = 0;

	constructor(capacity = 256) {
		this.#bytes = Buffer.alloc(capacity);
	}

	get length(): number {
		return this.#length;
	}

	/** Makes room for `count` more bytes, which the caller fills; answers where they begin. */
	reserve(count: number): number {
		const at = this.#length;
		this.#ensure(count);
		this.#length = at + count;
		return at;
	}

	u8(value: number): this {
		this.#ensure(1);
		this.#bytes[this.#length++] = value;
		return this;
	}

	u32(value: number): this {
		this.#ensure(4);
		for (let shift = 24; shift >= 0; shift -= 8) this.#bytes[this.#length++] = (value >>> shift) & 0xff;
		return this;
	}

	/** A safe non-negative integer, LEB128. */
	varint(value: number): this {
		if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no unsigned integer`);
		this.#ensure(8);
		let rest = value;
		while (rest >= 0x80) {
			this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
			rest = Math.floor(rest / 0x80);
		}
		this.#bytes[this.#length++] = rest;
		return this;
	}

	raw(bytes: Uint8Array): this {
		this.#ensure(bytes.length);
		this.#bytes.set(bytes, this.#length);
		this.#length += bytes.length;
		return this;
	}

	bytes(bytes: Uint8Array): this {
		return this.varint(bytes.length).raw(bytes);
	}

	/** One byte a character: for text that is known to be ASCII. */
	ascii(text: string): this {
		this.varint(text.length);
		this.#ensure(text.length);
		for (let i = 0; i < text.length; i++) this.#bytes[this.#length++] = text.charCodeAt(i) & 0x7f;
		return this;
	}

	utf8(text: string): this {
		const length = Buffer.byteLength(text);
		this.varint(length).#ensure(length);
		this.#bytes.write(text, this.#length);
		this.#length += length;
		return this;
	}

	/** A copy of what was written. */
	finish(): Uint8Array {
		return new Uint8Array(this.view());
	}

	/** Gives away the buffer with what was written; the writer must not be used after it. */
	take(): Uint8Array<ArrayBuffer> {
		return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset, this.#length);
	}

	/** What was written; valid until the next write or `clear`. */
	view(from = 0, to = this.#length): Buffer {
		return this.#bytes.subarray(from, to);
	}

	clear(): void {
		this.#length = 0;
	}

	#ensure(more: number): void {
		const wanted = this.#length + more;
		if (wanted <= this.#bytes.length) return;
		const grown = Buffer.alloc(Math.max(wanted, this.#bytes.length * 2));
		this.#bytes.copy(grown, 0, 0, this.#length);
		this.#bytes = grown;
	}
}

export class ByteReader {
	readonly #bytes: Uint8Array;
	#at = 0;

	constructor(bytes: Uint8Array) {
		this.#bytes = bytes;
	}

	get left(): number {
		return this.#bytes.length - this.#at;
	}

	u8(): number {
		const value = this.#bytes[this.#at];
		if (value === undefined) throw new Malformed('cut short');
		this.#at++;
		return value;
	}

	u32(): number {
		let value = 0;
		for (let i = 0; i < 4; i++) value = value * 256 + this.u8();
		return value;
	}

	/** Only the shortest form of a number is taken, so that equal commands have equal bytes. */
	varint(): number {
		let value = 0;
		let unit = 1;
		for (let i = 0; i < 8; i++) {
			const byte = this.u8();
			value += (byte & 0x7f) * unit;
			if (byte < 0x80) {
				if ((byte === 0 && i > 0) || !Number.isSafeInteger(value)) throw new Malformed('number out of range');
				return value;
			}
			unit *= 0x80;
		}
		throw new Malformed('number out of range');
	}

	/** A count of things that take at least `bytesEach` bytes each. */
	count(max: number, bytesEach = 1): number {
		const count = this.varint();
		if (count > max || count * bytesEach > this.left) throw new Malformed('count out of range');
		return count;
	}

	/** A view into the input. */
	raw(length: number): Uint8Array {
		if (length > this.left) throw new Malformed('cut short');
		const view = this.#bytes.subarray(this.#at, this.#at + length);
		this.#at += length;
		return view;
	}

	/** Length-prefixed, a view into the input. */
	view(): Uint8Array {
		return this.raw(this.varint());
	}

	/** Length-prefixed, a copy, which does not keep the input alive. */
	bytes(): Uint8Array {
		const view = this.view();
		const copy = new Uint8Array(view.length);
		copy.set(view);
		return copy;
	}

	ascii(maxLength: number): string {
		const length = this.varint();
		if (length > maxLength) throw new Malformed('text too long');
		const view = this.raw(length);
		for (const byte of view) if (byte >= 0x80) throw new Malformed('text is not ASCII');
		return Buffer.from(view.buffer, view.byteOffset, view.length).toString('latin1');
	}

	utf8(maxBytes = this.left): string {
		const length = this.varint();
		if (length > maxBytes) throw new Malformed('text too long');
		const view = this.raw(length);
		return Buffer.from(view.buffer, view.byteOffset, view.length).toString();
	}

	flag(): boolean {
		const value = this.u8();
		if (value > 1) throw new Malformed('flag out of range');
		return value === 1;
	}

	end(): void {
		if (this.left !== 0) throw new Malformed('bytes after the end');
	}
}
