// Owns the mapping from names to the small integers that columns and request blocks hold. Bounded; 0 means "none or unknown".

export class NameTable {
	readonly #ids = new Map<string, number>();
	readonly #names: string[] = [''];
	readonly #max: number;
	readonly #free: number[] = [];
	/** How many hold each id; infinite for names that stay. */
	readonly #holders: number[] = [];

	/** `max`: names it will hold; further names are 0. */
	constructor(max: number) {
		this.#max = max;
	}

	/** The id of `name`, given out on first use and kept for good. */
	intern(name: string): number {
		const id = this.#give(name);
		if (id !== 0) this.#holders[id] = Number.POSITIVE_INFINITY;
		return id;
	}

	/** The same for as long as somebody holds the name: each call is answered by one of `release`. */
	hold(name: string): number {
		const id = this.#give(name);
		if (id !== 0) this.#holders[id] = (this.#holders[id] ?? 0) + 1;
		return id;
	}

	/** One holder less; the id of a name that nobody holds goes to another one. */
	release(name: string): void {
		const id = this.find(name);
		if (id === 0) return;
		const left = (this.#holders[id] ?? 0) - 1;
		this.#holders[id] = left;
		if (left > 0) return;
		this.#ids.delete(name);
		this.#names[id] = '';
		this.#holders[id] = 0;
		this.#free.push(id);
	}

	/** The id of `name` if it has one, else 0. */
	find(name: string): number {
		return this.#ids.get(name) ?? 0;
	}

	name(id: number): string {
		return this.#names[id] ?? '';
	}

	/** All names in id order from 1, to hand to another thread. */
	entries(): readonly string[] {
		return this.#names.slice(1);
	}

	#give(name: string): number {
		if (name === '') return 0;
		const known = this.#ids.get(name);
		if (known !== undefined) return known;
		const id = this.#free.pop() ?? this.#names.length;
		if (id > this.#max) return 0;
		this.#ids.set(name, id);
		this.#names[id] = name;
		return id;
	}
}
