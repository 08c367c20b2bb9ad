// Owns the counts of what a run did and suffered. A test asserts with them that its faults really happened and that its workload was no empty one.

export class Counters {
	readonly #counts = new Map<string, number>();

	add(name: string, by = 1): void {
		this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
	}

	get(name: string): number {
		return this.#counts.get(name) ?? 0;
	}

	addAll(other: Counters): void {
		for (const [name, count] of other.#counts) this.add(name, count);
	}

	/** Sorted by name. */
	entries(): [string, number][] {
		return [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
	}
}
