// production-stack's loadaware, re-created: cost of a row = β × (load − mean) / max(1, mean) − cached share of the prompt.
import {
	begin,
	decline,
	eligibleWord,
	F32Column,
	findHit,
	hit,
	hitCount,
	laneMask,
	putFactor,
	rankedCount,
	rankedRow,
	rankLowest,
	request,
	rowCapacity,
	scratch,
	setFactorCount,
} from 'infermesh';
import { columns, config, FACTOR_CACHED_SHARE, FACTOR_COUNT, FACTOR_LOAD_SHARE, TOP_K } from './manifest';
export { init } from 'infermesh';

/** Mean load of the eligible rows. */
function meanLoad(): f32 {
	let sums = f32x4.splat(0);
	for (let row = 0; row < rowCapacity; row += 4) {
		const mask = laneMask(eligibleWord(row >> 5) >> (row & 31));
		sums = f32x4.add(sums, v128.and(columns.load.four(row), mask));
	}
	const sum =
		f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1) + f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3);
	return sum / <f32>request().eligible_count;
}

/** Share of the prompt that hit `index` has cached, at most 1. */
@inline
function cachedShare(index: i32): f32 {
	return min<f32>(<f32>hit(index).tokens / <f32>max<u32>(request().tokens_in, 1), 1);
}

function explain(mean: f32, perRequest: f32): void {
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		const index = findHit(row);
		putFactor(position, FACTOR_LOAD_SHARE, (columns.load[row] - mean) * perRequest);
		putFactor(position, FACTOR_CACHED_SHARE, index < 0 ? 0 : -cachedShare(index));
	}
}

export function rank(frame: usize): i32 {
	begin(frame);
	if (request().eligible_count == 0) return decline();
	const mean = meanLoad();
	const perRequest = config.beta / max<f32>(mean, 1);
	const cost: F32Column = scratch(0);
	const means = f32x4.splat(mean);
	const factor = f32x4.splat(perRequest);
	for (let row = 0; row < rowCapacity; row += 4) {
		cost.putFour(row, f32x4.mul(f32x4.sub(columns.load.four(row), means), factor));
	}
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		cost[row] = cost[row] - cachedShare(index);
	}
	const status = rankLowest(cost, TOP_K);
	explain(mean, perRequest);
	return status;
}
