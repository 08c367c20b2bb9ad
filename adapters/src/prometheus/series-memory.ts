// Owns what is remembered of a target's body from scrape to scrape: it comes again with the same lines in the same order, so that a line need only be compared with the
// one that stood there, and metrics nobody asks for need not be looked at. Texts are copies: a part of a body would keep the whole body in memory.
import type { WantedNames } from './wanted-names.js';

/** A label block as written, and its labels. */
export interface KnownBlock {
	readonly block: string;
	readonly labels: readonly string[];
}

/** A line that was wanted: the text before its value, the index of its name, its labels. */
export interface KnownLine {
	readonly head: string;
	readonly id: number;
	readonly known: KnownBlock;
}

/** What stood between a comment and the next one. */
export interface KnownGroup {
	readonly comment: string;
	readonly lines: number;
	/** It is the group of a metric, with nothing wanted and nothing wrong in it. */
	readonly idle: boolean;
}

/** Label blocks, lines and comments by how they are written, shared by targets: those of one model differ in little. */
export class LabelCache {
	readonly #blocksMax: number;
	readonly #blocks = new Map<string, KnownBlock>();
	/** By names, which say what the index of one means. */
	readonly #lines = new WeakMap<WantedNames, Map<string, KnownLine>>();
	readonly #comments = new Map<string, string>();
	#memories = 0;

	/** Most blocks, lines and comments kept, each. */
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

	line(names: WantedNames, head: string, id: number, known: KnownBlock): KnownLine {
		let lines = this.#lines.get(names);
		if (lines === undefined) this.#lines.set(names, (lines = new Map()));
		const there = lines.get(head);
		if (there !== undefined) return there;
		if (lines.size >= this.#blocksMax) lines.clear();
		const kept = { head: copy(head), id, known };
		lines.set(kept.head, kept);
		return kept;
	}

	comment(text: string): string {
		const there = this.#comments.get(text);
		if (there !== undefined) return there;
		if (this.#comments.size >= this.#blocksMax) this.#comments.clear();
		const kept = copy(text);
		this.#comments.set(kept, kept);
		return kept;
	}

	/** A number for each memory made, so that not all look closer at the same time. */
	next(): number {
		return this.#memories++;
	}
}

function copy(text: string): string {
	return Buffer.from(text).toString();
}

/** One body in so many is read in full. */
const FULL_EVERY = 16;

export interface MemoryOptions {
	/**
	 * Groups of metrics nobody asks for are passed over, which takes it that the lines of one metric stand together behind its `# TYPE`, as both formats have it. What
	 * comes to stand among those of another is found when a body is read in full, one in 16.
	 */
	readonly passes?: boolean;
}

/** What one target's last body was like. */
export class SeriesMemory {
	readonly cache: LabelCache;
	/** The wanted lines, in order. */
	lines: readonly KnownLine[] = [];
	/** Its comments, in order. */
	groups: readonly KnownGroup[] = [];
	readonly #passes: boolean;
	#bodies: number;
	#full = true;

	constructor(cache = new LabelCache(), { passes = false }: MemoryOptions = {}) {
		this.cache = cache;
		this.#passes = passes;
		this.#bodies = cache.next();
	}

	/** A body begins. Whether its idle groups may be passed over. */
	begin(): boolean {
		const full = this.#full || ++this.#bodies % FULL_EVERY === 0;
		this.#full = false;
		return this.#passes && !full;
	}

	/** Comments are not what they were: the next body is read in full. */
	changed(): void {
		this.#full = true;
	}
}
