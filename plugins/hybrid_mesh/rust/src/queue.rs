//! First pass over the rows, as in ../../assembly/queue.ts: what waits before this request on each, whatever its prompt, and how long a token takes there. It reads
//! no more columns than that needs. A row that is not eligible has an infinite queue.
use crate::busy::{Busy, Sample};
use crate::manifest::{columns, config};
use crate::row::{load_tokens, pair_tokens, Asked};
use infermesh_strategy::lanes::{fours, fours_mut, fours_u32, Mask, F4, I4};
use infermesh_strategy::{Rows, NEVER};

/// Smallest share of normal traffic a row is taken to deserve; keeps costs finite.
const SHARE_MIN: f32 = 0.02;
/// Smallest prefill rate, tokens/s.
const RATE_MIN: f32 = 1.0;

/// queue\[row\] = ms of prefill pending, requests present, the adapter and errors; queued\[row\] = the pending prefill alone; pace\[row\] = ms a prompt token. How
/// busy the pool is.
pub fn look_at_queues(rows: &Rows, asked: &Asked, queue: &mut [f32], pace: &mut [f32], queued: &mut [f32]) -> Busy {
    // All are cut to the turns of the loop: it need not look at indices.
    let all = rows.capacity / 4;
    let prefill_rate = &fours(columns::prefill_rate(rows))[..all];
    let pending = &fours(columns::pending_prefill_tokens(rows))[..all];
    let pairs = &fours(columns::pending_prefill_pairs(rows))[..all];
    let prefill_at = &fours_u32(columns::prefill_at_ms(rows))[..all];
    let load = &fours(columns::load(rows))[..all];
    let health = &fours(columns::health(rows))[..all];
    let slow_start = &fours(columns::slow_start(rows))[..all];
    let weight = &fours(columns::weight(rows))[..all];
    let errors = &fours(columns::error_ratio(rows))[..all];
    let queue = &mut fours_mut(queue)[..all];
    let pace = &mut fours_mut(pace)[..all];
    let queued = &mut fours_mut(queued)[..all];

    let (zero, never) = (F4::splat(0.0), F4::splat(NEVER));
    let tokens_per_request = F4::splat(load_tokens(rows));
    let tokens_per_pair = F4::splat(pair_tokens(rows));
    let now_ms = I4::splat(rows.request.now_ms);
    let queue_floor = F4::splat(config::queue_floor(rows));
    let loading = F4::splat(asked.lora_load_ms);
    let error_ms = F4::splat(config::error_ms(rows));

    let mut sample = Sample::start(rows);
    for first in (0..all).step_by(8) {
        let eligible = rows.eligible_word(first >> 3);
        let end = (first + 8).min(all);
        if eligible == 0 {
            queue[first..end].fill([NEVER; 4]);
            continue;
        }
        let mut bits = eligible;
        for at in first..end {
            let mask = Mask::from_bits(bits);
            bits >>= 4;
            // Share of normal traffic: health, slow start, operator weight. A slow row has its own prefill rate.
            let trust = F4::new(&health[at]) * F4::new(&slow_start[at]) * F4::new(&weight[at]);
            let share = trust.pmax(F4::splat(SHARE_MIN));
            let rate = F4::new(&prefill_rate[at]).pmax(F4::splat(RATE_MIN));
            let per_token = F4::splat(1000.0) / (rate * share);
            let work = (F4::new(&pending[at]) + F4::new(&pairs[at]) * tokens_per_pair) * per_token;
            // The first of them is under way since then.
            let elapsed = now_ms.minus(I4::new(&prefill_at[at])).max_signed(0).signed_to_f32();
            let left = (work - elapsed).pmax(work * queue_floor);
            let present = F4::new(&load[at]) * tokens_per_request * per_token;
            let failing = F4::new(&errors[at]) * error_ms;
            let begins = ((left + present) + loading) + failing;
            queue[at] = begins.select(never, mask).lanes();
            queued[at] = left.select(zero, mask).lanes();
            pace[at] = per_token.lanes();
        }
        sample.group(&queued[first..end], eligible);
    }
    sample.end(rows)
}
