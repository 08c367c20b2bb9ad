// Owns the published form of the precise index: a bounded table in shared memory from the chained hash of a prompt's tokens to the targets
// that hold everything up to there. One writer, any number of readers. A bucket has sixteen ways whose tags lie in one cache line and the numbers of their
// entries in the next, so a look-up reads one pair of lines and one entry. Entries are taken in order and the last to go first: those of a run lie side by side,
// and the writer walks through them. Each has a sequence number that is odd while it is written, and while it stands for nothing. An entry
// that comes or goes moves its sequence once; a word that changes alone does not move it. A reader may come by a way to an entry that stands for something else
// by then: it asks every entry for its hash. Invariant: an entry never claims more than is true when it is
// read; what finds no room is missing, never wrong.

/** Holders an entry names; it counts all. */
export const HOLDERS_NAMED_MAX = 8;
const WAYS = 16;
/** Tags of the ways, and behind them the numbers of their entries. */
const BUCKET_WORDS = WAYS * 2;
/** A cache line. */
const ENTRY_WORDS = 16;
const SEQUENCE = 0;
const LOW = 1;
const HIGH = 2;
const COUNT = 3;
const HOLDERS = 4;
/** The writer's own: what it keeps for an entry beside what it says (while it is free, the next free one), and where the tag of the entry is. */
const NOTE = HOLDERS + HOLDERS_NAMED_MAX;
const TAG_AT = NOTE + 1;
const NONE = -1;
/** Control words: one that moves whenever a row's state does. */
const ROWS_EPOCH = 0;
const CONTROL_WORDS = 16;
const READ_ATTEMPTS_MAX = 8;

const ROW_BITS = 14;
const GENERATION_BITS = 15;
const ROW_MASK = (1 << ROW_BITS) - 1;
const GENERATION_MASK = (1 << GENERATION_BITS) - 1;

export interface KvTableShared {
	readonly rowsMax: number;
	/** A power of two. */
	readonly buckets: number;
	readonly entries: number;
	readonly buffer: SharedArrayBuffer;
}

/** Room for `blocksMax` entries: buckets are half full then. */
export function createKvTable(rowsMax: number, blocksMax: number): KvTableShared {
	if (rowsMax > 1 << ROW_BITS) throw new RangeError(`rowsMax ${rowsMax} is beyond 2^${ROW_BITS}`);
	let buckets = 1;
	while (buckets * WAYS < blocksMax * 2) buckets *= 2;
	const entries = Math.max(WAYS, blocksMax);
	const words = CONTROL_WORDS + rowWords(rowsMax) + buckets * BUCKET_WORDS + entries * ENTRY_WORDS;
	return { rowsMax, buckets, entries, buffer: new SharedArrayBuffer(words * 4) };
}

/** Two a row, in whole cache lines. */
function rowWords(rowsMax: number): number {
	return Math.ceil(rowsMax / 8) * 16;
}

interface Views {
	readonly control: Int32Array;
	/** Two words a row: generation plus one while its events are all known, and the tokens between two positions of its chains. */
	readonly rows: Int32Array;
	/** `BUCKET_WORDS` a bucket. */
	readonly tags: Uint32Array;
	readonly entries: Int32Array;
}

function openViews({ rowsMax, buckets, entries, buffer }: KvTableShared): Views {
	const rowsAt = CONTROL_WORDS * 4;
	const tagsAt = rowsAt + rowWords(rowsMax) * 4;
	const bucketWords = buckets * BUCKET_WORDS;
	return {
		control: new Int32Array(buffer, 0, CONTROL_WORDS),
		rows: new Int32Array(buffer, rowsAt, rowsMax * 2),
		tags: new Uint32Array(buffer, tagsAt, bucketWords),
		entries: new Int32Array(buffer, tagsAt + bucketWords * 4, entries * ENTRY_WORDS),
	};
}

function bucketOf(low: number, high: number, buckets: number): number {
	const mixed = Math.imul(high, 0x9e3779b1) ^ low;
	return (mixed ^ (mixed >>> 15)) & (buckets - 1);
}

/** 0 marks a free way. */
function tagOf(low: number): number {
	return low === 0 ? 1 : low;
}

export function packHolder(row: number, generation: number, tier: number): number {
	return (
		(row | ((generation & GENERATION_MASK) << ROW_BITS) | (Math.min(tier, 7) << (ROW_BITS + GENERATION_BITS))) >>> 0
	);
}

