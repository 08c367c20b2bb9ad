// hybrid_mesh: the row with the least predicted milliseconds. What waits on each row is looked at first (queue.ts; of a large pool on a sample and where rest.ts does not rule it
// out), then what it costs where it may win (cost.ts); rows that hold a
// prefix are corrected one by one. The formula is in README.md. Every operation is + − × ÷ or a comparison on 32-bit floats in a fixed order, so the TypeScript twin
// in test/bench/hybrid-mesh-reference.ts, which looks at everything, gives the same bits.
import {
	begin,
	BLOCK_ROWS,
	blockMinima,
	decline,
	F32Column,
	fetchFrom,
	hasLora,
	hit,
	hitCount,
	hold,
	isEligible,
	nextEligible,
	output,
	rankedRow,
	request,
	route,
	scratch,
	selectLowest,
} from 'infermesh';
import { costRows } from './cost';
import { explainRanked } from './explain';
import { costWith, fetchWaitMs, findHolder, holderRow, workWith } from './fetch';
import { columns, config, TOP_K } from './manifest';
import { lookAtSample } from './queue';
import { extraMs, leftOn, loraLoadMs, loraWaitMs, paceOf, queuedMs, queueMs, uncachedTokens, workOf } from './row';
export { init } from 'infermesh';

/** Rows that hold a prefix, or the adapter: what they need not prefill or load is taken off. Costs only fall, so the minima stay exact. */
function creditHolders(cost: F32Column, queue: F32Column, pace: F32Column, loraLoad: f32): void {
	const minima = blockMinima();
	const count = hitCount();
	for (let index = 0; index < count; index++) {
		const entry = hit(index);
		const row: i32 = entry.row;
		if (!isEligible(row)) continue;
		const before = queue[row] + extraMs(row, pace[row]) - (hasLora(entry) ? loraLoad : <f32>0);
		const value = costWith(row, uncachedTokens(entry), before, queuedMs(row, pace[row]), pace[row]);
		if (!(value < cost[row])) continue;
		cost[row] = value;
		if (value < minima[row / BLOCK_ROWS]) minima[row / BLOCK_ROWS] = value;
	}
}

/** What is said of the first row: when its first token is expected, and where it is to fetch the prefix from. */
function tellFirst(queue: F32Column, pace: F32Column): void {
	const row = rankedRow(0);
	const left = leftOn(row);
	const lora = loraWaitMs(row);
	const before = queue[row] + extraMs(row, pace[row]) - (loraLoadMs() - lora);
	const wait = fetchWaitMs(row, left, before, queuedMs(row, pace[row]), pace[row]);
	output().predicted_ttft_ms =
		queueMs(row, pace[row]) + lora + wait + workWith(wait, left) * pace[row] + columns.rtt_ms[row];
	if (wait > 0) fetchFrom(holderRow);
}

/** Whether holding is on, and this request has not been held too long, nor too many others. */
@inline
function mayHold(): bool {
	const asked = request();
	const on = config.hold_above_ms > 0 && asked.waited_ms < config.hold_max_ms;
	return on && asked.held_count < config.hold_count_max;
}

/** Whether some row has less work before a new request than is held for. */
function hasRoom(): bool {
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		if (queueMs(row, paceOf(row)) <= config.hold_above_ms) return true;
	}
	return false;
}

/** Own prefill on the first row in seconds, by patience: shortest first, aged by the host. */
@inline
function holdKey(pace: F32Column): f32 {
	const row = rankedRow(0);
	return workOf(leftOn(row)) * pace[row] * <f32>0.001 * config.hold_patience;
}

export function rank(frame: usize): i32 {
	begin(frame);
	if (request().eligible_count == 0) return decline();
	const queue = scratch(0);
	const pace = scratch(1);
	const cost = scratch(2);
	const loraLoad = loraLoadMs();
	const wanted = min(TOP_K, request().top_k);
	// The pending prefill stands in the costs' place until they are computed.
	lookAtSample(queue, pace, cost, loraLoad);
	findHolder();
	costRows(cost, queue, pace, wanted, loraLoad);
	creditHolders(cost, queue, pace, loraLoad);
	const count = selectLowest(cost, wanted);
	if (count == 0) return decline();
	explainRanked(count, pace);
	tellFirst(queue, pace);
	if (mayHold() && !hasRoom()) return hold(holdKey(pace));
	return route(count);
}
