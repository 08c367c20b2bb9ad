// Second pass over the rows: what each costs with the whole prompt there. First a bound from what the first pass left, which no cost is below; only four rows of which one is
// not above the best costs found so far are computed, and only for them the other columns read. The rows that are ranked, and their ties, are exactly those of a
// pass over everything: the bound has fewer terms, none of them less than 0. In a large pool the sample comes first, and the other rows after the cheaper bound of rest.ts.
import {
	BLOCK_ROWS,
	blockMinima,
	eligibleWord,
	F32Column,
	hit,
	hitCount,
	NEVER,
	padBlockMinima,
	request,
	rowCapacity,
	smallestLane,
} from 'infermesh';
import { drop0, drop1, drop2, last, sampleStride, step0, step1, step2 } from './busy';
import { fetchedFour, holderRow, NO_HOLDER, workAfter } from './fetch';
import { columns, config } from './manifest';
import { GROUP_ROWS, lookAtGroup } from './queue';
import { nextNear, startRest } from './rest';
import { CROWD_OWN, neededTokens, promptTokens, workOf } from './row';

/** Above every cost that a row can be chosen at. */
const MOST: f32 = f32.MAX_VALUE;
/** The bound leaves out what requests behind own prefill wait, and rounds otherwise: so much below it is certain. */
const BOUND_SHARE: f32 = 0.999;

/** The four lowest minima of blocks, lowest first: no row above the last is ranked. Those not asked for are below everything. */
let best0: f32 = 0;
let best1: f32 = 0;
let best2: f32 = 0;
let best3: f32 = 0;

function startBest(wanted: u32): void {
	best3 = MOST;
	best2 = wanted > 1 ? MOST : -MOST;
	best1 = wanted > 2 ? MOST : -MOST;
	best0 = wanted > 3 ? MOST : -MOST;
}

function putBest(value: f32): void {
	if (!(value < best3)) return;
	best3 = value;
	if (best3 < best2) {
		best3 = best2;
		best2 = value;
	}
	if (best2 < best1) {
		best2 = best1;
		best1 = value;
	}
	if (best1 < best0) {
		best1 = best0;
		best0 = value;
	}
}

/** Own prefill of four rows with the requests that come behind it: `weighted` of row.ts. */
@inline
function weightedFour(own: v128, before: v128): v128 {
	const weight = config.crowd_weight;
	const half = config.crowd_ms;
	const length = f32x4.add(f32x4.splat(half), f32x4.add(before, f32x4.mul(own, f32x4.splat(CROWD_OWN))));
	const crowd = f32x4.sub(f32x4.splat(weight), f32x4.div(f32x4.splat(weight * half), length));
	return f32x4.mul(own, f32x4.add(f32x4.splat(<f32>1 + config.own_weight), crowd));
}

@inline
function stepFour(until: v128, queued: v128, drop: f32, step: f32): v128 {
	const bound = f32x4.splat(step);
	return f32x4.mul(f32x4.splat(drop), f32x4.sub(f32x4.pmin(until, bound), f32x4.pmin(queued, bound)));
}

/** `busyMs` of busy.ts. */
@inline
function busyFour(own: v128, queued: v128): v128 {
	const until = f32x4.add(queued, own);
	const first = f32x4.add(stepFour(until, queued, drop0, step0), stepFour(until, queued, drop1, step1));
	return f32x4.add(f32x4.add(first, stepFour(until, queued, drop2, step2)), f32x4.mul(f32x4.splat(last), own));
}

/** Own prefill of four rows with all it costs others. */
@inline
export function prefillCostFour(own: v128, before: v128, queued: v128): v128 {
	return f32x4.add(weightedFour(own, before), busyFour(own, queued));
}

