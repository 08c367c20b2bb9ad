// Owns what is remembered of a target's series from body to body: they come again with every scrape, in the same order, so that a line need only be
// compared with the one before it. Texts are copies: a part of a body would keep the whole body in memory.

/** A label block as written, and its labels. */
export interface KnownBlock {
	readonly block: string;
	readonly labels: readonly string[];
}

/** Label blocks by how they are written, shared by targets: those of one model differ in little. */
export class LabelCache {
	readonly #blocksMax: number;
	readonly #blocks = new Map<string, KnownBlock>();

	constructor(blocksMax = 65_536) {
		this.#blocksMax = blocksMax;
	}

	get(block: string): KnownBlock | undefined {
		return this.#blocks.get(block);
	}

	set(block: string, labels: readonly string[]): KnownBlock {
		if (this.#blocks.size >= this.#blocksMax) this.#blocks.clear();
		const kept = { block: copy(block), labels: labels.map(copy) };
		this.#blocks.set(kept.block, kept);
		return kept;
	}
}

function copy(text: string): string {
	return Buffer.from(text).toString();
}

/** The series of one target, in the order of its last body, by index of the wanted name. */
export class SeriesMemory {
	readonly cache: LabelCache;
	readonly #orders: (readonly KnownBlock[] | undefined)[] = [];

	constructor(cache = new LabelCache()) {
		this.cache = cache;
	}

	orderOf(name: number): readonly KnownBlock[] | undefined {
		return this.#orders[name];
	}

	setOrder(name: number, order: readonly KnownBlock[]): void {
		this.#orders[name] = order;
	}
}
