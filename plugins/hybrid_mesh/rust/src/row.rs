//! What one row costs, in scalars: the same terms as the passes in queue.rs and cost.rs, for the few rows that are ranked or hold a prefix.
use crate::busy::Busy;
use crate::manifest::{columns, config};
use infermesh_strategy::abi::PrefixHit;
use infermesh_strategy::lanes::F4;
use infermesh_strategy::{age_ms, find_hit, has_lora, lora_rows, max32, tier_share, Rows};

/// Unit of `pending_prefill_pairs`.
const PAIRS_UNIT: f32 = 1_048_576.0;

/// Share of own prefill that counts as before it, for the requests that come meanwhile.
const CROWD_OWN: f32 = 0.125;

/// What own prefill costs beyond its time: see README.md.
pub struct Weights {
    /// Wherever it is done: 1 and the charge.
    pub own: f32,
    pub crowd: f32,
    pub crowd_ms: f32,
    pub busy: Busy,
}

impl Weights {
    /// Own prefill of `own` ms with what requests that come behind it wait for it; `before` = all other costs.
    pub fn weighted(&self, own: f32, before: f32) -> f32 {
        let length = self.crowd_ms + (before + own * CROWD_OWN);
        own * (self.own + (self.crowd - (self.crowd * self.crowd_ms) / length))
    }

    /// Own prefill of `own` ms with what it costs others, here and in the pool; `queued` = prefill pending before it.
    pub fn prefill_cost(&self, own: f32, before: f32, queued: f32) -> f32 {
        self.weighted(own, before) + self.busy.ms(own, queued)
    }

    /// The same of four rows.
    #[inline(always)]
    pub fn prefill_cost_four(&self, own: F4, before: F4, queued: F4) -> F4 {
        let length = F4::splat(self.crowd_ms) + (before + own * F4::splat(CROWD_OWN));
        let crowd = F4::splat(self.crowd) - F4::splat(self.crowd * self.crowd_ms) / length;
        own * (F4::splat(self.own) + crowd) + self.busy.four(own, queued)
    }
}

/// What the request asks of every row alike.
pub struct Asked {
    /// Milliseconds the request's adapter takes to load where it is not; 0 while no target is known to have it, as for requests without one.
    pub lora_load_ms: f32,
}

impl Asked {
    pub fn of(rows: &Rows) -> Asked {
        Asked { lora_load_ms: if lora_rows(rows) > 0 { config::lora_load_ms(rows) } else { 0.0 } }
    }

    /// Milliseconds until the request's adapter is loaded on a row.
    pub fn lora_wait_ms(&self, rows: &Rows, row: usize) -> f32 {
        if find_hit(rows, row).map_or(false, has_lora) {
            0.0
        } else {
            self.lora_load_ms
        }
    }
}

/// Prompt tokens of the request, at least one.
pub fn prompt_tokens(rows: &Rows) -> f32 {
    rows.request.tokens_in.max(1) as f32
}

/// Prompt tokens that one request already on a row is worth.
pub fn load_tokens(rows: &Rows) -> f32 {
    config::request_tokens(rows) + config::output_share(rows) * rows.request.tokens_out as f32
}

/// Tokens without context that a token pair is worth, by the unit of `pending_prefill_pairs`.
pub fn pair_tokens(rows: &Rows) -> f32 {
    config::attention_per_token(rows) * PAIRS_UNIT
}

/// Work of prefilling the last `left` tokens of the prompt, in tokens without context.
pub fn work_of(rows: &Rows, left: f32) -> f32 {
    left * (1.0 + config::attention_per_token(rows) * (prompt_tokens(rows) - left * 0.5))
}

/// Prompt tokens left to prefill where `hit` is cached; the last one is always computed.
pub fn uncached_tokens(rows: &Rows, hit: &PrefixHit) -> f32 {
    let cached = hit.tokens as f32 * tier_share(hit.tier, config::host_share(rows), config::disk_share(rows));
    max32(prompt_tokens(rows) - cached, 1.0)
}

/// Prompt tokens left to prefill on a row.
pub fn left_on(rows: &Rows, row: usize) -> f32 {
    find_hit(rows, row).map_or_else(|| prompt_tokens(rows), |hit| uncached_tokens(rows, hit))
}

/// Milliseconds of prefill pending on a row, less what has been done of it.
pub fn queued_ms(rows: &Rows, row: usize, pace: f32) -> f32 {
    let pairs = columns::pending_prefill_pairs(rows)[row] * pair_tokens(rows);
    let work = (columns::pending_prefill_tokens(rows)[row] + pairs) * pace;
    let elapsed = (age_ms(rows.request.now_ms, columns::prefill_at_ms(rows)[row]) as i32).max(0) as f32;
    max32(work - elapsed, work * config::queue_floor(rows))
}

/// Tokens of KV cache the request needs.
pub fn needed_tokens(rows: &Rows) -> f32 {
    rows.request.tokens_in as f32 + rows.request.tokens_out as f32
}

/// Milliseconds until so many KV tokens as the request needs have been freed on a row.
fn shortage_ms(rows: &Rows, row: usize, pace: f32) -> f32 {
    let free = columns::kv_free_blocks(rows)[row] * columns::kv_block_tokens(rows)[row];
    max32(needed_tokens(rows) - free, 0.0) * columns::kv_usage(rows)[row] * config::shortage_weight(rows) * pace
}

pub fn pressure_ms(rows: &Rows, row: usize) -> f32 {
    let usage = columns::kv_usage(rows)[row];
    let usage4 = usage * usage * (usage * usage);
    usage4 * usage4 * config::kv_pressure_ms(rows)
}

pub fn network_ms(rows: &Rows, row: usize) -> f32 {
    columns::rtt_ms(rows)[row] * config::rtt_weight(rows)
}

pub fn stale_ms(rows: &Rows, row: usize) -> f32 {
    let fresh_from = rows.request.now_ms.wrapping_sub(config::stale_after_ms(rows) as u32);
    let late = fresh_from.wrapping_sub(columns::telemetry_at_ms(rows)[row]) as i32;
    late.max(0).min(config::stale_max_ms(rows)) as f32 * config::stale_weight(rows)
}

/// Milliseconds a row costs beside its queue, errors and the prompt: memory pressure, network, age, and KV to be freed.
pub fn extra_ms(rows: &Rows, row: usize, pace: f32) -> f32 {
    pressure_ms(rows, row) + network_ms(rows, row) + stale_ms(rows, row) + shortage_ms(rows, row, pace)
}

/// Milliseconds of work before this request on a row; `queued` = prefill pending there.
pub fn queue_ms(rows: &Rows, row: usize, queued: f32, pace: f32) -> f32 {
    queued + columns::load(rows)[row] * load_tokens(rows) * pace + shortage_ms(rows, row, pace)
}
