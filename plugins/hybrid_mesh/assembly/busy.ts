// How busy the pool is and for how long, and what it costs to keep one more target busy meanwhile: requests that come find fewer targets free. The share of rows
// that still have prefill pending after a time is taken at four times, and its square summed over the time that own prefill takes: README.md.
import { eligibleWord, F32Column, rowCapacity } from 'infermesh';
import { config } from './manifest';

/** Where the share is taken, and where the next one holds from, in units of `service_ms`. */
const POINT_0: f32 = 0.32;
const POINT_1: f32 = 1.6;
const POINT_2: f32 = 6.4;
const POINT_3: f32 = 25.6;
const STEP_0: f32 = 0.8;
const STEP_1: f32 = 3.2;
const STEP_2: f32 = 12.8;
/** In larger pools about so many rows are looked at, evenly spread in groups of 32. */
const SAMPLE_ROWS: i32 = 1024;

/** Rows looked at with more pending than each point; whole numbers in four lanes. */
let counts0: v128 = i32x4(0, 0, 0, 0);
let counts1: v128 = i32x4(0, 0, 0, 0);
let counts2: v128 = i32x4(0, 0, 0, 0);
let counts3: v128 = i32x4(0, 0, 0, 0);
let sampled: i32 = 0;

/** What a millisecond costs before each step more than after it, and after the last; and the steps. */
export let drop0: f32 = 0;
export let drop1: f32 = 0;
export let drop2: f32 = 0;
export let last: f32 = 0;
export let step0: f32 = 0;
export let step1: f32 = 0;
export let step2: f32 = 0;

/** Every how many groups of 32 rows one is looked at. */
@inline
export function sampleStride(): i32 {
	return max<i32>((rowCapacity + SAMPLE_ROWS - 1) / SAMPLE_ROWS, 1);
}

export function startSample(): void {
	const none = i32x4.splat(0);
	counts0 = none;
	counts1 = none;
	counts2 = none;
	counts3 = none;
	sampled = 0;
}

/** Looks at a group of 32 rows from `first` on; `queued` of rows that are not eligible must be 0. */
export function sampleGroup(queued: F32Column, first: i32, end: i32): void {
	const unit = config.service_ms;
	const point0 = f32x4.splat(unit * POINT_0);
	const point1 = f32x4.splat(unit * POINT_1);
	const point2 = f32x4.splat(unit * POINT_2);
	const point3 = f32x4.splat(unit * POINT_3);
	let more0 = counts0;
	let more1 = counts1;
	let more2 = counts2;
	let more3 = counts3;
	for (let row = first; row < end; row += 4) {
		const pending = queued.four(row);
		// A lane that is more is −1.
		more0 = i32x4.sub(more0, f32x4.gt(pending, point0));
		more1 = i32x4.sub(more1, f32x4.gt(pending, point1));
		more2 = i32x4.sub(more2, f32x4.gt(pending, point2));
		more3 = i32x4.sub(more3, f32x4.gt(pending, point3));
	}
	counts0 = more0;
	counts1 = more1;
	counts2 = more2;
	counts3 = more3;
	sampled += popcnt(eligibleWord(first >> 5));
}

@inline
function laneSum(counts: v128): f32 {
	return <f32>(
		i32x4.extract_lane(counts, 0) +
		i32x4.extract_lane(counts, 1) +
		i32x4.extract_lane(counts, 2) +
		i32x4.extract_lane(counts, 3)
	);
}

/** Price of a millisecond while so many of `others` rows are busy. */
@inline
function price(busy: f32, others: f32): f32 {
	const share = min<f32>(busy / others, 1);
	return share * share * config.busy_weight;
}

/** Ends the look at the pool: sets the prices. */
export function endSample(): void {
	const others = <f32>(sampled - 1);
	const alone = sampled < 2;
	const price0 = alone ? <f32>0 : price(laneSum(counts0), others);
	const price1 = alone ? <f32>0 : price(laneSum(counts1), others);
	const price2 = alone ? <f32>0 : price(laneSum(counts2), others);
	last = alone ? <f32>0 : price(laneSum(counts3), others);
	drop0 = price0 - price1;
	drop1 = price1 - price2;
	drop2 = price2 - last;
	const unit = config.service_ms;
	step0 = unit * STEP_0;
	step1 = unit * STEP_1;
	step2 = unit * STEP_2;
}

/** Cost of keeping a row busy for `own` ms, from `queued` ms on. */
@inline
export function busyMs(own: f32, queued: f32): f32 {
	const until = queued + own;
	return (
		drop0 * (min<f32>(until, step0) - min<f32>(queued, step0)) +
		drop1 * (min<f32>(until, step1) - min<f32>(queued, step1)) +
		drop2 * (min<f32>(until, step2) - min<f32>(queued, step2)) +
		last * own
	);
}
