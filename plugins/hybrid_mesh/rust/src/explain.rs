//! The factors of the ranked rows: parts of the score in milliseconds. All but saved_ms, which says what the cache took off, add up to it.
use crate::fetch::Fetch;
use crate::manifest::*;
use crate::row::{left_on, network_ms, pressure_ms, prompt_tokens, queue_ms, queued_ms, stale_ms, work_of, Asked, Weights};
use infermesh_strategy::Frame;

fn explain_row(frame: &mut Frame, asked: &Asked, weights: &Weights, fetch: &Fetch, position: usize, pace: &[f32]) {
    let rows = &frame.rows;
    let row = frame.answer.ranked_row(position);
    let kv = pressure_ms(rows, row);
    let network = network_ms(rows, row);
    let error = columns::error_ratio(rows)[row] * config::error_ms(rows);
    let stale = stale_ms(rows, row);
    let queued = queued_ms(rows, row, pace[row]);
    let begins = queue_ms(rows, row, queued, pace[row]) + asked.lora_wait_ms(rows, row);
    let before = begins + kv + network + error + stale;
    let left = left_on(rows, row);
    let wait = fetch.wait_ms(rows, weights, row, left, before, pace[row]);
    let own = fetch.work_with(rows, wait, left) * pace[row];
    let prefill = weights.weighted(own, before);
    let busy = weights.busy.ms(own, queued);
    let uncached = weights.prefill_cost(work_of(rows, prompt_tokens(rows)) * pace[row], before, queued);
    let saved = uncached - (prefill + busy);
    let factors = [
        (FACTOR_PREFILL_MS, prefill),
        (FACTOR_SAVED_MS, saved),
        (FACTOR_QUEUE_MS, begins + wait),
        (FACTOR_BUSY_MS, busy),
        (FACTOR_KV_MS, kv),
        (FACTOR_NETWORK_MS, network),
        (FACTOR_ERROR_MS, error),
        (FACTOR_STALE_MS, stale),
    ];
    for (factor, value) in factors {
        frame.answer.put_factor(position, factor, value);
    }
}

/// Writes the factors of the `count` rows just ranked.
pub fn ranked(frame: &mut Frame, asked: &Asked, weights: &Weights, fetch: &Fetch, count: usize, pace: &[f32]) {
    frame.answer.set_factor_count(FACTOR_COUNT);
    for position in 0..count {
        explain_row(frame, asked, weights, fetch, position, pace);
    }
}
