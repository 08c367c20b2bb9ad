//! The factors of the ranked rows: parts of the score in milliseconds. All but saved_ms, which says what the cache took off, add up to it.
use crate::fetch::Fetch;
use crate::manifest::*;
use crate::row::{left_on, prompt_tokens, queue_ms, queued_ms, work_of, Asked, Weights};
use infermesh_strategy::{Frame, Rows};

fn stale_ms(rows: &Rows, row: usize) -> f32 {
    let fresh_from = rows.request.now_ms.wrapping_sub(config::stale_after_ms(rows) as u32);
    let late = fresh_from.wrapping_sub(columns::telemetry_at_ms(rows)[row]) as i32;
    late.max(0).min(config::stale_max_ms(rows)) as f32 * config::stale_weight(rows)
}

fn explain_row(frame: &mut Frame, asked: &Asked, weights: &Weights, fetch: &Fetch, position: usize, pace: &[f32]) {
    let rows = &frame.rows;
    let row = frame.answer.ranked_row(position);
    let usage = columns::kv_usage(rows)[row];
    let usage4 = usage * usage * (usage * usage);
    let kv = usage4 * usage4 * config::kv_pressure_ms(rows);
    let network = columns::rtt_ms(rows)[row] * config::rtt_weight(rows);
    let error = columns::error_ratio(rows)[row] * config::error_ms(rows);
    let stale = stale_ms(rows, row);
    let begins = queue_ms(rows, row, pace) + asked.lora_wait_ms(rows, row);
    let before = begins + kv + network + error + stale;
    let left = left_on(rows, row);
    let wait = fetch.wait_ms(rows, weights, row, left, before, pace[row]);
    let own = fetch.work_with(rows, wait, left) * pace[row];
    let queued = queued_ms(rows, row, pace[row]);
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
