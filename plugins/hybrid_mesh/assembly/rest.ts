// The rows of a large pool that are outside the sample: the first of bounds, which is as cheap as can be, because it is all that most of them are looked at for. It is
// below what lookAtGroup and costFours would find: pairs of tokens are left out and the rest is compared as work, without a division.
import { eligibleWord, hit, hitCount, request, rowCapacity } from 'infermesh';
import { columns, config } from './manifest';
import { GROUP_ROWS } from './queue';
import { loadTokens, RATE_MIN, SHARE_MIN } from './row';

/** The bound rounds otherwise than the costs: so much beside it is certain. */
const MORE: f32 = 1.001;
const LESS: f32 = 0.999;

/** SHARE_MIN, RATE_MIN and a thousandth of MORE. From memory they come once; as constants they would be made anew in every turn of the loop. */
const CONSTANTS: usize = memory.data<f32>([0.02, 1, 0.001001]);

/** Every `stride`-th group is of the sample. */
let stride: i32 = 1;
/** Where the next group is, after how many others one of the sample comes, and the next hit. */
let from: i32 = 0;
let others: i32 = 0;
let holder: i32 = 0;

/** Begins with the first of the rows. */
export function startRest(every: i32): void {
	stride = every;
	from = 0;
	others = 0;
	holder = 0;
}

/**
 * First row of the next group outside the sample in which some row may cost no more than `bestMs` with `leastTokens` of own work and the load of an adapter, or that has a
 * hit; rowCapacity = there is none.
 */
export function nextNear(bestMs: f32, leastTokens: f32, loraLoad: f32): i32 {
	const prefillRate = columns.prefill_rate;
	const pending = columns.pending_prefill_tokens;
	const prefillAt = columns.prefill_at_ms;
	const load = columns.load;
	const health = columns.health;
	const slowStart = columns.slow_start;
	const weight = columns.weight;
	const errors = columns.error_ratio;

	const shareMin = v128.load32_splat(CONSTANTS);
	const rateMin = v128.load32_splat(CONSTANTS, 4);
	const tokensPerRequest = f32x4.splat(loadTokens());
	const least = f32x4.splat(leastTokens);
	const nowMs = i32x4.splat(request().now_ms);
	const floor = f32x4.splat(config.queue_floor * LESS);
	const zero = i32x4.splat(0);
	// Speeds are of tokens a second, so milliseconds are taken in thousands.
	const most = f32x4.splat((bestMs * MORE - loraLoad * LESS) * <f32>0.001);
	const second = v128.load32_splat(CONSTANTS, 8);
	const errorS = f32x4.splat(config.error_ms * <f32>0.001 * LESS);
	const holders = hitCount();
	for (let first = from; first < rowCapacity; first += GROUP_ROWS) {
		if (eligibleWord(first >> 5) == 0) continue;
		if (others-- <= 0) {
			others = stride - 1;
			continue;
		}
		const end = min(first + GROUP_ROWS, rowCapacity);
		while (holder < holders && <i32>hit(holder).row < first) holder++;
		let far = i32x4.splat(-1);
		for (let row = first; row < end; row += 4) {
			const trust = f32x4.mul(f32x4.mul(health.four(row), slowStart.four(row)), weight.four(row));
			const speed = f32x4.mul(f32x4.pmax(prefillRate.four(row), rateMin), f32x4.pmax(trust, shareMin));
			const elapsed = f32x4.convert_i32x4_s(i32x4.max_s(i32x4.sub(nowMs, prefillAt.four(row)), zero));
			const room = f32x4.mul(f32x4.sub(most, f32x4.mul(errors.four(row), errorS)), speed);
			const tokens = pending.four(row);
			const done = f32x4.mul(f32x4.mul(elapsed, second), speed);
			const left = f32x4.pmax(f32x4.sub(tokens, done), f32x4.mul(tokens, floor));
			const work = f32x4.add(f32x4.add(least, left), f32x4.mul(load.four(row), tokensPerRequest));
			// What is no number is not far.
			far = v128.and(far, f32x4.gt(work, room));
		}
		if (i32x4.all_true(far) && !(holder < holders && <i32>hit(holder).row < end)) continue;
		from = first + GROUP_ROWS;
		return first;
	}
	return rowCapacity;
}
