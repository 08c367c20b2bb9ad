//! Fetching a prefix: a row that can have it brought from its best holder costs the lesser of computing it and fetching it. Looked at only where the
//! request has a holder; rows that cannot fetch are left as they are.
use crate::manifest::{columns, config};
use crate::row::{prompt_tokens, queued_ms, work_of, Weights};
use infermesh_strategy::lanes::{fours_u32, F4, I4};
use infermesh_strategy::{allowed, max32, min32, Rows};

/// Fewer tokens are computed sooner than asked for.
const TOKENS_MIN: u32 = 64;

pub struct Fetch {
    /// The eligible row that holds the longest prefix; none where nothing is to be fetched.
    pub holder: Option<usize>,
    /// The tokens left to prefill after a fetch, and their work.
    left_after: f32,
    work_after: f32,
}

/// Whether any row can fetch a prefix.
fn some_fetch(rows: &Rows) -> bool {
    let able = fours_u32(columns::fetches_prefixes(rows)).iter().fold(I4::splat(0), |able, four| able.or(I4::new(four)));
    able.is_not_zero().bits() != 0
}

impl Fetch {
    /// Looks for the holder.
    pub fn find(rows: &Rows) -> Fetch {
        let mut holder = None;
        let mut tokens = 0;
        if config::fetch(rows) {
            for hit in rows.hits {
                if hit.tokens > tokens && hit.tokens >= TOKENS_MIN && rows.is_eligible(hit.row as usize) {
                    tokens = hit.tokens;
                    holder = Some(hit.row as usize);
                }
            }
        }
        if holder.is_some() && !some_fetch(rows) {
            holder = None;
        }
        let left_after = max32(prompt_tokens(rows) - tokens as f32, 1.0);
        Fetch { holder, left_after, work_after: work_of(rows, left_after) }
    }

    /// The least that a row with `work` to do has left.
    pub fn least_work(&self, work: f32) -> f32 {
        if self.holder.is_some() {
            min32(work, self.work_after)
        } else {
            work
        }
    }

    /// Milliseconds to fetch what is beyond `left` tokens to a row.
    fn fetch_ms(&self, rows: &Rows, row: usize, left: f32) -> f32 {
        let known = columns::bandwidth_mbps(rows)[row];
        let kib = (left - self.left_after) * config::kv_kib_per_token(rows);
        let rate = if known > 0.0 { known } else { config::transfer_mbps(rows) };
        config::fetch_ms(rows) + (kib * 1.024) / rate
    }

    /// Whether a row with `left` tokens to prefill can fetch some of them.
    fn may_fetch(&self, rows: &Rows, row: usize, left: f32) -> bool {
        self.holder.map_or(false, |holder| holder != row)
            && columns::fetches_prefixes(rows)[row] != 0
            && self.left_after < left
    }

    /// Cost of a row with `left` tokens to prefill, computed or fetched; `before` = its other costs.
    pub fn cost_with(&self, rows: &Rows, weights: &Weights, row: usize, left: f32, before: f32, pace: f32) -> f32 {
        let queued = queued_ms(rows, row, pace);
        let computed = before + weights.prefill_cost(work_of(rows, left) * pace, before, queued);
        if !self.may_fetch(rows, row, left) {
            return computed;
        }
        let own = weights.prefill_cost(self.work_after * pace, before, queued);
        min32(computed, before + self.fetch_ms(rows, row, left) + own)
    }

    /// Milliseconds of the fetch that makes a row cheaper; 0 where computing is.
    pub fn wait_ms(&self, rows: &Rows, weights: &Weights, row: usize, left: f32, before: f32, pace: f32) -> f32 {
        if !self.may_fetch(rows, row, left) {
            return 0.0;
        }
        let queued = queued_ms(rows, row, pace);
        let wait = self.fetch_ms(rows, row, left);
        let fetched = before + wait + weights.prefill_cost(self.work_after * pace, before, queued);
        let computed = before + weights.prefill_cost(work_of(rows, left) * pace, before, queued);
        if fetched < computed {
            wait
        } else {
            0.0
        }
    }

    /// Work left to a row with `left` tokens to prefill, after the fetch if it waits for one.
    pub fn work_with(&self, rows: &Rows, wait: f32, left: f32) -> f32 {
        if wait > 0.0 {
            self.work_after
        } else {
            work_of(rows, left)
        }
    }

    /// Costs of the four rows from `row` on, which hold nothing, with the prefix fetched; NEVER where it cannot be. `before` = their other costs.
    pub fn four(&self, rows: &Rows, weights: &Weights, row: usize, before: F4, pace: F4, queued: F4) -> F4 {
        let able = rows.eligible_four(row).and(I4::load(columns::fetches_prefixes(rows), row).is_not_zero());
        let known = F4::load(columns::bandwidth_mbps(rows), row);
        let rate = known.select(F4::splat(config::transfer_mbps(rows)), known.above(0.0));
        let size = F4::splat((prompt_tokens(rows) - self.left_after) * config::kv_kib_per_token(rows) * 1.024);
        let begun = before + (F4::splat(config::fetch_ms(rows)) + size / rate);
        let own = F4::splat(self.work_after) * pace;
        allowed(begun + weights.prefill_cost_four(own, before, queued), able)
    }
}
