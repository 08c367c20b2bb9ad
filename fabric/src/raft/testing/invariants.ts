// Owns what must hold across all members of a group at every step, whoever drives them (fabric.md 5.2): election safety, log matching, state
// machine safety, commits that never go back. Used by the tests of this room; a broken one throws with both sides named.
import type { RaftCore } from '../core.js';
import { invariant } from '../invariant.js';
import type { Entry, PeerId } from '../messages.js';

/** Checks a group as it runs; remembers leaders by term and applied entries by index. */
export class GroupChecker {
	readonly #leaders = new Map<number, PeerId>();
	readonly #applied = new Map<number, Entry>();
	/** In the order they were first applied, with the term of the member that did: they were committed in that term or before. */
	readonly #order: { readonly entry: Entry; readonly term: number }[] = [];
	/** How much of that order a leader of a term has been checked against. */
	readonly #checked = new Map<number, number>();
	readonly #commits = new Map<PeerId, number>();
	readonly #terms = new Map<PeerId, number>();

	/** Highest index applied anywhere. */
	get appliedMax(): number {
		return Math.max(0, ...this.#applied.keys());
	}

	/** At most one leader a term (paper §5.2), ever. */
	leads(core: RaftCore): void {
		if (core.role !== 'leader') return;
		const before = this.#leaders.get(core.term);
		invariant(before === undefined || before === core.id, `${before} and ${core.id} both lead term ${core.term}`);
		this.#leaders.set(core.term, core.id);
		// Leader completeness (paper §5.4): whatever was committed in an earlier term is in its log.
		for (const { entry, term } of this.#order.slice(this.#checked.get(core.term) ?? 0)) {
			if (term >= core.term || entry.index < core.firstIndex) continue;
			invariant(
				core.termAt(entry.index) === entry.term,
				`leader ${core.id} of term ${core.term} lacks ${entry.index}/${entry.term}`,
			);
		}
		this.#checked.set(core.term, this.#order.length);
	}

	/** No two members apply different entries at one index (paper §5.4.3). */
	applies(core: RaftCore, entry: Entry): void {
		const before = this.#applied.get(entry.index);
		if (before === undefined) {
			this.#applied.set(entry.index, entry);
			this.#order.push({ entry, term: core.term });
		} else {
			const same = before.term === entry.term && Buffer.compare(before.data, entry.data) === 0;
			invariant(
				same,
				`${core.id} applies ${entry.index}/${entry.term} where ${before.index}/${before.term} was applied before`,
			);
		}
	}

	/** Term and commit index of a running member never go back. */
	advances(core: RaftCore): void {
		invariant(core.commitIndex >= (this.#commits.get(core.id) ?? 0), `the commit index of ${core.id} goes back`);
		invariant(core.term >= (this.#terms.get(core.id) ?? 0), `the term of ${core.id} goes back`);
		this.#commits.set(core.id, core.commitIndex);
		this.#terms.set(core.id, core.term);
	}

	/** A restart may lose a commit index that was never written. */
	restarts(id: PeerId): void {
		this.#commits.delete(id);
		this.#terms.delete(id);
	}

	/** Two logs that agree at an index and term agree on all before it (paper §5.3). */
	logsMatch(one: RaftCore, other: RaftCore): void {
		const from = Math.max(one.firstIndex, other.firstIndex);
		let agreed = false;
		for (let index = Math.min(one.lastIndex, other.lastIndex); index >= from; index--) {
			const same = one.termAt(index) === other.termAt(index);
			invariant(same || !agreed, `the logs of ${one.id} and ${other.id} agree after they differ at ${index}`);
			agreed = same;
		}
	}

	all(cores: readonly RaftCore[]): void {
		for (const core of cores) {
			this.leads(core);
			this.advances(core);
		}
		for (const [at, one] of cores.entries()) for (const other of cores.slice(at + 1)) this.logsMatch(one, other);
	}
}
