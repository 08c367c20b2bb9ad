// Owns the contents that one tier of an engine holds, as runs of numbers: found by number in the order of numbers, let go least recently used first. All
// blocks of a run are alike; what happens to a part of one splits it, and what is laid beside its neighbour as the latest joins it. Invariants: runs do not
// overlap; a run is in the order of use exactly when nobody refers to it.

export class Run {
	/** Number of the first block, and the one after the last. */
	start: number;
	end: number;
	/** Sequences that refer to each of its blocks. */
	references = 0;
	/** Whether an observer is told of its blocks. */
	readonly told: boolean;
	/** Let go from its start on, not from its end. */
	rising = false;
	/** Neighbours in the order of use. */
	previous: Run | undefined;
	next: Run | undefined;

	constructor(start: number, end: number, told: boolean) {
		this.start = start;
		this.end = end;
		this.told = told;
	}

	get length(): number {
		return this.end - this.start;
	}
}

/** Runs that lie in one array: a set is a list of such arrays, so that one more costs the moving of a few. */
const CHUNK_MAX = 64;

export class RunSet {
	/** Blocks of all runs. */
	blocks = 0;
	/** Blocks of those that nobody refers to. */
	idle = 0;
	/** None is empty. */
	readonly #chunks: Run[][] = [];
	#oldest: Run | undefined;
	#latest: Run | undefined;

	/** The run to be let go first. */
	get oldest(): Run | undefined {
		return this.#oldest;
	}

	/** The run with the highest start up to a number: it holds the number, or ends before it. */
	floor(number: number): Run | undefined {
		const chunk = this.#chunks[this.#chunkOf(number)];
		return chunk?.[placeIn(chunk, number)];
	}

	/** The run that holds a number. */
	holding(number: number): Run | undefined {
		const run = this.floor(number);
		return run !== undefined && number < run.end ? run : undefined;
	}

	/** Start of the first run behind a number, or Infinity. */
	startAfter(number: number): number {
		const at = this.#chunkOf(number);
		const chunk = this.#chunks[at];
		if (chunk === undefined) return Number.POSITIVE_INFINITY;
		const place = placeIn(chunk, number) + 1;
		return (chunk[place] ?? this.#chunks[at + 1]?.[0])?.start ?? Number.POSITIVE_INFINITY;
	}

	/** Leading blocks of `count` from a number on that are here. */
	leading(first: number, count: number): number {
		const past = first + count;
		let at = first;
		while (at < past) {
			const run = this.holding(at);
			if (run === undefined) break;
			at = Math.min(past, run.end);
		}
		return at - first;
	}

	/** Takes in blocks that are not here, with so many references; they join the run before them where they are like it and in use. */
	add(first: number, count: number, told: boolean, references: number): Run {
		this.blocks += count;
		const before = references === 0 ? undefined : this.floor(first);
		if (before?.end === first && before.references === references && before.told === told) {
			before.end += count;
			return before;
		}
		const run = new Run(first, first + count, told);
		run.references = references;
		this.#insert(run);
		return run;
	}

	/** The run that begins with a number that is here and ends before `past`: the one that holds it, cut on both sides if need be. */
	cut(number: number, past: number): Run {
		let run = this.holding(number);
		if (run === undefined) throw new Error(`block ${number} is not here`);
		if (run.start < number) run = this.#split(run, number);
		if (run.end > past) this.#split(run, past);
		return run;
	}

	/** Lets go of `count` blocks of a run, at the side where it is let go, and returns the number of the first. Its length bounds the count. */
	drop(run: Run, count: number): number {
		this.blocks -= count;
		if (run.references === 0) this.idle -= count;
		const first = run.rising ? run.start : run.end - count;
		if (count === run.length) {
			if (run.references === 0) this.#unlink(run);
			this.#remove(run);
		} else if (run.rising) run.start += count;
		else run.end -= count;
		return first;
	}

	/** Makes a run the latest of those nobody refers to; it may be another one's part afterwards. */
	retire(run: Run, rising: boolean): void {
		this.idle += run.length;
		const latest = this.#latest;
		if (latest?.told === run.told && (latest.length === 1 || latest.rising === rising)) {
			if (rising && latest.end === run.start) {
				this.#remove(run);
				latest.end = run.end;
				latest.rising = true;
				return;
			}
			if (!rising && run.end === latest.start) {
				this.#unlink(latest);
				this.#remove(latest);
				run.end = latest.end;
			}
		}
		run.rising = rising;
		this.#link(run, this.#latest, undefined);
	}

	/** Takes a run out of the order of use. */
	revive(run: Run): void {
		this.idle -= run.length;
		this.#unlink(run);
	}

	/** Throws unless the books are right; costs O(runs). */
	checkInvariants(): void {
		let blocks = 0;
		let idle = 0;
		let past = Number.NEGATIVE_INFINITY;
		for (const chunk of this.#chunks) {
			if (chunk.length === 0) throw new Error('a chunk of runs is empty');
			for (const run of chunk) {
				if (run.start < past || run.end <= run.start) throw new Error(`run ${run.start} to ${run.end} is out of order`);
				past = run.end;
				blocks += run.length;
				if (run.references === 0) idle += run.length;
			}
		}
		let listed = 0;
		for (let run = this.#oldest; run !== undefined; run = run.next) {
			if (run.references !== 0 || this.holding(run.start) !== run)
				throw new Error(`run ${run.start} is listed in vain`);
			listed += run.length;
		}
		if (blocks !== this.blocks || idle !== this.idle || listed !== idle)
			throw new Error(`${blocks} blocks, ${idle} idle, ${listed} listed; counted ${this.blocks} and ${this.idle}`);
	}

	/** Splits a run, and returns the part from a number on. */
	#split(run: Run, at: number): Run {
		const rest = new Run(at, run.end, run.told);
		rest.references = run.references;
		rest.rising = run.rising;
		run.end = at;
		this.#insert(rest);
		if (run.references === 0) {
			if (run.rising) this.#link(rest, run, run.next);
			else this.#link(rest, run.previous, run);
		}
		return rest;
	}

