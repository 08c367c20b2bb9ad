// Owns how arms of a bench take turns over one workload: time is cut into rounds, a round into a slot for each arm, and every arm replays the same part of
// the workload in a round, in its own slot. The order changes from round to round, so that what disturbs the machine for a while disturbs all arms alike.
import type { TraceSource } from '@infermesh/host';

export interface Turns {
	readonly arms: number;
	readonly rounds: number;
	/** Of one slot, on the clock of the workload. */
	readonly slotMs: number;
}

/** The slot of an arm in a round: the first arm of a round is the second of the next. */
export function slotOf({ arms }: Turns, arm: number, round: number): number {
	return round * arms + ((arm + round) % arms);
}

/** What one arm is sent of `source`, which is its own to walk. */
export function turnsOf(source: TraceSource, turns: Turns, arm: number): TraceSource {
	return {
		kind: source.kind,
		name: source.name,
		blockTokens: source.blockTokens,
		notes: () => source.notes(),
		async *[Symbol.asyncIterator]() {
			for await (const request of source) {
				const round = Math.floor(request.atMs / turns.slotMs);
				if (round >= turns.rounds) return;
				yield { ...request, atMs: request.atMs + (slotOf(turns, arm, round) - round) * turns.slotMs };
			}
		},
	};
}