/** Bit i = one of rows 4i … 4i + 3 of the sixteen from `row` on may cost no more than `bound`; `least` = least weighted work of own prefill. */
@inline
function mayWin(row: i32, queue: F32Column, pace: F32Column, least: v128, bound: v128): u32 {
	const a = f32x4.le(f32x4.add(queue.four(row), f32x4.mul(least, pace.four(row))), bound);
	const b = f32x4.le(f32x4.add(queue.four(row + 4), f32x4.mul(least, pace.four(row + 4))), bound);
	const c = f32x4.le(f32x4.add(queue.four(row + 8), f32x4.mul(least, pace.four(row + 8))), bound);
	const d = f32x4.le(f32x4.add(queue.four(row + 12), f32x4.mul(least, pace.four(row + 12))), bound);
	const low = i16x8.narrow_i32x4_s(a, b);
	const high = i16x8.narrow_i32x4_s(c, d);
	const rows = i8x16.bitmask(i8x16.narrow_i16x8_s(low, high));
	const pairs = rows | (rows >> 1);
	const fours = (pairs | (pairs >> 2)) & 0x1111;
	return (fours | (fours >> 3) | (fours >> 6) | (fours >> 9)) & 15;
}

/** Index of the first hit that has not been passed; hits are ordered by row. */
let holder: i32 = 0;

/** Bits of the fours from row `first` to `end` with rows of hits; those before them are passed. */
function holdersIn(first: i32, end: i32): u32 {
	const holders = hitCount();
	let fours: u32 = 0;
	for (; holder < holders; holder++) {
		const row = <i32>hit(holder).row;
		if (row >= end) break;
		if (row >= first) fours |= 1 << ((row - first) >> 2);
	}
	return fours;
}

/** Bit i = one of rows 4i … 4i + 3 from `first` on, before `end`, may win, or has a hit: such rows are corrected afterwards, so they must be there. */
function foursOf(first: i32, end: i32, queue: F32Column, pace: F32Column): u32 {
	const least = f32x4.splat(leastTokens);
	const bound = f32x4.splat(best3);
	let fours: u32 = 0;
	for (let row = first; row < end; row += 16) fours |= mayWin(row, queue, pace, least, bound) << ((row - first) >> 2);
	return fours | holdersIn(first, end);
}

/** Costs of the fours from row `first` to `end` that may win, NEVER for the others; their minimum. `queued` stands where the costs will. */
function costFours(first: i32, end: i32, fours: u32, cost: F32Column, queue: F32Column, pace: F32Column): f32 {
	const kvUsage = columns.kv_usage;
	const kvFreeBlocks = columns.kv_free_blocks;
	const kvBlockTokens = columns.kv_block_tokens;
	const rtt = columns.rtt_ms;
	const telemetryAt = columns.telemetry_at_ms;
	const never = f32x4.splat(NEVER);
	const zero = f32x4.splat(0);
	const needed = f32x4.splat(neededTokens());
	const shortageWeight = f32x4.splat(config.shortage_weight);
	const kvPressure = f32x4.splat(config.kv_pressure_ms);
	const rttWeight = f32x4.splat(config.rtt_weight);
	const freshFrom = i32x4.splat(request().now_ms - config.stale_after_ms);
	const staleMax = i32x4.splat(config.stale_max_ms);
	const staleWeight = f32x4.splat(config.stale_weight);
	const tokens = f32x4.splat(work);
	const fetching = holderRow != NO_HOLDER;
	let smallest = never;
	for (let row = first; row < end; row += 4) {
		const wanted = (fours & 1) != 0;
		fours >>= 1;
		if (!wanted) {
			cost.putFour(row, never);
			continue;
		}
		const perToken = pace.four(row);
		const queued = cost.four(row);
		// Beside the queue: memory pressure, network, age, and KV tokens that must first be freed.
		const usage = kvUsage.four(row);
		const missing = f32x4.pmax(f32x4.sub(needed, f32x4.mul(kvFreeBlocks.four(row), kvBlockTokens.four(row))), zero);
		const shortage = f32x4.mul(f32x4.mul(f32x4.mul(missing, usage), shortageWeight), perToken);
		const usage2 = f32x4.mul(usage, usage);
		const usage4 = f32x4.mul(usage2, usage2);
		const pressure = f32x4.mul(f32x4.mul(usage4, usage4), kvPressure);
		const late = i32x4.min_s(i32x4.max_s(i32x4.sub(freshFrom, telemetryAt.four(row)), zero), staleMax);
		const stale = f32x4.mul(f32x4.convert_i32x4_s(late), staleWeight);
		const fixed = f32x4.add(f32x4.add(pressure, f32x4.mul(rtt.four(row), rttWeight)), stale);
		const before = f32x4.add(queue.four(row), f32x4.add(fixed, shortage));
		const own = f32x4.mul(tokens, perToken);
		// A row that is not eligible has an infinite queue.
		const total = f32x4.add(before, prefillCostFour(own, before, queued));
		let costs = v128.bitselect(total, never, f32x4.lt(f32x4.abs(total), never));
		if (fetching) costs = f32x4.pmin(costs, fetchedFour(row, before, perToken, queued));
		cost.putFour(row, costs);
		smallest = f32x4.pmin(smallest, costs);
	}
	return smallestLane(smallest);
}

