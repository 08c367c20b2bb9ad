// Owns the order of keys: a two-level sorted array. Blocks of at most `blockMax` entries keep insertion and removal to a short move; a million
// keys make some four thousand blocks, whose own array moves only when a block splits or empties. Single keys are found by a hash map beside it.
// Keys are ASCII, so string order is byte order.

const blockMax = 512;

export class SortedKeys<T extends { readonly key: string }> {
	/** No block is empty, except that the only one may be. */
	readonly #blocks: T[][] = [[]];
	readonly #byKey = new Map<string, T>();

	get size(): number {
		return this.#byKey.size;
	}

	get(key: string): T | undefined {
		return this.#byKey.get(key);
	}

	/** Adds an entry whose key is not there yet. */
	add(entry: T): void {
		this.#byKey.set(entry.key, entry);
		const at = this.#blockOf(entry.key);
		const block = this.#blocks[at] as T[];
		const place = lowerBound(block, entry.key);
		if (place === block.length) block.push(entry);
		else block.splice(place, 0, entry);
		if (block.length <= blockMax) return;
		// A block that grows at its end is being filled in order: leave it nearly full.
		const cut = place === block.length - 1 ? blockMax : blockMax >> 1;
		this.#blocks.splice(at + 1, 0, block.splice(cut));
	}

	remove(key: string): void {
		if (!this.#byKey.delete(key)) return;
		const at = this.#blockOf(key);
		const block = this.#blocks[at] as T[];
		block.splice(lowerBound(block, key), 1);
		if (block.length === 0 && this.#blocks.length > 1) this.#blocks.splice(at, 1);
	}

	/** Visits entries from `start` on, in order, until `visit` answers false. `visit` must not add or remove. */
	scan(start: string, visit: (entry: T) => boolean): void {
		let at = this.#blockOf(start);
		let place = lowerBound(this.#blocks[at] as T[], start);
		for (; at < this.#blocks.length; at++, place = 0) {
			const block = this.#blocks[at] as T[];
			for (; place < block.length; place++) if (!visit(block[place] as T)) return;
		}
	}

	/** The last block whose first key is not after `key`. */
	#blockOf(key: string): number {
		let low = 0;
		let high = this.#blocks.length - 1;
		while (low < high) {
			const middle = (low + high + 1) >> 1;
			if (((this.#blocks[middle] as T[])[0] as T).key <= key) low = middle;
			else high = middle - 1;
		}
		return low;
	}
}

/** The first place whose key is not before `key`. */
function lowerBound(block: readonly { readonly key: string }[], key: string): number {
	let low = 0;
	let high = block.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((block[middle] as { readonly key: string }).key < key) low = middle + 1;
		else high = middle;
	}
	return low;
}
