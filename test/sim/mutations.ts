// Owns which known bugs there are and how one is switched on, whatever part of a simulated host has it.
import {
	type LogMutation,
	type RaftMutation,
	raftMutations,
	type StoreMutation,
	type SwimMutation,
	storeMutations,
	swimMutations,
} from '@infermesh/fabric';

/** Those of the log that a cluster comes across; the log's own histories (test/sim/log) notice all ten. */
export const logMutations: readonly LogMutation[] = ['skip-fsync', 'ack-before-sync', 'no-folder-sync'];

export interface Mutations {
	readonly raft: ReadonlySet<RaftMutation>;
	readonly log: ReadonlySet<LogMutation>;
	readonly store: ReadonlySet<StoreMutation>;
	readonly swim: ReadonlySet<SwimMutation>;
}

/** The bug of this name switched on, wherever it is. */
export function switchedOn(mutation: string | undefined): Mutations {
	const only = <T extends string>(names: readonly T[]): ReadonlySet<T> =>
		new Set(names.filter((name) => name === mutation));
	return {
		raft: only(raftMutations),
		log: only(logMutations),
		store: only(storeMutations),
		swim: only(swimMutations),
	};
}
