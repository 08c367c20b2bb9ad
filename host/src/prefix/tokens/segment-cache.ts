// Owns the token ids of texts seen before, least recently used first to go, within a bound of bytes. What is kept are segments: a
// conversation's earlier turns are found again although it has grown.

/** What an entry costs besides its text and ids. */
const ENTRY_BYTES = 128;

export class SegmentCache {
	readonly #bytesMax: number;
	readonly #entries = new Map<string, Uint32Array>();
	#bytes = 0;

	constructor(bytesMax: number) {
		this.#bytesMax = bytesMax;
	}

	get bytes(): number {
		return this.#bytes;
	}

	get(text: string): Uint32Array | undefined {
		const ids = this.#entries.get(text);
		if (ids === undefined) return undefined;
		this.#entries.delete(text);
		this.#entries.set(text, ids);
		return ids;
	}

	set(text: string, ids: Uint32Array): void {
		const cost = costOf(text, ids);
		if (cost > this.#bytesMax || this.#entries.has(text)) return;
		this.#entries.set(text, ids);
		this.#bytes += cost;
		for (const [oldest, old] of this.#entries) {
			if (this.#bytes <= this.#bytesMax) return;
			this.#entries.delete(oldest);
			this.#bytes -= costOf(oldest, old);
		}
	}
}

function costOf(text: string, ids: Uint32Array): number {
	return ENTRY_BYTES + text.length * 2 + ids.byteLength;
}