	/** The chunk that a number belongs to, by the starts of their first runs. */
	#chunkOf(number: number): number {
		const chunks = this.#chunks;
		let low = 0;
		let high = chunks.length;
		while (high - low > 1) {
			const middle = (low + high) >> 1;
			if (((chunks[middle] as Run[])[0] as Run).start <= number) low = middle;
			else high = middle;
		}
		return low;
	}

	#insert(run: Run): void {
		const at = this.#chunkOf(run.start);
		const chunk = this.#chunks[at];
		if (chunk === undefined) {
			this.#chunks.push([run]);
			return;
		}
		const place = placeIn(chunk, run.start) + 1;
		chunk.push(run);
		for (let i = chunk.length - 1; i > place; i--) chunk[i] = chunk[i - 1] as Run;
		chunk[place] = run;
		if (chunk.length > CHUNK_MAX) this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK_MAX / 2));
	}

	#remove(run: Run): void {
		const at = this.#chunkOf(run.start);
		const chunk = this.#chunks[at] as Run[];
		for (let i = placeIn(chunk, run.start); i < chunk.length - 1; i++) chunk[i] = chunk[i + 1] as Run;
		chunk.length--;
		if (chunk.length === 0) this.#chunks.splice(at, 1);
	}

	#link(run: Run, previous: Run | undefined, next: Run | undefined): void {
		run.previous = previous;
		run.next = next;
		if (previous === undefined) this.#oldest = run;
		else previous.next = run;
		if (next === undefined) this.#latest = run;
		else next.previous = run;
	}

	#unlink({ previous, next }: Run): void {
		if (previous === undefined) this.#oldest = next;
		else previous.next = next;
		if (next === undefined) this.#latest = previous;
		else next.previous = previous;
	}
}

/** Place of the last run of a chunk that starts at or before a number, or -1. */
function placeIn(chunk: readonly Run[], number: number): number {
	let low = 0;
	let high = chunk.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((chunk[middle] as Run).start <= number) low = middle + 1;
		else high = middle;
	}
	return low - 1;
}
