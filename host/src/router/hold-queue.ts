// Owns the order and the bound of held requests: one heap per pool, released lowest key first, with ageing. As all keys of a pool age at one
// rate, `key - ageing × waited` orders like `key + ageing × since`, so a place in the heap never changes. Leaves deciding again to the
// pipeline. A removed item stays in its heap until it comes up; the bound counts live items, and heaps are compacted when half dead.

export interface HoldQueueOptions {
	readonly requestsMax: number;
	/** Key units per second of waiting. */
	readonly ageingPerS: number;
}

interface Held<T> {
	item: T | undefined;
	readonly order: number;
	readonly sequence: number;
}

interface Heap<T> {
	entries: Held<T>[];
	live: number;
}

export class HoldQueue<T extends object> {
	readonly #requestsMax: number;
	readonly #ageingPerMs: number;
	readonly #heaps = new Map<number, Heap<T>>();
	readonly #where = new Map<T, { readonly entry: Held<T>; readonly pool: number }>();
	#sequence = 0;

	constructor(options: HoldQueueOptions) {
		this.#requestsMax = options.requestsMax;
		this.#ageingPerMs = options.ageingPerS / 1000;
	}

	get size(): number {
		return this.#where.size;
	}

	/** Requests of one pool held now. */
	held(pool: number): number {
		return this.#heaps.get(pool)?.live ?? 0;
	}

	/** Pools that hold something. */
	pools(): readonly number[] {
		return [...this.#heaps.keys()];
	}

	/** False when the queue is full. `sinceMs` is when the request was first held: held again, it keeps its age. */
	push(pool: number, item: T, key: number, sinceMs: number): boolean {
		if (this.#where.size >= this.#requestsMax || this.#where.has(item)) return false;
		const heap = this.#heaps.get(pool) ?? { entries: [], live: 0 };
		this.#heaps.set(pool, heap);
		const entry: Held<T> = { item, order: key + this.#ageingPerMs * sinceMs, sequence: this.#sequence++ };
		this.#where.set(item, { entry, pool });
		heap.live++;
		siftUp(heap.entries, entry);
		return true;
	}

	/** Takes the most urgent item of a pool. */
	pop(pool: number): T | undefined {
		const heap = this.#heaps.get(pool);
		if (heap === undefined) return undefined;
		for (let entry = takeFirst(heap.entries); entry !== undefined; entry = takeFirst(heap.entries)) {
			const { item } = entry;
			if (item === undefined) continue;
			this.#forget(item, pool, heap);
			return item;
		}
		return undefined;
	}

	/** Takes an item out wherever it stands; false when it is not held. */
	remove(item: T): boolean {
		const place = this.#where.get(item);
		if (place === undefined) return false;
		place.entry.item = undefined;
		const heap = this.#heaps.get(place.pool) as Heap<T>;
		this.#forget(item, place.pool, heap);
		if (heap.entries.length > heap.live * 2 + 16) heap.entries = rebuilt(heap.entries);
		return true;
	}

	#forget(item: T, pool: number, heap: Heap<T>): void {
		this.#where.delete(item);
		heap.live--;
		if (heap.live === 0) this.#heaps.delete(pool);
	}
}

function before<T>(a: Held<T>, b: Held<T>): boolean {
	return a.order < b.order || (a.order === b.order && a.sequence < b.sequence);
}

function siftUp<T>(entries: Held<T>[], entry: Held<T>): void {
	let at = entries.length;
	entries.push(entry);
	while (at > 0) {
		const parent = (at - 1) >> 1;
		const above = entries[parent] as Held<T>;
		if (!before(entry, above)) break;
		entries[at] = above;
		at = parent;
	}
	entries[at] = entry;
}

function takeFirst<T>(entries: Held<T>[]): Held<T> | undefined {
	const first = entries[0];
	const last = entries.pop();
	if (first === undefined || last === undefined || entries.length === 0) return first;
	let at = 0;
	for (;;) {
		let child = at * 2 + 1;
		if (child >= entries.length) break;
		const right = entries[child + 1];
		if (right !== undefined && before(right, entries[child] as Held<T>)) child++;
		const below = entries[child] as Held<T>;
		if (!before(below, last)) break;
		entries[at] = below;
		at = child;
	}
	entries[at] = last;
	return first;
}

function rebuilt<T>(entries: readonly Held<T>[]): Held<T>[] {
	const heap: Held<T>[] = [];
	for (const entry of entries) if (entry.item !== undefined) siftUp(heap, entry);
	return heap;
}
