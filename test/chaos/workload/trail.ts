// Owns the comparison of what several watchers are told of one stream of changes: each must be told every revision once, in order, with the same events,
// and nothing that was acknowledged may be missing. What all have passed is forgotten after a while.

interface Entry {
	readonly revision: number;
	/** Sorted. */
	readonly events: readonly string[];
}

/** Acknowledgements may come this many revisions after all watchers were told. */
const rememberedRevisions = 5_000;
/** How far the slowest watcher may be behind before the run is stopped for want of memory. */
const entriesMax = 200_000;

export class Trail {
	readonly #violation: (what: string) => void;
	readonly #from: number;
	/** In the order of revisions. */
	readonly #entries: Entry[] = [];
	readonly #positions: number[];
	/** For each watcher, the first entry it has not passed. */
	readonly #next: number[];
	readonly #owed = new Map<number, string>();
	told = 0;

	constructor(watchers: number, from: number, violation: (what: string) => void) {
		this.#violation = violation;
		this.#from = from;
		this.#positions = Array.from({ length: watchers }, () => from);
		this.#next = Array.from({ length: watchers }, () => 0);
	}

	/** The revision a watcher stands at. */
	position(watcher: number): number {
		return this.#positions[watcher] ?? 0;
	}

	/** A write was acknowledged: all must be told `event` at this revision. */
	owe(revision: number, event: string): void {
		if (revision <= this.#from) return;
		if (revision > Math.min(...this.#positions)) this.#owed.set(revision, event);
		else this.#settle(revision, event);
	}

	/** A watcher is told all events of one revision. */
	tell(watcher: number, revision: number, events: readonly string[]): void {
		const position = this.position(watcher);
		if (revision <= position) return this.#wrong(watcher, `was told revision ${revision} after ${position}`);
		this.told++;
		this.#skip(watcher, revision - 1);
		const at = this.#next[watcher] ?? 0;
		const sorted = events.toSorted();
		const known = this.#entries[at];
		if (known?.revision === revision) {
			if (known.events.join('\n') !== sorted.join('\n'))
				this.#wrong(
					watcher,
					`was told ${sorted.join(', ')} at revision ${revision}, others ${known.events.join(', ')}`,
				);
		} else this.#insert(at, { revision, events: sorted });
		this.#next[watcher] = at + 1;
		this.#stand(watcher, revision);
	}

	/** A watcher stands at `revision` with nothing to tell up to there. */
	progress(watcher: number, revision: number): void {
		if (revision <= this.position(watcher)) return;
		this.#skip(watcher, revision);
		this.#stand(watcher, revision);
	}

	#insert(at: number, entry: Entry): void {
		for (const [other, position] of this.#positions.entries()) {
			const next = this.#next[other] ?? 0;
			if (position < entry.revision) continue;
			this.#wrong(other, `was not told revision ${entry.revision}`);
			this.#next[other] = next + 1;
		}
		this.#entries.splice(at, 0, entry);
	}

	/** Entries up to `revision` that a watcher has not been told, it never will be. */
	#skip(watcher: number, revision: number): void {
		let next = this.#next[watcher] ?? 0;
		for (
			let entry = this.#entries[next];
			entry !== undefined && entry.revision <= revision;
			entry = this.#entries[++next]
		)
			this.#wrong(watcher, `was not told revision ${entry.revision}`);
		this.#next[watcher] = next;
	}

	#stand(watcher: number, revision: number): void {
		this.#positions[watcher] = revision;
		const least = Math.min(...this.#positions);
		for (const [owed, event] of this.#owed) {
			if (owed > least) continue;
			this.#owed.delete(owed);
			this.#settle(owed, event);
		}
		let gone = 0;
		while ((this.#entries[gone]?.revision ?? Number.POSITIVE_INFINITY) <= least - rememberedRevisions) gone++;
		if (gone > 0) {
			this.#entries.splice(0, gone);
			for (const [at, next] of this.#next.entries()) this.#next[at] = next - gone;
		}
		if (this.#entries.length > entriesMax) throw new Error('a watcher has stood still for too long');
	}

	/** Every watcher has passed the revision: the event must have been among what was told. */
	#settle(revision: number, event: string): void {
		const found = this.#entries.findLast((entry) => entry.revision <= revision);
		if (found?.revision === revision && found.events.includes(event)) return;
		this.#violation(`${event} was acknowledged at revision ${revision} and told to no watcher`);
	}

	#wrong(watcher: number, what: string): void {
		this.#violation(`watcher ${watcher + 1} ${what}`);
	}
}
