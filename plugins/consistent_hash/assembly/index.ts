// Consistent hashing with bounded load: each target is one point of a ring, the key is several probes, and the target nearest behind any probe
// has the key. Targets over their share of what is in flight come after all others. The formula is in README.md.
import {
	begin,
	decline,
	eligibleWord,
	F32Column,
	hash64,
	laneMask,
	maskCosts,
	putFactor,
	rankedRow,
	rankedScore,
	request,
	route,
	rowCapacity,
	scratch,
	selectLowest,
	setFactorCount,
} from 'infermesh';
import { columns, config, FACTOR_COUNT, FACTOR_OVER, FACTOR_RING_SHARE, TOP_K } from './manifest';
export { init } from 'infermesh';

/** Points of the ring a key has: with 21 the fullest target has about 1.05 times its share. A multiple of 3. */
const PROBES: u32 = 21;
/** Shares of the ring a unit of the hash is. */
const RING_UNIT: f32 = 2.3283064365386963e-10;
/** Smallest weight; keeps distances finite. */
const WEIGHT_MIN: f32 = 0.01;
/** Above any distance: 1 / WEIGHT_MIN is 100. */
const OVER: f32 = 128;

/** Distances from three probes, the least of them kept. Subtraction wraps, as the ring does. */
function probe(nearest: F32Column, key: u64, from: u32): void {
	const points = columns.target_hash;
	const a = i32x4.splat(hash64(key, from));
	const b = i32x4.splat(hash64(key, from + 1));
	const c = i32x4.splat(hash64(key, from + 2));
	for (let row = 0; row < rowCapacity; row += 4) {
		const point = points.four(row);
		const ab = i32x4.min_u(i32x4.sub(point, a), i32x4.sub(point, b));
		nearest.putFour(row, i32x4.min_u(nearest.four(row), i32x4.min_u(ab, i32x4.sub(point, c))));
	}
}

function sumLanes(values: v128): f32 {
	return (
		f32x4.extract_lane(values, 0) +
		f32x4.extract_lane(values, 1) +
		f32x4.extract_lane(values, 2) +
		f32x4.extract_lane(values, 3)
	);
}

@inline
function weightOf(row: i32): f32 {
	return max<f32>(columns.weight[row], WEIGHT_MIN);
}

/** Requests each unit of weight may have: this one counts as sent. Sums are over the eligible rows. */
function boundPerWeight(): f32 {
	let inflight = f32x4.splat(0);
	let weights = f32x4.splat(0);
	for (let row = 0; row < rowCapacity; row += 4) {
		const mask = laneMask(eligibleWord(row >> 5) >> (row & 31));
		inflight = f32x4.add(inflight, v128.and(columns.inflight.four(row), mask));
		weights = f32x4.add(weights, v128.and(f32x4.max(columns.weight.four(row), f32x4.splat(WEIGHT_MIN)), mask));
	}
	return (config.load_factor * (sumLanes(inflight) + 1)) / sumLanes(weights);
}

/** Whether one more would be over the row's share. One is never too many. */
@inline
function isOver(row: i32, bound: f32): bool {
	return columns.inflight[row] + 1 > ceil<f32>(bound * weightOf(row));
}

/** Costs of a request with a key: the share of the ring between it and each row, by weight, with OVER where it is full. */
function hashCosts(cost: F32Column, key: u64, bound: f32): void {
	for (let row = 0; row < rowCapacity; row += 4) cost.putFour(row, i32x4.splat(-1));
	for (let from: u32 = 0; from < PROBES; from += 3) probe(cost, key, from);
	const unit = f32x4.splat(RING_UNIT);
	const bounds = f32x4.splat(bound);
	const one = f32x4.splat(1);
	for (let row = 0; row < rowCapacity; row += 4) {
		const weight = f32x4.max(columns.weight.four(row), f32x4.splat(WEIGHT_MIN));
		const share = f32x4.div(f32x4.mul(f32x4.convert_i32x4_u(cost.four(row)), unit), weight);
		const full = f32x4.gt(f32x4.add(columns.inflight.four(row), one), f32x4.ceil(f32x4.mul(bounds, weight)));
		cost.putFour(row, f32x4.add(share, v128.and(f32x4.splat(OVER), full)));
	}
}

/** Costs of a request with nothing to hash: what is in flight, this one counted, for each unit of weight. */
function loadCosts(cost: F32Column): void {
	for (let row = 0; row < rowCapacity; row += 4) {
		const weight = f32x4.max(columns.weight.four(row), f32x4.splat(WEIGHT_MIN));
		cost.putFour(row, f32x4.div(f32x4.add(columns.inflight.four(row), f32x4.splat(1)), weight));
	}
}

export function rank(frame: usize): i32 {
	begin(frame);
	const asked = request();
	if (asked.eligible_count == 0) return decline();
	const session = asked.session;
	const key = session == 0 || (config.by_prompt && asked.prompt_hash != 0) ? asked.prompt_hash : session;
	const bound = boundPerWeight();
	const cost = scratch(0);
	if (key == 0) loadCosts(cost);
	else hashCosts(cost, key, bound);
	maskCosts(cost);
	const count = selectLowest(cost, min(TOP_K, asked.top_k));
	setFactorCount(key == 0 ? 0 : FACTOR_COUNT);
	for (let position: u32 = 0; key != 0 && position < count; position++) {
		const over: f32 = isOver(rankedRow(position), bound) ? OVER : 0;
		putFactor(position, FACTOR_RING_SHARE, rankedScore(position) - over);
		putFactor(position, FACTOR_OVER, over);
	}
	return route(count);
}
