// Owns how outcomes cross from a worker to the agent: one record of numbers each in one block, which is copied as memory. A list of objects
// would be walked field by field in both threads, for every request.
import type { AttemptReport, LoadReport } from '../fleet/fusion.js';
import type { AttemptOutcome, OutcomeStatusName } from '../router/ports.js';
import type { ObservedOutcome } from '../strategy/registry/state-keeper.js';

/** Cells of a record, in this order. */
const TABLE_ROW = 0;
const GENERATION = 1;
const POOL_INDEX = 2;
const POOL_ROW = 3;
const STATUS = 4;
const TOKENS_IN = 5;
const TOKENS_OUT = 6;
const TOKENS_CACHED = 7;
const TTFT_MS = 8;
const TPOT_MS = 9;
const E2E_MS = 10;
const PREDICTED_TTFT_MS = 11;
const TENANT = 12;
const FLAGS = 13;
export const OUTCOME_CELLS = 14;

const FLAG_FALLBACK = 1;
const FLAG_HEDGE_COPY = 2;
const FLAG_RETRIED = 4;
const FLAG_PREFILL = 8;
const FLAG_DECODE = 16;
const FLAG_UNREACHABLE = 32;
/** What strategies are told of. */
const FLAGS_OBSERVED = FLAG_UNREACHABLE - 1;

const statuses: readonly OutcomeStatusName[] = ['ok', 'upstream_error', 'timeout', 'cancelled', 'rejected'];

export interface OutcomeBatch {
	/** Records of `OUTCOME_CELLS` cells, in the order in which the attempts ended. */
	readonly cells: Float64Array;
	/** Load reports of engines (ORCA): the last one of each target. */
	readonly loads: readonly LoadReport[];
}

/** A failure by the target's fault. */
export function isFailure(status: OutcomeStatusName): boolean {
	return status === 'upstream_error' || status === 'timeout';
}

/** Writes the record of `outcome` at `index`. */
export function writeOutcome(cells: Float64Array, index: number, outcome: AttemptOutcome): void {
	const at = index * OUTCOME_CELLS;
	cells[at + TABLE_ROW] = outcome.target.tableRow;
	cells[at + GENERATION] = outcome.target.generation;
	cells[at + POOL_INDEX] = outcome.poolIndex;
	cells[at + POOL_ROW] = outcome.poolRow;
	cells[at + STATUS] = statuses.indexOf(outcome.status);
	cells[at + TOKENS_IN] = outcome.tokensIn;
	cells[at + TOKENS_OUT] = outcome.tokensOut;
	cells[at + TOKENS_CACHED] = outcome.tokensCached;
	cells[at + TTFT_MS] = outcome.ttftMs;
	cells[at + TPOT_MS] = outcome.tpotMs;
	cells[at + E2E_MS] = outcome.e2eMs;
	cells[at + PREDICTED_TTFT_MS] = outcome.predictedTtftMs;
	cells[at + TENANT] = outcome.tenant;
	cells[at + FLAGS] =
		(outcome.fallbackDecided ? FLAG_FALLBACK : 0) |
		(outcome.hedge === 'copy' ? FLAG_HEDGE_COPY : 0) |
		(outcome.retried ? FLAG_RETRIED : 0) |
		(outcome.leg === 'prefill' ? FLAG_PREFILL : 0) |
		(outcome.leg === 'decode' ? FLAG_DECODE : 0) |
		(outcome.unreachable ? FLAG_UNREACHABLE : 0);
}

/** What the fleet learns from a batch. */
export function attemptsOf({ cells }: OutcomeBatch): AttemptReport[] {
	return records(cells, (at) => {
		const status = statusAt(cells, at);
		return {
			tableRow: cells[at + TABLE_ROW] as number,
			generation: cells[at + GENERATION] as number,
			ok: status === 'ok',
			failed: isFailure(status),
			unreachable: ((cells[at + FLAGS] as number) & FLAG_UNREACHABLE) !== 0,
			// That of a pair's decode is the prefill's too: it says nothing of the target.
			ttftMs: (cells[at + FLAGS] as number) & FLAG_DECODE ? 0 : (cells[at + TTFT_MS] as number),
			tpotMs: cells[at + TPOT_MS] as number,
			uncachedTokens: Math.max(0, (cells[at + TOKENS_IN] as number) - (cells[at + TOKENS_CACHED] as number)),
		};
	});
}

/** What strategies observe of a batch. */
export function observedOf({ cells }: OutcomeBatch): ObservedOutcome[] {
	return records(cells, (at) => ({
		poolIndex: cells[at + POOL_INDEX] as number,
		poolRow: cells[at + POOL_ROW] as number,
		tableRow: cells[at + TABLE_ROW] as number,
		status: statusAt(cells, at),
		tokensIn: cells[at + TOKENS_IN] as number,
		tokensOut: cells[at + TOKENS_OUT] as number,
		tokensCached: cells[at + TOKENS_CACHED] as number,
		ttftMs: cells[at + TTFT_MS] as number,
		tpotMs: cells[at + TPOT_MS] as number,
		e2eMs: cells[at + E2E_MS] as number,
		predictedTtftMs: cells[at + PREDICTED_TTFT_MS] as number,
		tenant: cells[at + TENANT] as number,
		flags: (cells[at + FLAGS] as number) & FLAGS_OBSERVED,
	}));
}

/** What became of each attempt of a batch, without an object for it. */
export function eachOutcome(
	{ cells }: OutcomeBatch,
	visit: (poolIndex: number, status: OutcomeStatusName, ttftMs: number, tpotMs: number) => void,
): void {
	for (let at = 0; at < cells.length; at += OUTCOME_CELLS)
		visit(
			cells[at + POOL_INDEX] as number,
			statusAt(cells, at),
			cells[at + TTFT_MS] as number,
			cells[at + TPOT_MS] as number,
		);
}

function records<T>(cells: Float64Array, read: (at: number) => T): T[] {
	return Array.from({ length: cells.length / OUTCOME_CELLS }, (_, index) => read(index * OUTCOME_CELLS));
}

function statusAt(cells: Float64Array, at: number): OutcomeStatusName {
	return statuses[cells[at + STATUS] as number] ?? 'cancelled';
}
