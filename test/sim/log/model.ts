// Owns what a durable log should hold, kept as plainly as can be: one list of entries a group. The checked log shares no code with it.
import type { Entry, HardState, LogWrite, RecoveredGroup, SnapshotMeta } from '@infermesh/fabric';

export interface ModelGroup {
	readonly hardState: HardState;
	readonly snapshot: SnapshotMeta | undefined;
	/** After the snapshot. */
	readonly entries: readonly Entry[];
}

export type ModelState = ReadonlyMap<number, ModelGroup>;

export const emptyGroup: ModelGroup = {
	hardState: { term: 0, votedFor: undefined, commit: 0 },
	snapshot: undefined,
	entries: [],
};

export function lastIndex(group: ModelGroup): number {
	return group.entries.at(-1)?.index ?? group.snapshot?.index ?? 0;
}

/** Every state a crash may leave when it falls into the batch: the one before, and the one after each step of it. The last is the whole. */
export function statesWithin(before: ModelState, writes: readonly LogWrite[]): readonly ModelState[] {
	const states: ModelState[] = [before];
	const step = (group: number, change: (group: ModelGroup) => ModelGroup): void => {
		const state = states.at(-1) ?? before;
		states.push(new Map(state).set(group, change(state.get(group) ?? emptyGroup)));
	};
	for (const { group, snapshot, entries, hardState } of writes) {
		if (snapshot !== undefined) step(group, (has) => ({ ...has, snapshot, entries: afterSnapshot(has, snapshot) }));
		for (const entry of entries) {
			step(group, (has) => ({ ...has, entries: [...has.entries.filter((other) => other.index < entry.index), entry] }));
		}
		if (hardState !== undefined) step(group, (has) => ({ ...has, hardState }));
	}
	return states;
}

/** Entries that still follow once a snapshot covers the log: those after it, if it is of the same history. */
function afterSnapshot(group: ModelGroup, meta: SnapshotMeta): readonly Entry[] {
	const covered = group.entries.find((entry) => entry.index === meta.index);
	const same =
		covered?.term === meta.term || (group.snapshot?.index === meta.index && group.snapshot.term === meta.term);
	return same ? group.entries.filter((entry) => entry.index > meta.index) : [];
}

/** Text of a state; equal states have equal texts. Groups that hold nothing count as absent. */
export function describe(state: ReadonlyMap<number, ModelGroup | RecoveredGroup>): string {
	return [...state]
		.sort(([a], [b]) => a - b)
		.map(([id, group]) => {
			const { hardState, snapshot } = group;
			const entries = group.entries.map(
				(entry) => `${entry.index}/${entry.term}${entry.kind[0]}${Buffer.from(entry.data).toString('hex')}`,
			);
			const mark =
				snapshot === undefined ? '-' : `${snapshot.index}/${snapshot.term}${JSON.stringify(snapshot.membership)}`;
			const hard = `${hardState.term},${hardState.votedFor ?? ''},${hardState.commit}`;
			return `${id}: [${hard}] ${mark} ${entries.join(' ')}`;
		})
		.filter((text) => !/^\d+: \[0,,0\] - $/.test(text))
		.join('\n');
}
