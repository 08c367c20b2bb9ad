//! hybrid_mesh in Rust: the same decisions as the AssemblyScript original in `../assembly`, bit for bit. The formula is in ../README.md; manifest.rs is
//! generated from the same strategy.yaml. Every operation is + − × ÷ or a comparison on 32-bit floats in the order of the original.
#![no_std]
mod busy;
mod explain;
mod fetch;
mod manifest;
mod row;

use busy::Busy;
use fetch::Fetch;
use infermesh_strategy::lanes::{F4, I4};
use infermesh_strategy::{allowed, has_lora, strategy, Frame, Rows, Status, BLOCK_ROWS, NEVER};
use manifest::{columns, config, MANIFEST, TOP_K};
use row::{Asked, Weights};

/// Smallest share of normal traffic a row is taken to deserve; keeps costs finite.
const SHARE_MIN: f32 = 0.02;
/// Smallest prefill rate, tokens/s.
const RATE_MIN: f32 = 1.0;

/// First pass: base\[row\] = milliseconds it costs to be there at all; pace\[row\] = milliseconds per prompt token; queued\[row\] = prefill pending there.
/// Whether any row can fetch a prefix.
fn cost_without_prompt(rows: &Rows, asked: &Asked, base: &mut [f32], pace: &mut [f32], queued: &mut [f32]) -> bool {
    let prefill_rate = columns::prefill_rate(rows);
    let pending = columns::pending_prefill_tokens(rows);
    let pairs = columns::pending_prefill_pairs(rows);
    let prefill_at = columns::prefill_at_ms(rows);
    let fetches = columns::fetches_prefixes(rows);
    let load = columns::load(rows);
    let kv_usage = columns::kv_usage(rows);
    let kv_free_blocks = columns::kv_free_blocks(rows);
    let kv_block_tokens = columns::kv_block_tokens(rows);
    let rtt = columns::rtt_ms(rows);
    let errors = columns::error_ratio(rows);
    let health = columns::health(rows);
    let slow_start = columns::slow_start(rows);
    let weight = columns::weight(rows);
    let telemetry_at = columns::telemetry_at_ms(rows);

    let request = rows.request;
    let zero = F4::splat(0.0);
    let tokens_per_request = F4::splat(row::load_tokens(rows));
    let tokens_per_pair = F4::splat(row::pair_tokens(rows));
    let now_ms = I4::splat(request.now_ms);
    let queue_floor = F4::splat(config::queue_floor(rows));
    let needed = F4::splat(request.tokens_in as f32 + request.tokens_out as f32);
    let shortage_weight = F4::splat(config::shortage_weight(rows));
    let kv_pressure = F4::splat(config::kv_pressure_ms(rows));
    let rtt_weight = F4::splat(config::rtt_weight(rows));
    let error_ms = F4::splat(config::error_ms(rows));
    let stale_weight = F4::splat(config::stale_weight(rows));
    let fresh_from = I4::splat(request.now_ms.wrapping_sub(config::stale_after_ms(rows) as u32));
    let stale_max = config::stale_max_ms(rows);
    let loading = F4::splat(asked.lora_load_ms);

    let mut able = I4::splat(0);
    for first in (0..rows.capacity).step_by(32) {
        if rows.eligible_word(first >> 5) == 0 {
            continue;
        }
        for row in (first..(first + 32).min(rows.capacity)).step_by(4) {
            // Share of normal traffic: health, slow start, operator weight. A slow row has its own prefill rate.
            let trust = F4::load(health, row) * F4::load(slow_start, row) * F4::load(weight, row);
            let share = trust.pmax(F4::splat(SHARE_MIN));
            let rate = F4::load(prefill_rate, row).pmax(F4::splat(RATE_MIN));
            let per_token = F4::splat(1000.0) / (rate * share);
            // Tokens before ours: prompts not yet prefilled, requests present, KV tokens that must first be freed.
            let usage = F4::load(kv_usage, row);
            let free = F4::load(kv_free_blocks, row) * F4::load(kv_block_tokens, row);
            let shortage = (needed - free).pmax(zero) * usage * shortage_weight * per_token;
            let work = (F4::load(pending, row) + F4::load(pairs, row) * tokens_per_pair) * per_token;
            // The first of them is under way since then.
            let elapsed = now_ms.minus(I4::load(prefill_at, row)).max_signed(0).signed_to_f32();
            let left = (work - elapsed).pmax(work * queue_floor);
            able = able.or(I4::load(fetches, row));
            let begins = (left + F4::load(load, row) * tokens_per_request * per_token) + loading;
            // Costs that do not depend on work.
            let usage2 = usage * usage;
            let usage4 = usage2 * usage2;
            let pressure = usage4 * usage4 * kv_pressure;
            let network = F4::load(rtt, row) * rtt_weight;
            let failing = F4::load(errors, row) * error_ms;
            let late = fresh_from.minus(I4::load(telemetry_at, row)).max_signed(0).min_signed(stale_max);
            let stale = late.signed_to_f32() * stale_weight;
            let fixed = (pressure + network) + stale;
            ((begins + failing) + (fixed + shortage)).store(base, row);
            left.store(queued, row);
            per_token.store(pace, row);
        }
    }
    able != I4::splat(0)
}

