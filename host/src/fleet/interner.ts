// Owns the mapping from names to the small integers that columns and request blocks hold. Bounded; 0 means "none or unknown".

export class NameTable {
	readonly #ids = new Map<string, number>();
	readonly #names: string[] = [''];
	readonly #max: number;
	readonly #free: number[] = [];

	/** `max`: names it will hold; further names are 0. */
	constructor(max: number) {
		this.#max = max;
	}

	/** The id of `name`, given out on first use. */
	intern(name: string): number {
		if (name === '') return 0;
		const known = this.#ids.get(name);
		if (known !== undefined) return known;
		const id = this.#free.pop() ?? this.#names.length;
		if (id > this.#max) return 0;
		this.#ids.set(name, id);
		this.#names[id] = name;
		return id;
	}

	/** Gives a name's id back, for names that come and go. The caller knows that nothing holds it any more. */
	release(name: string): void {
		const id = this.#ids.get(name);
		if (id === undefined) return;
		this.#ids.delete(name);
		this.#names[id] = '';
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
}
