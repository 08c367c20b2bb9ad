// How busy the pool is and for how long, and what it costs to keep one more target busy meanwhile: requests that come find fewer targets free. The share of rows
// that still have prefill pending after a time is taken at four times, and its square summed over the time that own prefill takes: README.md.
import { rowCapacity } from 'infermesh';
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

/** Where the share is taken, in milliseconds. */
@inline
export function pointMs(point: i32): f32 {
	const unit = config.service_ms;
	return unit * (point == 0 ? POINT_0 : point == 1 ? POINT_1 : point == 2 ? POINT_2 : POINT_3);
}

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

/** Sets the prices by a look at `sampled` rows; `counts…`: how many of them have more pending than each point, in four lanes of whole numbers. */
export function setPrices(sampled: i32, counts0: v128, counts1: v128, counts2: v128, counts3: v128): void {
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
