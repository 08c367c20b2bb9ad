// Owns the order in which simulated things happen: a binary heap keyed (time, order of scheduling), so that things of one time happen in the order in which they
// were scheduled and a run of one seed is always the same. The unit of time is its owner's.

export class Agenda<T> {
	#times = new Float64Array(1_024);
	#orders = new Float64Array(1_024);
	readonly #items: T[] = [];
	#order = 0;

	get size(): number {
		return this.#items.length;
	}

	/** Infinity when empty. */
	get nextAt(): number {
		return this.#items.length === 0 ? Number.POSITIVE_INFINITY : (this.#times[0] as number);
	}

	/** The first item, which stays. */
	peek(): T | undefined {
		return this.#items[0];
	}

	push(time: number, item: T): void {
		let at = this.#items.length;
		if (at === this.#times.length) this.#grow();
		const order = this.#order++;
		this.#items.push(item);
		while (at > 0) {
			const parent = (at - 1) >> 1;
			if ((this.#times[parent] as number) <= time) break;
			this.#move(parent, at);
			at = parent;
		}
		this.#put(at, time, order, item);
	}

	pop(): T | undefined {
		const items = this.#items;
		const first = items[0];
		const last = items.pop();
		if (last === undefined || items.length === 0) return first;
		const length = items.length;
		const time = this.#times[length] as number;
		const order = this.#orders[length] as number;
		let at = 0;
		for (;;) {
			let child = at * 2 + 1;
			if (child >= length) break;
			if (child + 1 < length && this.#before(child + 1, child)) child++;
			const childTime = this.#times[child] as number;
			if (childTime > time || (childTime === time && (this.#orders[child] as number) > order)) break;
			this.#move(child, at);
			at = child;
		}
		this.#put(at, time, order, last);
		return first;
	}

	#before(a: number, b: number): boolean {
		const difference = (this.#times[a] as number) - (this.#times[b] as number);
		return difference < 0 || (difference === 0 && (this.#orders[a] as number) < (this.#orders[b] as number));
	}

	#move(from: number, to: number): void {
		this.#put(to, this.#times[from] as number, this.#orders[from] as number, this.#items[from] as T);
	}

	#put(at: number, time: number, order: number, item: T): void {
		this.#times[at] = time;
		this.#orders[at] = order;
		this.#items[at] = item;
	}

	#grow(): void {
		const times = new Float64Array(this.#times.length * 2);
		times.set(this.#times);
		this.#times = times;
		const orders = new Float64Array(this.#orders.length * 2);
		orders.set(this.#orders);
		this.#orders = orders;
	}
}
