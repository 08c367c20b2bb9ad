// Owns what the log knows of one group while it runs: hard state, snapshot mark, and which entries (index and term, not data) it holds. It says
// how a write continues what is there, and refuses one that does not.
import { MeshError } from '@infermesh/proto';
import type { HardState, SnapshotMeta } from '../raft/messages.js';
import { logErrors } from './errors.js';
import type { LogWrite, RecoveredGroup } from './ports.js';
import type { LogRecord } from './record.js';

/** A record that changes what a group has. */
export type GroupRecord = Exclude<LogRecord, { readonly kind: 'marks' }>;

/** Entries from `from` to the next run, or to the last entry, have this term. */
interface TermRun {
	readonly from: number;
	readonly term: number;
}

export const noHardState: HardState = { term: 0, votedFor: undefined, commit: 0 };

export class GroupState {
	readonly group: number;
	#hardState = noHardState;
	#snapshot: SnapshotMeta | undefined;
	#lastIndex = 0;
	#runs: TermRun[] = [];
	#released = 0;

	constructor(group: number) {
		this.group = group;
	}

	static from(group: number, recovered: RecoveredGroup): GroupState {
		const state = new GroupState(group);
		state.#hardState = recovered.hardState;
		state.#snapshot = recovered.snapshot;
		state.#lastIndex = recovered.snapshot?.index ?? 0;
		state.#released = state.#lastIndex;
		for (const entry of recovered.entries) state.#put(entry.index, entry.term);
		return state;
	}

	get hardState(): HardState {
		return this.#hardState;
	}

	get snapshot(): SnapshotMeta | undefined {
		return this.#snapshot;
	}

	get lastIndex(): number {
		return this.#lastIndex;
	}

	/** Entries at and before this index need not stay: they are covered by a durable snapshot and nobody asks for them. */
	get floor(): number {
		return Math.min(this.#released, this.#snapshot?.index ?? 0);
	}

	release(index: number): void {
		this.#released = Math.max(this.#released, index);
	}

	clone(): GroupState {
		const copy = new GroupState(this.group);
		copy.#hardState = this.#hardState;
		copy.#snapshot = this.#snapshot;
		copy.#lastIndex = this.#lastIndex;
		copy.#runs = [...this.#runs];
		copy.#released = this.#released;
		return copy;
	}

	/** The records that carry `write`; applies them. Throws IM_LOG_GAP. */
	accept(write: LogWrite): readonly GroupRecord[] {
		const { group } = this;
		const records: GroupRecord[] = [];
		const add = (record: GroupRecord): void => {
			this.apply(record);
			records.push(record);
		};
		if (write.snapshot !== undefined) {
			const meta = write.snapshot;
			if (meta.index < (this.#snapshot?.index ?? 0))
				throw new MeshError(
					logErrors,
					'IM_LOG_GAP',
					`group ${group}: snapshot ${meta.index} is older than ${this.#snapshot?.index ?? 0}, which the log has`,
				);
			const keepsTail = meta.index <= this.#lastIndex && this.#termAt(meta.index) === meta.term;
			add({ kind: 'snapshot', group, meta, keepsTail });
		}
		const first = write.entries[0];
		if (first !== undefined) {
			const covered = this.#snapshot?.index ?? 0;
			if (first.index <= covered || first.index > this.#lastIndex + 1)
				throw new MeshError(
					logErrors,
					'IM_LOG_GAP',
					`group ${group}: entries from ${first.index} do not continue a log that is covered to ${covered} and ends at ${this.#lastIndex}`,
				);
			for (const [at, entry] of write.entries.entries()) {
				if (entry.index !== first.index + at)
					throw new MeshError(
						logErrors,
						'IM_LOG_GAP',
						`group ${group}: entry ${entry.index} does not follow the one before`,
					);
			}
			add({ kind: 'entries', group, entries: write.entries });
		}
		if (write.hardState !== undefined) add({ kind: 'hardState', group, hardState: write.hardState });
		return records;
	}

	apply(record: GroupRecord): void {
		switch (record.kind) {
			case 'entries':
				for (const entry of record.entries) this.#put(entry.index, entry.term);
				break;
			case 'hardState':
				this.#hardState = record.hardState;
				break;
			case 'snapshot':
				this.#cover(record.meta, record.keepsTail);
				break;
		}
	}

	#put(index: number, term: number): void {
		while ((this.#runs.at(-1)?.from ?? 0) >= index) this.#runs.pop();
		if (this.#runs.at(-1)?.term !== term) this.#runs.push({ from: index, term });
		this.#lastIndex = index;
	}

	#cover(meta: SnapshotMeta, keepsTail: boolean): void {
		this.#snapshot = meta;
		if (keepsTail) {
			while ((this.#runs[1]?.from ?? Number.POSITIVE_INFINITY) <= meta.index + 1) this.#runs.shift();
			if (this.#lastIndex === meta.index) this.#runs = [];
		} else {
			this.#runs = [];
			this.#lastIndex = meta.index;
		}
	}

	/** Term of an entry held or of the snapshot's last; undefined when neither. */
	#termAt(index: number): number | undefined {
		if (index === this.#snapshot?.index) return this.#snapshot.term;
		if (index > this.#lastIndex || index < (this.#snapshot?.index ?? 0)) return undefined;
		return this.#runs.findLast((run) => run.from <= index)?.term;
	}
}
