// Owns the mapping from names to the small integers that columns and request blocks hold. Bounded; 0 means "none or unknown".

export class NameTable {
	readonly #ids = new Map<string, number>();
	readonly #names: string[] = [''];
	readonly #max: number;

	/** `max`: names it will hold; further names are 0. */
	constructor(max: number) {
		this.#max = max;
	}

	/** The id of `name`, given out on first use. */
	intern(name: string): number {
		if (name === '') return 0;
		const known = this.#ids.get(name);
		if (known !== undefined) return known;
		if (this.#names.length > this.#max) return 0;
		const id = this.#names.length;
		this.#ids.set(name, id);
		this.#names.push(name);
		return id;
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
}