export class KvTableWriter {
	readonly #buckets: number;
	readonly #entriesMax: number;
	readonly #views: Views;
	/** Entries before this one have been used. */
	#used = 0;
	#free = NONE;

	constructor(shared: KvTableShared) {
		this.#buckets = shared.buckets;
		this.#entriesMax = shared.entries;
		this.#views = openViews(shared);
	}

	get buckets(): number {
		return this.#buckets;
	}

	/** Takes back all that is said. */
	reset(): void {
		const { control, rows, tags, entries } = this.#views;
		rows.fill(0);
		for (let base = 0; base < tags.length; base += BUCKET_WORDS)
			for (let way = base; way < base + WAYS; way++) {
				if (tags[way] === 0) continue;
				const at = (tags[way + WAYS] as number) * ENTRY_WORDS;
				// A writer that died inside an entry has left it odd.
				if ((Atomics.load(entries, at + SEQUENCE) & 1) === 0) this.#move(at);
				entries[at + COUNT] = 0;
				tags[way] = 0;
			}
		this.#used = 0;
		this.#free = NONE;
		Atomics.add(control, ROWS_EPOCH, 1);
	}

	/** Entry of a hash, or -1. */
	find(low: number, high: number): number {
		const { tags, entries } = this.#views;
		const tag = tagOf(low);
		const base = bucketOf(low, high, this.#buckets) * BUCKET_WORDS;
		for (let way = base; way < base + WAYS; way++) {
			if (tags[way] !== tag) continue;
			const entry = tags[way + WAYS] as number;
			const at = entry * ENTRY_WORDS;
			if (entries[at + LOW] === (low | 0) && entries[at + HIGH] === (high | 0)) return entry;
		}
		return NONE;
	}

	/** Reads the tags of a hash, for its effect on the cache: see KeyIndex.touch. */
	touchTags(low: number, high: number): number {
		return this.#views.tags[bucketOf(low, high, this.#buckets) * BUCKET_WORDS] as number;
	}

	/** Reads an entry. */
	touch(entry: number): number {
		return this.#views.entries[entry * ENTRY_WORDS + TAG_AT] as number;
	}

	/** Reads an entry and its tag. */
	touchWhole(entry: number): number {
		const { tags, entries } = this.#views;
		return tags[entries[entry * ENTRY_WORDS + TAG_AT] as number] as number;
	}

	/** Bucket of a hash, below `buckets`. */
	bucketOf(low: number, high: number): number {
		return bucketOf(low, high, this.#buckets);
	}

	/** Takes an entry for a hash that has none, held by one holder; -1 when its bucket is full, or all are. `note` is the writer's own. */
	add(low: number, high: number, holder: number, note = 0): number {
		const { tags, entries } = this.#views;
		const base = bucketOf(low, high, this.#buckets) * BUCKET_WORDS;
		for (let way = base; way < base + WAYS; way++) {
			if (tags[way] !== 0) continue;
			const entry = this.#take();
			if (entry === NONE) return NONE;
			const at = entry * ENTRY_WORDS;
			// Odd since it stood for something, even if it never has.
			if (((entries[at + SEQUENCE] as number) & 1) === 0) this.#move(at);
			entries[at + LOW] = low;
			entries[at + HIGH] = high;
			entries[at + COUNT] = 1;
			entries[at + HOLDERS] = holder;
			entries[at + NOTE] = note;
			entries[at + TAG_AT] = way;
			this.#move(at);
			tags[way + WAYS] = entry;
			tags[way] = tagOf(low);
			return entry;
		}
		return NONE;
	}

	#take(): number {
		const entry = this.#free;
		if (entry === NONE) return this.#used < this.#entriesMax ? this.#used++ : NONE;
		this.#free = this.#views.entries[entry * ENTRY_WORDS + NOTE] as number;
		return entry;
	}

	/** Says who holds what an entry stands for; `named` of them are in `holders`. */
	set(entry: number, count: number, holders: Uint32Array, named: number): void {
		const { entries } = this.#views;
		const at = entry * ENTRY_WORDS;
		this.#move(at);
		entries[at + COUNT] = count;
		for (let i = 0; i < named; i++) entries[at + HOLDERS + i] = holders[i] as number;
		this.#move(at);
	}

	/** Says the same of a holder that is named in another form: its tier has changed. */
	rename(entry: number, before: number, now: number): void {
		const { entries } = this.#views;
		const first = entry * ENTRY_WORDS + HOLDERS;
		for (let at = first; at < first + HOLDERS_NAMED_MAX; at++) {
			if (entries[at] !== (before | 0)) continue;
			entries[at] = now;
			return;
		}
	}

	remove(entry: number): void {
		const { tags, entries } = this.#views;
		const at = entry * ENTRY_WORDS;
		this.#move(at);
		entries[at + COUNT] = 0;
		tags[entries[at + TAG_AT] as number] = 0;
		entries[at + NOTE] = this.#free;
		this.#free = entry;
	}

	/** Holders of what an entry stands for. */
	countOf(entry: number): number {
		return this.#views.entries[entry * ENTRY_WORDS + COUNT] as number;
	}

	noteOf(entry: number): number {
		return this.#views.entries[entry * ENTRY_WORDS + NOTE] as number;
	}

	note(entry: number, note: number): void {
		this.#views.entries[entry * ENTRY_WORDS + NOTE] = note;
	}

	/** `stride` 0 = not live: nothing is promised of the row. */
	setRow(row: number, generation: number, stride: number): void {
		const { control, rows } = this.#views;
		Atomics.store(rows, row * 2 + 1, stride);
		Atomics.store(rows, row * 2, stride === 0 ? 0 : (generation & GENERATION_MASK) + 1);
		Atomics.add(control, ROWS_EPOCH, 1);
	}

	#move(at: number): void {
		Atomics.add(this.#views.entries, at + SEQUENCE, 1);
	}
}

/** One thread's read side. What `find` has found stays in its fields until the next call. */
export class KvTableReader {
	/** Holders of what was found last, named or not. */
	count = 0;
	named = 0;
	readonly #holders = new Uint32Array(HOLDERS_NAMED_MAX);
	readonly #buckets: number;
	readonly #rowsMax: number;
	readonly #views: Views;

	constructor(shared: KvTableShared) {
		this.#buckets = shared.buckets;
		this.#rowsMax = shared.rowsMax;
		this.#views = openViews(shared);
	}

	/** Looks a hash up; `count` is 0 when it is not there. Two words that come under a writer's hand are read again, a few times. */
	find(low: number, high: number): void {
		const { tags, entries } = this.#views;
		const tag = tagOf(low);
		const base = bucketOf(low, high, this.#buckets) * BUCKET_WORDS;
		this.count = 0;
		this.named = 0;
		for (let way = base; way < base + WAYS; way++) {
			if (tags[way] !== tag) continue;
			const at = (tags[way + WAYS] as number) * ENTRY_WORDS;
			for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
				const sequence = Atomics.load(entries, at + SEQUENCE);
				const same = entries[at + LOW] === (low | 0) && entries[at + HIGH] === (high | 0);
				const count = same ? (entries[at + COUNT] as number) : 0;
				const named = Math.min(count, HOLDERS_NAMED_MAX);
				for (let i = 0; i < named; i++) this.#holders[i] = entries[at + HOLDERS + i] as number;
				// An atomic read-modify-write orders the reads before it, which a load alone does not on weakly ordered machines.
				if ((sequence & 1) !== 0 || Atomics.add(entries, at + SEQUENCE, 0) !== sequence) continue;
				if (count === 0) break;
				this.count = count;
				this.named = named;
				return;
			}
		}
	}

	rowAt(holder: number): number {
		return (this.#holders[holder] as number) & ROW_MASK;
	}

	generationAt(holder: number): number {
		return ((this.#holders[holder] as number) >>> ROW_BITS) & GENERATION_MASK;
	}

	tierAt(holder: number): number {
		return (this.#holders[holder] as number) >>> (ROW_BITS + GENERATION_BITS);
	}

	/** Moves whenever a row becomes live or ceases to be. */
	rowsEpoch(): number {
		return Atomics.load(this.#views.control, ROWS_EPOCH);
	}

	/** Tokens between two positions of a row's chains while all of its events are known, else 0. */
	strideOf(row: number, generation: number): number {
		if (row >= this.#rowsMax) return 0;
		const { rows } = this.#views;
		const live = Atomics.load(rows, row * 2) === (generation & GENERATION_MASK) + 1;
		return live ? Atomics.load(rows, row * 2 + 1) : 0;
	}
}
