// Owns reading lists so that an operator gets an answer without quorum too: linearizable where that is possible, else what this node last heard,
// marked stale.
import { type ConsensusEngine, hasCode } from '@infermesh/fabric';
import type { Static, TSchema } from 'typebox';
import type { RecordKind } from '../records/kinds.js';
import type { Mirror } from '../records/mirror.js';
import type { Records, Stored } from '../records/records.js';

export interface Listing<T> {
	readonly items: readonly T[];
	/** Of the state the items are from; with `stale`, of the last change heard of. */
	readonly revision: number;
	/** What others have changed since may be missing. */
	readonly stale: boolean;
}

/** Whether a read failed for want of coordinators rather than for its own sake. */
export function cutOff(error: unknown): boolean {
	return (
		hasCode(error, 'IM_CONSENSUS_NO_QUORUM') ||
		hasCode(error, 'IM_CONSENSUS_UNAVAILABLE') ||
		hasCode(error, 'IM_CONSENSUS_TIMEOUT')
	);
}

/** False when the engine knows that nothing linearizable would be answered now: then no read has to wait to find out. */
async function mayAnswer(engine: ConsensusEngine): Promise<boolean> {
	try {
		return (await engine.status()).quorum;
	} catch (error) {
		if (cutOff(error)) return false;
		throw error;
	}
}

/** What `read` answers, or without quorum what `held` has. */
export async function freshOrHeld<T>(
	engine: ConsensusEngine,
	read: () => Promise<T>,
	held: () => T,
): Promise<{ readonly value: T; readonly stale: boolean }> {
	if (!(await mayAnswer(engine))) return { value: held(), stale: true };
	try {
		return { value: await read(), stale: false };
	} catch (error) {
		if (!cutOff(error)) throw error;
		return { value: held(), stale: true };
	}
}

/** All records of a kind by id. */
export async function listing<S extends TSchema>(
	records: Records,
	kind: RecordKind<S>,
	mirror: Mirror<S>,
): Promise<Listing<Stored<Static<S>>>> {
	const { value, stale } = await freshOrHeld(
		records.engine,
		() => records.list(kind),
		() => ({ items: mirror.all(), revision: mirror.revision }),
	);
	return { items: [...value.items].sort((a, b) => (a.id < b.id ? -1 : 1)), revision: value.revision, stale };
}
