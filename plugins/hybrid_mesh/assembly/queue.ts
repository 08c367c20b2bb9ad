// First pass over the rows, four at a time: what waits before this request on each, whatever its prompt, and how long a token takes there. It reads no more columns
// than that needs: the others are read only where a row may win (cost.ts). A row that is not eligible has an infinite queue.
import { eligibleWord, F32Column, laneMask, NEVER, request, rowCapacity } from 'infermesh';
import { endSample, sampleGroup, sampleStride, startSample } from './busy';
import { columns, config } from './manifest';
import { loadTokens, pairTokens } from './row';

/** Smallest share of normal traffic a row is taken to deserve; keeps costs finite. */
const SHARE_MIN: f32 = 0.02;
/** Smallest prefill rate, tokens/s. */
const RATE_MIN: f32 = 1;

/** queue[row] = ms of prefill pending, requests present, `loraLoad` and errors; queued[row] = the pending prefill alone; pace[row] = ms a prompt token. */
export function lookAtQueues(queue: F32Column, pace: F32Column, queued: F32Column, loraLoad: f32): void {
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
	const stride = sampleStride();
	let next = 0;

	startSample();
	for (let first = 0; first < rowCapacity; first += 32) {
		let bits = eligibleWord(first >> 5);
		const end = min(first + 32, rowCapacity);
		if (bits == 0) {
			for (let row = first; row < end; row += 4) queue.putFour(row, never);
			continue;
		}
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
			queue.putFour(row, v128.bitselect(begins, never, mask));
			queued.putFour(row, v128.and(left, mask));
			pace.putFour(row, perToken);
		}
		// Groups without an eligible row are none of the sample.
		if (next-- > 0) continue;
		next = stride - 1;
		sampleGroup(queued, first, end);
	}
	endSample();
}
