// First pass over the rows, four at a time: what waits before this request on each, whatever its prompt, and how long a token takes there. It reads no more columns
// than that needs: the others are read only where a row may win (cost.ts). A row that is not eligible has an infinite queue. Of a large pool only a sample is looked at, which sets
// the prices of busy.ts; of its other rows only those that the first bound of rest.ts leaves.
import { eligibleWord, F32Column, laneMask, NEVER, request, rowCapacity } from 'infermesh';
import { pointMs, sampleStride, setPrices } from './busy';
import { columns, config } from './manifest';
import { loadTokens, pairTokens, RATE_MIN, SHARE_MIN } from './row';

/** Rows of a word of the eligibility bitmap: a group of the sample. */
export const GROUP_ROWS: i32 = 32;

/** Eligible rows looked at last, and how many rows have more pending than each point of busy.ts; whole numbers in four lanes. */
let sampled: i32 = 0;
let more0: v128 = i32x4(0, 0, 0, 0);
let more1: v128 = i32x4(0, 0, 0, 0);
let more2: v128 = i32x4(0, 0, 0, 0);
let more3: v128 = i32x4(0, 0, 0, 0);

/**
 * Looks at the sample of a pool: sets the prices, and for its rows queue[row] = ms of prefill pending, requests present, `loraLoad` and errors; queued[row] = the pending
 * prefill alone; pace[row] = ms a prompt token.
 */
export function lookAtSample(queue: F32Column, pace: F32Column, queued: F32Column, loraLoad: f32): void {
	look(0, rowCapacity, sampleStride(), queue, pace, queued, loraLoad);
	setPrices(sampled, more0, more1, more2, more3);
}

/** The same for a group of rows outside the sample, from `first` on. */
export function lookAtGroup(first: i32, queue: F32Column, pace: F32Column, queued: F32Column, loraLoad: f32): void {
	look(first, min(first + GROUP_ROWS, rowCapacity), 1, queue, pace, queued, loraLoad);
}

/** Looks at every `stride`-th group of those from row `from` to `to` that have an eligible row. */
function look(from: i32, to: i32, stride: i32, queue: F32Column, pace: F32Column, queued: F32Column, loraLoad: f32): void {
	const prefillRate = columns.prefill_rate;
	const pending = columns.pending_prefill_tokens;
	const pairs = columns.pending_prefill_pairs;
	const prefillAt = columns.prefill_at_ms;
	const load = columns.load;
	const health = columns.health;
	const slowStart = columns.slow_start;
	const weight = columns.weight;
	const errors = columns.error_ratio;

	const never = f32x4.splat(NEVER);
	const thousand = f32x4.splat(1000);
	const shareMin = f32x4.splat(SHARE_MIN);
	const rateMin = f32x4.splat(RATE_MIN);
	const tokensPerRequest = f32x4.splat(loadTokens());
	const tokensPerPair = f32x4.splat(pairTokens());
	const nowMs = i32x4.splat(request().now_ms);
	const queueFloor = f32x4.splat(config.queue_floor);
	const loading = f32x4.splat(loraLoad);
	const errorMs = f32x4.splat(config.error_ms);
	const point0 = f32x4.splat(pointMs(0));
	const point1 = f32x4.splat(pointMs(1));
	const point2 = f32x4.splat(pointMs(2));
	const point3 = f32x4.splat(pointMs(3));
	let count0 = i32x4.splat(0);
	let count1 = i32x4.splat(0);
	let count2 = i32x4.splat(0);
	let count3 = i32x4.splat(0);
	let rows = 0;
	let next = 0;

	for (let first = from; first < to; first += GROUP_ROWS) {
		let bits = eligibleWord(first >> 5);
		if (bits == 0) {
			// What stands there is of another decision.
			for (let row = first; row < min(first + GROUP_ROWS, to); row += 4) queue.putFour(row, never);
			continue;
		}
		if (next-- > 0) continue;
		next = stride - 1;
		rows += popcnt(bits);
		const end = min(first + GROUP_ROWS, to);
		for (let row = first; row < end; row += 4) {
			const mask = laneMask(bits);
			bits >>= 4;
			// Share of normal traffic: health, slow start, operator weight. A slow row has its own prefill rate.
			const trust = f32x4.mul(f32x4.mul(health.four(row), slowStart.four(row)), weight.four(row));
			const share = f32x4.pmax(trust, shareMin);
			const perToken = f32x4.div(thousand, f32x4.mul(f32x4.pmax(prefillRate.four(row), rateMin), share));
			const work = f32x4.mul(f32x4.add(pending.four(row), f32x4.mul(pairs.four(row), tokensPerPair)), perToken);
			// The first of them is under way since then.
			const elapsed = f32x4.convert_i32x4_s(i32x4.max_s(i32x4.sub(nowMs, prefillAt.four(row)), i32x4.splat(0)));
			const left = f32x4.pmax(f32x4.sub(work, elapsed), f32x4.mul(work, queueFloor));
			const present = f32x4.mul(f32x4.mul(load.four(row), tokensPerRequest), perToken);
			const failing = f32x4.mul(errors.four(row), errorMs);
			const begins = f32x4.add(f32x4.add(f32x4.add(left, present), loading), failing);
			const before = v128.and(left, mask);
			queue.putFour(row, v128.bitselect(begins, never, mask));
			queued.putFour(row, before);
			pace.putFour(row, perToken);
			// A lane that is more is −1.
			count0 = i32x4.sub(count0, f32x4.gt(before, point0));
			count1 = i32x4.sub(count1, f32x4.gt(before, point1));
			count2 = i32x4.sub(count2, f32x4.gt(before, point2));
			count3 = i32x4.sub(count3, f32x4.gt(before, point3));
		}
	}
	sampled = rows;
	more0 = count0;
	more1 = count1;
	more2 = count2;
	more3 = count3;
}
