// Owns the requests in service at virtual queues, ordered by when they end: a binary heap in typed arrays, bounded, without an object a request.

export class CompletionHeap {
	readonly #ends: Float64Array;
	readonly #rows: Int32Array;
	readonly #weights: Float32Array;
	#size = 0;

	constructor(entriesMax: number) {
		this.#ends = new Float64Array(entriesMax);
		this.#rows = new Int32Array(entriesMax);
		this.#weights = new Float32Array(entriesMax);
	}

	get full(): boolean {
		return this.#size === this.#ends.length;
	}

	/** When the next one ends; infinity when there is none. */
	get nextMs(): number {
		return this.#size === 0 ? Number.POSITIVE_INFINITY : (this.#ends[0] as number);
	}

	/** Row and weight of the one that ends next. */
	get row(): number {
		return this.#rows[0] as number;
	}

	get weight(): number {
		return this.#weights[0] as number;
	}

	/** There is room: see `full`. */
	push(endMs: number, row: number, weight: number): void {
		let at = this.#size++;
		while (at > 0) {
			const parent = (at - 1) >> 1;
			if ((this.#ends[parent] as number) <= endMs) break;
			this.#move(parent, at);
			at = parent;
		}
		this.#set(at, endMs, row, weight);
	}

	/** Takes the one that ends next out. */
	pop(): void {
		const last = --this.#size;
		const endMs = this.#ends[last] as number;
		const row = this.#rows[last] as number;
		const weight = this.#weights[last] as number;
		let at = 0;
		for (;;) {
			let child = at * 2 + 1;
			if (child >= last) break;
			if (child + 1 < last && (this.#ends[child + 1] as number) < (this.#ends[child] as number)) child++;
			if ((this.#ends[child] as number) >= endMs) break;
			this.#move(child, at);
			at = child;
		}
		if (last > 0) this.#set(at, endMs, row, weight);
	}

	#move(from: number, to: number): void {
		this.#set(to, this.#ends[from] as number, this.#rows[from] as number, this.#weights[from] as number);
	}

	#set(at: number, endMs: number, row: number, weight: number): void {
		this.#ends[at] = endMs;
		this.#rows[at] = row;
		this.#weights[at] = weight;
	}
}
