// Owns the comparison of what a source lists with what the mesh has recorded of it. Pure: time comes in, changes come out. What is no longer listed takes no
// new requests at once, since its engine may be going; it is removed when it has been away for long enough, so that a flapping list costs no row.

export interface RecordedTarget {
	readonly id: string;
	/** Which source it is from; undefined for one that an operator added or a node announced. */
	readonly source: string | undefined;
	readonly missing: boolean;
}

export interface DiscoveryPlan {
	/** Listed, and to be recorded as listed. */
	readonly write: readonly string[];
	/** Recorded from this source, no longer listed: no new requests. */
	readonly miss: readonly string[];
	/** Missing for long enough. */
	readonly remove: readonly string[];
	/** Listed, and recorded from elsewhere: left alone. */
	readonly foreign: readonly string[];
}

export class DiscoveryPlanner {
	readonly #source: string;
	readonly #removeAfterMs: number;
	/** Since when what is recorded has not been listed. */
	readonly #missingSinceMs = new Map<string, number>();

	constructor(source: string, removeAfterMs: number) {
		this.#source = source;
		this.#removeAfterMs = removeAfterMs;
	}

	plan(listed: ReadonlySet<string>, recorded: readonly RecordedTarget[], nowMs: number): DiscoveryPlan {
		const foreign = recorded.filter(({ id, source }) => source !== this.#source && listed.has(id)).map(({ id }) => id);
		const lost = recorded.filter(({ id, source }) => source === this.#source && !listed.has(id));
		const lostIds = new Set(lost.map(({ id }) => id));
		for (const id of this.#missingSinceMs.keys()) if (!lostIds.has(id)) this.#missingSinceMs.delete(id);
		for (const id of lostIds) if (!this.#missingSinceMs.has(id)) this.#missingSinceMs.set(id, nowMs);
		const over = (id: string): boolean => nowMs - (this.#missingSinceMs.get(id) ?? nowMs) >= this.#removeAfterMs;
		return {
			write: [...listed].filter((id) => !foreign.includes(id)),
			miss: lost.filter(({ id, missing }) => !missing && !over(id)).map(({ id }) => id),
			remove: [...lostIds].filter(over),
			foreign,
		};
	}
}
