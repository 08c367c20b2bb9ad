//! hybrid_mesh in Rust: the same decisions as the AssemblyScript original in `../assembly`, bit for bit, by the same two passes. The formula is in ../README.md; manifest.rs is
//! generated from the same strategy.yaml. Every operation is + − × ÷ or a comparison on 32-bit floats in the order of the original.
#![no_std]
mod busy;
mod cost;
mod explain;
mod fetch;
mod manifest;
mod queue;
mod row;

use fetch::Fetch;
use infermesh_strategy::{has_lora, strategy, Frame, Rows, Status};
use manifest::{columns, config, MANIFEST, TOP_K};
use row::{Asked, Weights};

/// Rows that hold a prefix, or the adapter: what they need not prefill or load is taken off. Costs only fall, so the minima stay exact.
fn credit_holders(
    frame: &mut Frame,
    asked: &Asked,
    weights: &Weights,
    fetch: &Fetch,
    cost: &mut [f32],
    queue: &[f32],
    pace: &[f32],
) {
    let rows = frame.rows;
    for hit in rows.hits {
        let row = hit.row as usize;
        if !rows.is_eligible(row) {
            continue;
        }
        let before = queue[row] + row::extra_ms(&rows, row, pace[row]) - if has_lora(hit) { asked.lora_load_ms } else { 0.0 };
        let value = fetch.cost_with(&rows, weights, row, row::uncached_tokens(&rows, hit), before, pace[row]);
        if !(value < cost[row]) {
            continue;
        }
        cost[row] = value;
        frame.lower_block_minimum(row, value);
    }
}

/// What is said of the first row: when its first token is expected, and where it is to fetch the prefix from.
fn tell_first(frame: &mut Frame, asked: &Asked, weights: &Weights, fetch: &Fetch, queue: &[f32], pace: &[f32]) {
    let rows = frame.rows;
    let row = frame.answer.ranked_row(0);
    let left = row::left_on(&rows, row);
    let lora = asked.lora_wait_ms(&rows, row);
    let before = queue[row] + row::extra_ms(&rows, row, pace[row]) - (asked.lora_load_ms - lora);
    let wait = fetch.wait_ms(&rows, weights, row, left, before, pace[row]);
    let queued = row::queued_ms(&rows, row, pace[row]);
    frame.answer.output.predicted_ttft_ms = row::queue_ms(&rows, row, queued, pace[row])
        + lora
        + wait
        + fetch.work_with(&rows, wait, left) * pace[row]
        + columns::rtt_ms(&rows)[row];
    if wait > 0.0 {
        if let Some(holder) = fetch.holder {
            frame.answer.fetch_from(holder);
        }
    }
}

/// Whether holding is on, and this request has not been held too long, nor too many others.
fn may_hold(rows: &Rows) -> bool {
    let on = config::hold_above_ms(rows) > 0.0 && rows.request.waited_ms < config::hold_max_ms(rows);
    on && rows.request.held_count < config::hold_count_max(rows)
}

/// Whether some row has less work before a new request than is held for.
fn has_room(rows: &Rows, pace: &[f32]) -> bool {
    let most = config::hold_above_ms(rows);
    rows.eligible().any(|row| row::queue_ms(rows, row, row::queued_ms(rows, row, pace[row]), pace[row]) <= most)
}

/// Own prefill on the first row in seconds, by patience: shortest first, aged by the host.
fn hold_key(frame: &Frame, pace: &[f32]) -> f32 {
    let rows = &frame.rows;
    let row = frame.answer.ranked_row(0);
    row::work_of(rows, row::left_on(rows, row)) * pace[row] * 0.001 * config::hold_patience(rows)
}

fn rank(frame: &mut Frame) -> Status {
    let rows = frame.rows;
    if rows.request.eligible_count == 0 {
        return Status::Decline;
    }
    let (queue, pace, cost) = (frame.scratch(0), frame.scratch(1), frame.scratch(2));
    let asked = Asked::of(&rows);
    let wanted = TOP_K.min(rows.request.top_k);
    // The pending prefill stands in the costs' place until they are computed.
    let busy = queue::look_at_queues(&rows, &asked, queue, pace, cost);
    let weights = Weights {
        own: 1.0 + config::own_weight(&rows),
        crowd: config::crowd_weight(&rows),
        crowd_ms: config::crowd_ms(&rows),
        busy,
    };
    let fetch = Fetch::find(&rows);
    cost::cost_rows(frame, &weights, &fetch, cost, queue, pace, wanted);
    credit_holders(frame, &asked, &weights, &fetch, cost, queue, pace);
    let count = frame.select_lowest(cost, wanted);
    if count == 0 {
        return Status::Decline;
    }
    explain::ranked(frame, &asked, &weights, &fetch, count, pace);
    tell_first(frame, &asked, &weights, &fetch, queue, pace);
    if may_hold(&rows) && !has_room(&rows, pace) {
        let key = hold_key(frame, pace);
        return frame.answer.hold(key);
    }
    frame.answer.route(count)
}

strategy!(manifest: MANIFEST, rank: rank);