/// Second pass: cost\[row\] = base + own prefill with what it costs others, with block minima. It costs every row, where the original leaves out those that cannot win.
/// `cost` holds the pending prefill when it begins.
fn add_prompt(frame: &mut Frame, weights: &Weights, fetch: &Fetch, cost: &mut [f32], base: &[f32], pace: &[f32]) {
    let rows = frame.rows;
    let work = F4::splat(row::work_of(&rows, row::prompt_tokens(&rows)));
    for block in (0..rows.capacity).step_by(BLOCK_ROWS) {
        let mut smallest = F4::splat(NEVER);
        for row in (block..(block + BLOCK_ROWS).min(rows.capacity)).step_by(4) {
            let (before, per_token, queued) = (F4::load(base, row), F4::load(pace, row), F4::load(cost, row));
            let prefill = weights.prefill_cost_four(work * per_token, before, queued);
            let mut values = allowed(before + prefill, rows.eligible_four(row));
            if fetch.holder.is_some() {
                values = values.pmin(fetch.four(&rows, weights, row, before, per_token, queued));
            }
            values.store(cost, row);
            smallest = smallest.pmin(values);
        }
        frame.put_block_minimum(block, smallest);
    }
    frame.pad_block_minima();
}

/// Rows that hold a prefix, or the adapter: what they need not prefill or load is taken off. Costs only fall, so the minima stay exact.
fn credit_holders(frame: &mut Frame, asked: &Asked, weights: &Weights, fetch: &Fetch, cost: &mut [f32], base: &[f32], pace: &[f32]) {
    let rows = frame.rows;
    for hit in rows.hits {
        let row = hit.row as usize;
        if !rows.is_eligible(row) {
            continue;
        }
        let before = base[row] - if has_lora(hit) { asked.lora_load_ms } else { 0.0 };
        let value = fetch.cost_with(&rows, weights, row, row::uncached_tokens(&rows, hit), before, pace[row]);
        if !(value < cost[row]) {
            continue;
        }
        cost[row] = value;
        frame.lower_block_minimum(row, value);
    }
}

/// What is said of the first row: when its first token is expected, and where it is to fetch the prefix from.
fn tell_first(frame: &mut Frame, asked: &Asked, weights: &Weights, fetch: &Fetch, base: &[f32], pace: &[f32]) {
    let rows = frame.rows;
    let row = frame.answer.ranked_row(0);
    let left = row::left_on(&rows, row);
    let lora = asked.lora_wait_ms(&rows, row);
    let wait = fetch.wait_ms(&rows, weights, row, left, base[row] - (asked.lora_load_ms - lora), pace[row]);
    frame.answer.output.predicted_ttft_ms = row::queue_ms(&rows, row, pace)
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
    rows.eligible().any(|row| row::queue_ms(rows, row, pace) <= most)
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
    let (base, pace, cost) = (frame.scratch(0), frame.scratch(1), frame.scratch(2));
    let asked = Asked::of(&rows);
    // The pending prefill stands in the costs' place until they are computed.
    let some_fetch = cost_without_prompt(&rows, &asked, base, pace, cost);
    let weights = Weights {
        own: 1.0 + config::own_weight(&rows),
        crowd: config::crowd_weight(&rows),
        crowd_ms: config::crowd_ms(&rows),
        busy: Busy::of(&rows, cost),
    };
    let fetch = Fetch::find(&rows, some_fetch && config::fetch(&rows));
    add_prompt(frame, &weights, &fetch, cost, base, pace);
    credit_holders(frame, &asked, &weights, &fetch, cost, base, pace);
    let count = frame.select_lowest(cost, TOP_K.min(rows.request.top_k));
    if count == 0 {
        return Status::Decline;
    }
    explain::ranked(frame, &asked, &weights, &fetch, count, pace);
    tell_first(frame, &asked, &weights, &fetch, base, pace);
    if may_hold(&rows) && !has_room(&rows, pace) {
        let key = hold_key(frame, pace);
        return frame.answer.hold(key);
    }
    frame.answer.route(count)
}

strategy!(manifest: MANIFEST, rank: rank);
