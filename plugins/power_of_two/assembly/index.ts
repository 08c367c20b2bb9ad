// Power of two choices: two eligible rows drawn by the seed; the one with less on it first, the other behind it.
import {
	begin,
	decline,
	nthEligible,
	putFactor,
	putRanked,
	randomBelow,
	request,
	route,
	setFactorCount,
} from 'infermesh';
import { columns, config, FACTOR_COUNT, FACTOR_INFLIGHT, FACTOR_KV_USAGE, TOP_K } from './manifest';
export { init } from 'infermesh';

@inline
function reports(row: i32): bool {
	return columns.kv_total_blocks[row] > 0;
}

function put(position: u32, row: i32, byKv: bool): void {
	putRanked(position, row, byKv ? columns.kv_usage[row] : columns.inflight[row]);
	putFactor(position, FACTOR_INFLIGHT, columns.inflight[row]);
	putFactor(position, FACTOR_KV_USAGE, columns.kv_usage[row]);
}

export function rank(frame: usize): i32 {
	begin(frame);
	const eligible = request().eligible_count;
	if (eligible == 0) return decline();
	setFactorCount(FACTOR_COUNT);
	const first = randomBelow(eligible);
	const one = nthEligible(first);
	const count = min(min(TOP_K, request().top_k), eligible);
	if (eligible == 1) {
		put(0, one, config.by_kv && reports(one));
		return route(count);
	}
	// One of the others: those behind the first move up by one.
	const second = randomBelow(eligible - 1);
	const other = nthEligible(second < first ? second : second + 1);
	const byKv = config.by_kv && reports(one) && reports(other);
	const less = byKv ? columns.kv_usage[other] < columns.kv_usage[one] : columns.inflight[other] < columns.inflight[one];
	put(0, less ? other : one, byKv);
	if (count > 1) put(1, less ? one : other, byKv);
	return route(count);
}
