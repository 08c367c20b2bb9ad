// Owns growing output bytes in WebAssembly encoding, and with them the record of which output came from which input.
// Leaves what is written to its callers.

export class ByteWriter {
	#bytes: Uint8Array;
	#at = 0;
	/** Start of each run in the output, its origin in the input, and whether the run is injected (1) or copied (0). */
	readonly runs: { readonly at: number[]; readonly origin: number[]; readonly injected: number[] } = {
		at: [],
		origin: [],
		injected: [],
	};

	constructor(capacityBytes: number) {
		this.#bytes = new Uint8Array(Math.max(64, capacityBytes));
	}

	get at(): number {
		return this.#at;
	}

	#reserve(extra: number): void {
		const need = this.#at + extra;
		if (need <= this.#bytes.length) return;
		const grown = new Uint8Array(Math.max(need, this.#bytes.length * 2));
		grown.set(this.#bytes.subarray(0, this.#at));
		this.#bytes = grown;
	}

	u8(value: number): this {
		this.#reserve(1);
		this.#bytes[this.#at++] = value;
		return this;
	}

	u32(value: number): this {
		let rest = value >>> 0;
		while (rest >= 0x80) {
			this.u8((rest & 0x7f) | 0x80);
			rest >>>= 7;
		}
		return this.u8(rest);
	}

	s32(value: number): this {
		return this.s64(value | 0);
	}

	/** Signed LEB128 of a safe integer: the encoding is the same for i32 and i64 constants. */
	s64(value: number): this {
		let rest = value;
		for (;;) {
			const low = ((rest % 128) + 128) % 128;
			rest = (rest - low) / 128;
			if ((rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40)) return this.u8(low);
			this.u8(low | 0x80);
		}
	}

	name(text: string): this {
		const bytes = new TextEncoder().encode(text);
		return this.u32(bytes.length).raw(bytes);
	}

	raw(bytes: Uint8Array): this {
		this.#reserve(bytes.length);
		this.#bytes.set(bytes, this.#at);
		this.#at += bytes.length;
		return this;
	}

	/** Copies input bytes [from, to) and records where they came from. */
	copy(source: Uint8Array, from: number, to: number): this {
		if (to <= from) return this;
		this.#mark(from, 0);
		return this.raw(source.subarray(from, to));
	}

	/** Says that what follows is injected on behalf of the input at `origin`. */
	inject(origin: number): this {
		this.#mark(origin, 1);
		return this;
	}

	#mark(origin: number, injected: number): void {
		this.runs.at.push(this.#at);
		this.runs.origin.push(origin);
		this.runs.injected.push(injected);
	}

	/** Leaves room for a length, to be filled by `patchLength`; a padded 5-byte LEB128, which every engine accepts. */
	reserveLength(): number {
		const at = this.#at;
		this.#reserve(5);
		this.#at += 5;
		return at;
	}

	/** Writes the number of bytes since the room left by `reserveLength` at `at`. */
	patchLength(at: number): void {
		let rest = this.#at - at - 5;
		for (let i = 0; i < 5; i++) {
			this.#bytes[at + i] = i < 4 ? (rest & 0x7f) | 0x80 : rest & 0x7f;
			rest >>>= 7;
		}
	}

	finish(): Uint8Array<ArrayBuffer> {
		return this.#bytes.slice(0, this.#at);
	}
}