/** Work of own prefill with the whole prompt, and the least that counts of it, whatever is cached or fetched. */
let work: f32 = 0;
let leastTokens: f32 = 0;

/**
 * Costs of all rows that can be among the `wanted` (at most 4) lowest, with block minima. Blocks without such a row have the minimum NEVER, and what stood there is
 * left. `cost` holds the pending prefill when it begins.
 */
export function costRows(cost: F32Column, queue: F32Column, pace: F32Column, wanted: u32, loraLoad: f32): void {
	work = workOf(promptTokens());
	const shortest = holderRow != NO_HOLDER ? min<f32>(work, workAfter) : work;
	leastTokens = shortest * (<f32>1 + config.own_weight) * BOUND_SHARE;
	startBest(wanted);
	holder = 0;
	const stride = sampleStride();
	if (stride == 1) costWhole(cost, queue, pace);
	else costLarge(stride, cost, queue, pace, loraLoad);
	padBlockMinima();
}

/** Costs every row that may win. */
function costWhole(cost: F32Column, queue: F32Column, pace: F32Column): void {
	const minima = blockMinima();
	for (let block = 0; block < rowCapacity; block += BLOCK_ROWS) {
		const end = min(block + BLOCK_ROWS, rowCapacity);
		const fours = foursOf(block, end, queue, pace);
		const smallest = fours == 0 ? NEVER : costFours(block, end, fours, cost, queue, pace);
		minima[block / BLOCK_ROWS] = smallest;
		putBest(smallest);
	}
}

/** Costs every row of a large pool that may win: those of the sample first, since the best of them leave few of the others. */
function costLarge(stride: i32, cost: F32Column, queue: F32Column, pace: F32Column, loraLoad: f32): void {
	const minima = blockMinima();
	for (let block = 0; block < rowCapacity; block += BLOCK_ROWS) minima[block / BLOCK_ROWS] = NEVER;
	let next = 0;
	for (let first = 0; first < rowCapacity; first += GROUP_ROWS) {
		if (eligibleWord(first >> 5) == 0 || next-- > 0) continue;
		next = stride - 1;
		costGroup(first, cost, queue, pace);
	}
	holder = 0;
	startRest(stride);
	for (;;) {
		const first = nextNear(best3, leastTokens, loraLoad);
		if (first >= rowCapacity) break;
		lookAtGroup(first, queue, pace, cost, loraLoad);
		costGroup(first, cost, queue, pace);
	}
}

/** Costs the rows of a group that may win, beside what its block has already. */
function costGroup(first: i32, cost: F32Column, queue: F32Column, pace: F32Column): void {
	const minima = blockMinima();
	const block = first / BLOCK_ROWS;
	const end = min(first + GROUP_ROWS, rowCapacity);
	const fours = foursOf(first, end, queue, pace);
	const before = minima[block];
	// Only where a block has a minimum are its costs read.
	if (!(before < NEVER)) {
		if (fours == 0) return;
		const other = first ^ GROUP_ROWS;
		fillNever(cost, other, min(other + GROUP_ROWS, rowCapacity));
	}
	const smallest = costFours(first, end, fours, cost, queue, pace);
	minima[block] = min<f32>(before, smallest);
	putBest(smallest);
}

/** Keeps the rows from `first` to `end` out. */
function fillNever(cost: F32Column, first: i32, end: i32): void {
	const never = f32x4.splat(NEVER);
	for (let row = first; row < end; row += 4) cost.putFour(row, never);
}
