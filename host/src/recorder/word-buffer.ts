// Owns a buffer of 32-bit words that grows by doubling up to a bound: where the payload of a block gathers.
import { BLOCK_BYTES_MAX } from './blocks.js';
import { type Kind, recordHead } from './layout.js';

const FIRST_WORDS = 16_384;

export class WordBuffer {
	words = new Uint32Array(FIRST_WORDS);
	/** Words in use. */
	length = 0;
	records = 0;

	/** Begins a record of `count` payload words and returns where they go. Throws RangeError beyond the largest block. */
	record(kind: Kind, count: number): number {
		this.#room(count + 1);
		this.words[this.length] = recordHead(kind, count);
		const at = this.length + 1;
		this.length = at + count;
		this.records++;
		return at;
	}

	/** Cuts the last record, begun at `at` with `reserved` payload words, to those in use. */
	shorten(at: number, reserved: number, used: number): void {
		this.words[at - 1] = (((this.words[at - 1] as number) & 0xff00_0000) | used) >>> 0;
		this.length -= reserved - used;
	}

	/** A record of bytes: their count, then they, padded with zeros to whole words. `before` are words that come first. */
	bytes(kind: Kind, bytes: Uint8Array, before: readonly number[] = []): void {
		const padded = Math.ceil(bytes.length / 4);
		const at = this.record(kind, before.length + 1 + padded);
		this.words.set(before, at);
		this.words[at + before.length] = bytes.length;
		const from = at + before.length + 1;
		this.words.fill(0, from, from + padded);
		new Uint8Array(this.words.buffer).set(bytes, from * 4);
	}

	json(kind: Kind, value: unknown): void {
		this.bytes(kind, Buffer.from(JSON.stringify(value), 'utf8'));
	}

	/** The payload so far; valid until the next record. */
	payload(): Uint8Array {
		return new Uint8Array(this.words.buffer, 0, this.length * 4);
	}

	clear(): void {
		this.length = 0;
		this.records = 0;
	}

	#room(count: number): void {
		const wanted = this.length + count;
		if (wanted <= this.words.length) return;
		if (wanted * 4 > BLOCK_BYTES_MAX) throw new RangeError('a block of a recording is too large');
		const grown = new Uint32Array(2 ** Math.ceil(Math.log2(wanted)));
		grown.set(this.words.subarray(0, this.length));
		this.words = grown;
	}
}
