// Owns reading groups back from records in the order they were written.
import type { Entry, HardState, SnapshotMeta } from '../raft/messages.js';
import { noHardState } from './group-state.js';
import type { RecoveredGroup } from './ports.js';
import type { LogRecord } from './record.js';

interface Group {
	hardState: HardState;
	snapshot: SnapshotMeta | undefined;
	entries: Entry[];
}

/** Records contradict each other, which no torn write explains. */
export class Contradiction extends Error {}

export class Replay {
	readonly #groups = new Map<number, Group>();

	apply(record: LogRecord): void {
		const known = this.#groups.get(record.group);
		const group: Group = known ?? { hardState: noHardState, snapshot: undefined, entries: [] };
		this.#groups.set(record.group, group);
		switch (record.kind) {
			case 'entries':
				appendEntries(record.group, group, record.entries);
				break;
			case 'hardState':
				group.hardState = record.hardState;
				break;
			case 'snapshot':
				group.snapshot = record.meta;
				dropCovered(group, record.meta.index, record.keepsTail);
				break;
			case 'marks':
				// In the first segment there is, marks say what segments before it said; later they repeat what has just been read.
				if (known !== undefined && !agrees(known, record))
					throw new Contradiction(`group ${record.group}: marks do not say what the records before them say`);
				group.hardState = record.hardState;
				group.snapshot = record.snapshot;
				break;
		}
	}

	/** What each group had. Throws Contradiction when entries are missing before the first. */
	finish(): Map<number, RecoveredGroup> {
		for (const [id, group] of this.#groups) {
			const covered = group.snapshot?.index ?? 0;
			dropCovered(group, covered, true);
			const first = group.entries[0];
			if (first !== undefined && first.index !== covered + 1)
				throw new Contradiction(`group ${id}: entries ${covered + 1} to ${first.index - 1} are missing`);
		}
		return new Map(this.#groups);
	}
}

function appendEntries(id: number, group: Group, entries: readonly Entry[]): void {
	const [first] = entries;
	const [held] = group.entries;
	if (first === undefined) return;
	if (held !== undefined) {
		if (first.index > held.index + group.entries.length)
			throw new Contradiction(`group ${id}: entries before ${first.index} are missing`);
		group.entries.length = Math.max(0, first.index - held.index);
	}
	// Data are views of the segment being read; the entries outlive it.
	for (const entry of entries) group.entries.push({ ...entry, data: Uint8Array.from(entry.data) });
}

function dropCovered(group: Group, index: number, keepsTail: boolean): void {
	const [first] = group.entries;
	if (!keepsTail) group.entries = [];
	else if (first !== undefined && first.index <= index) group.entries.splice(0, index + 1 - first.index);
}

function agrees(
	group: Group,
	marks: { readonly hardState: HardState; readonly snapshot: SnapshotMeta | undefined },
): boolean {
	return (
		group.hardState.term === marks.hardState.term &&
		group.hardState.commit === marks.hardState.commit &&
		group.hardState.votedFor === marks.hardState.votedFor &&
		group.snapshot?.index === marks.snapshot?.index &&
		group.snapshot?.term === marks.snapshot?.term
	);
}
