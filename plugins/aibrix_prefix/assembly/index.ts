// AIBrix's prefix-cache, re-created: the longest match among targets that are not much busier than the mean, else the fewest requests. Matching
// is the host's; the frame brings its result as prefix hits. The formula is in README.md.
import {
	begin,
	F32Column,
	findHit,
	hit,
	hitCount,
	isEligible,
	nextEligible,
	putFactor,
	randomBelow,
	rankedCount,
	rankedRow,
	rankLowest,
	request,
	rowCapacity,
	scratch,
	setFactorCount,
} from 'infermesh';
import { columns, config, FACTOR_COUNT, FACTOR_INFLIGHT, FACTOR_INFLIGHT_MAX, FACTOR_MATCHED_TOKENS, TOP_K } from './manifest';
export { init } from 'infermesh';

/** Most requests a row that holds the prefix may have: mean + factor × σ, or the fewest there are when the pool is out of balance. */
function inflightMax(): f64 {
	let count: f64 = 0;
	let sum: f64 = 0;
	let squares: f64 = 0;
	let fewest: f64 = Infinity;
	let most: f64 = 0;
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		const requests = <f64>columns.inflight[row];
		count += 1;
		sum += requests;
		squares += requests * requests;
		fewest = min(fewest, requests);
		most = max(most, requests);
	}
	if (most - fewest > <f64>config.imbalance_requests) return fewest;
	// Exact for whole numbers: equal loads have no deviation at all.
	const deviation = sqrt<f64>(max<f64>(count * squares - sum * sum, 0));
	return (sum + <f64>config.sigma_factor * deviation) / count;
}

/**
 * The best row that holds a prefix and is not in place yet: most tokens, then fewest requests, then drawn; -1 when there is none. Rows in place
 * have a cost below 0.
 */
function bestHolder(cost: F32Column, most: f64): i32 {
	let best = -1;
	let bestTokens: u32 = 0;
	let tied: u32 = 0;
	for (let index = 0; index < hitCount(); index++) {
		const entry = hit(index);
		const row: i32 = entry.row;
		if (entry.tokens == 0 || !isEligible(row) || cost[row] < 0 || <f64>columns.inflight[row] > most) continue;
		const better =
			best < 0 ||
			entry.tokens > bestTokens ||
			(entry.tokens == bestTokens && columns.inflight[row] < columns.inflight[best]);
		if (!better && (entry.tokens != bestTokens || columns.inflight[row] != columns.inflight[best])) continue;
		// One of several alike, each with the same chance.
		tied = better ? 1 : tied + 1;
		if (!better && randomBelow(tied) != 0) continue;
		best = row;
		bestTokens = entry.tokens;
	}
	return best;
}

export function rank(frame: usize): i32 {
	begin(frame);
	const cost = scratch(0);
	for (let row = 0; row < rowCapacity; row += 4) cost.putFour(row, columns.inflight.four(row));
	const most = inflightMax();
	// Holders come before all others, in their order: places −TOP_K, −TOP_K + 1, …
	const places = <i32>min(TOP_K, request().top_k);
	for (let place = 0; place < places; place++) {
		const row = bestHolder(cost, most);
		if (row < 0) break;
		cost[row] = <f32>(place - <i32>TOP_K);
	}
	const status = rankLowest(cost, TOP_K);
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		const index = findHit(row);
		putFactor(position, FACTOR_MATCHED_TOKENS, index < 0 ? 0 : <f32>hit(index).tokens);
		putFactor(position, FACTOR_INFLIGHT, columns.inflight[row]);
		putFactor(position, FACTOR_INFLIGHT_MAX, <f32>most);
	}
	return status;
}
