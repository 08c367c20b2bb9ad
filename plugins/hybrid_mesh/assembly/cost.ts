// Second pass over the rows: what each costs with the whole prompt there. First a bound from what the first pass left, which no cost is below; only four rows of which one is
// not above the best costs found so far are computed, and only for them the other columns read. The rows that are ranked, and their ties, are exactly those of a
// pass over everything: the bound has fewer terms, none of them less than 0.
import {
	BLOCK_ROWS,
	blockMinima,
	F32Column,
	hit,
	hitCount,
	NEVER,
	padBlockMinima,
	putBlockMinimum,
	request,
	rowCapacity,
} from 'infermesh';
import { drop0, drop1, drop2, last, step0, step1, step2 } from './busy';
import { fetchedFour, holderRow, NO_HOLDER, workAfter } from './fetch';
import { columns, config } from './manifest';
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

/** Costs of the fours of a block that may win, NEVER for its others, and the minimum. `queued` stands where the costs will. */
function costBlock(block: i32, fours: u32, cost: F32Column, queue: F32Column, pace: F32Column, work: f32): v128 {
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
	const end = min(block + BLOCK_ROWS, rowCapacity);
	let smallest = never;
	for (let row = block; row < end; row += 4) {
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
	return smallest;
}

/**
 * Costs of all rows that can be among the `wanted` (at most 4) lowest, with block minima. Blocks without such a row have the minimum NEVER, and what stood there is
 * left. `cost` holds the pending prefill when it begins.
 */
export function costRows(cost: F32Column, queue: F32Column, pace: F32Column, wanted: u32): void {
	const work = workOf(promptTokens());
	const shortest = holderRow != NO_HOLDER ? min<f32>(work, workAfter) : work;
	const least = f32x4.splat(shortest * (<f32>1 + config.own_weight) * BOUND_SHARE);
	const minima = blockMinima();
	const holders = hitCount();
	let holder = 0;
	startBest(wanted);
	for (let block = 0; block < rowCapacity; block += BLOCK_ROWS) {
		const end = min(block + BLOCK_ROWS, rowCapacity);
		const bound = f32x4.splat(best3);
		let fours: u32 = 0;
		for (let row = block; row < end; row += 16) fours |= mayWin(row, queue, pace, least, bound) << ((row - block) >> 2);
		// Rows that hold a prefix or an adapter are corrected afterwards: they must be there. Hits are ordered by row.
		for (; holder < holders && <i32>hit(holder).row < end; holder++) fours |= 1 << ((<i32>hit(holder).row - block) >> 2);
		minima[block / BLOCK_ROWS] = NEVER;
		if (fours == 0) continue;
		putBlockMinimum(block, costBlock(block, fours, cost, queue, pace, work));
		putBest(minima[block / BLOCK_ROWS]);
	}
	padBlockMinima();
}
