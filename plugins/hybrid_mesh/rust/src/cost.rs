//! Second pass over the rows, as in ../../assembly/cost.ts: what each costs with the whole prompt there, computed only for fours of which one is not above the best
//! costs found so far, by a bound from what the first pass left; only for them the other columns are read. The rows that are ranked, and their ties, are those of
//! a pass over everything.
use crate::fetch::Fetch;
use crate::manifest::{columns, config};
use crate::row::{needed_tokens, prompt_tokens, work_of, Weights};
use infermesh_strategy::lanes::{fours, fours_mut, fours_u32, Mask, F4, I4};
use infermesh_strategy::{Frame, Rows, BLOCK_ROWS, NEVER};

/// The bound leaves out what requests behind own prefill wait, and rounds otherwise: so much below it is certain.
const BOUND_SHARE: f32 = 0.999;
const BLOCK_FOURS: usize = BLOCK_ROWS / 4;

/// The four lowest minima of blocks, lowest first: no row above the last is ranked. Those not asked for are below everything.
struct Best([f32; 4]);

impl Best {
    fn of(wanted: u32) -> Best {
        let at = |index: u32| if wanted > 3 - index { f32::MAX } else { -f32::MAX };
        Best([at(0), at(1), at(2), f32::MAX])
    }

    fn put(&mut self, value: f32) {
        let best = &mut self.0;
        if !(value < best[3]) {
            return;
        }
        best[3] = value;
        for at in (0..3).rev() {
            if best[at + 1] < best[at] {
                best.swap(at, at + 1);
            }
        }
    }
}

/// What is read only of rows that may win, and by what it counts.
struct Others<'a> {
    kv_usage: &'a [[f32; 4]],
    kv_free_blocks: &'a [[f32; 4]],
    kv_block_tokens: &'a [[f32; 4]],
    rtt: &'a [[f32; 4]],
    telemetry_at: &'a [[u32; 4]],
    needed: f32,
    shortage_weight: f32,
    kv_pressure: f32,
    rtt_weight: f32,
    fresh_from: u32,
    stale_max: i32,
    stale_weight: f32,
}

impl<'a> Others<'a> {
    fn of(rows: &Rows<'a>) -> Others<'a> {
        let all = rows.capacity / 4;
        Others {
            kv_usage: &fours(columns::kv_usage(rows))[..all],
            kv_free_blocks: &fours(columns::kv_free_blocks(rows))[..all],
            kv_block_tokens: &fours(columns::kv_block_tokens(rows))[..all],
            rtt: &fours(columns::rtt_ms(rows))[..all],
            telemetry_at: &fours_u32(columns::telemetry_at_ms(rows))[..all],
            needed: needed_tokens(rows),
            shortage_weight: config::shortage_weight(rows),
            kv_pressure: config::kv_pressure_ms(rows),
            rtt_weight: config::rtt_weight(rows),
            fresh_from: rows.request.now_ms.wrapping_sub(config::stale_after_ms(rows) as u32),
            stale_max: config::stale_max_ms(rows),
            stale_weight: config::stale_weight(rows),
        }
    }

    /// Milliseconds that four rows cost beside queue and prompt: memory pressure, network, age, and KV tokens that must first be freed.
    #[inline(always)]
    fn ms(&self, at: usize, per_token: F4) -> F4 {
        let usage = F4::new(&self.kv_usage[at]);
        let free = F4::new(&self.kv_free_blocks[at]) * F4::new(&self.kv_block_tokens[at]);
        let missing = (F4::splat(self.needed) - free).pmax(F4::splat(0.0));
        let shortage = missing * usage * F4::splat(self.shortage_weight) * per_token;
        let usage2 = usage * usage;
        let usage4 = usage2 * usage2;
        let pressure = usage4 * usage4 * F4::splat(self.kv_pressure);
        let late = I4::splat(self.fresh_from).minus(I4::new(&self.telemetry_at[at]));
        let late = late.max_signed(0).min_signed(self.stale_max);
        let stale = late.signed_to_f32() * F4::splat(self.stale_weight);
        let fixed = (pressure + F4::new(&self.rtt[at]) * F4::splat(self.rtt_weight)) + stale;
        fixed + shortage
    }
}

/// Bit i: whether one of the i-th four of rows may cost no more than `bound`; `least` = least weighted work of own prefill.
#[inline(always)]
fn may_win(queue: &[[f32; 4]], pace: &[[f32; 4]], least: F4, bound: F4) -> u32 {
    let able = |queue: &[f32; 4], pace: &[f32; 4]| (F4::new(queue) + least * F4::new(pace)).at_most(bound);
    let mut found = 0;
    for (at, (queue, pace)) in queue.chunks_exact(4).zip(pace.chunks_exact(4)).enumerate() {
        let masks: [Mask; 4] = [
            able(&queue[0], &pace[0]),
            able(&queue[1], &pace[1]),
            able(&queue[2], &pace[2]),
            able(&queue[3], &pace[3]),
        ];
        found |= Mask::any_of(masks) << (4 * at);
    }
    found
}

/// Costs of all rows that can be among the `wanted` (at most 4) lowest, with block minima. Blocks without such a row have the minimum NEVER, and what stood there is
/// left. `cost` holds the pending prefill when it begins.
pub fn cost_rows(
    frame: &mut Frame,
    weights: &Weights,
    fetch: &Fetch,
    cost: &mut [f32],
    queue: &[f32],
    pace: &[f32],
    wanted: u32,
) {
    let rows = frame.rows;
    let all = rows.capacity / 4;
    let (queue, pace, cost) = (&fours(queue)[..all], &fours(pace)[..all], &mut fours_mut(cost)[..all]);
    let others = Others::of(&rows);
    let work = work_of(&rows, prompt_tokens(&rows));
    let least = F4::splat(fetch.least_work(work) * weights.own * BOUND_SHARE);
    let never = F4::splat(NEVER);
    let mut holders = rows.hits.iter().map(|hit| hit.row as usize / 4).peekable();
    let mut best = Best::of(wanted);
    for first in (0..all).step_by(BLOCK_FOURS) {
        let end = (first + BLOCK_FOURS).min(all);
        let bound = F4::splat(best.0[3]);
        let mut winners = may_win(&queue[first..end], &pace[first..end], least, bound);
        // Rows that hold a prefix or an adapter are corrected afterwards: they must be there. Hits are ordered by row.
        while let Some(holder) = holders.next_if(|holder| *holder < end) {
            winners |= 1u32.wrapping_shl(holder.wrapping_sub(first) as u32);
        }
        let mut smallest = never;
        if winners != 0 {
            for at in first..end {
                let wins = winners & 1 != 0;
                winners >>= 1;
                if !wins {
                    cost[at] = [NEVER; 4];
                    continue;
                }
                let (per_token, queued) = (F4::new(&pace[at]), F4::new(&cost[at]));
                let before = F4::new(&queue[at]) + others.ms(at, per_token);
                let own = F4::splat(work) * per_token;
                // A row that is not eligible has an infinite queue.
                let total = before + weights.prefill_cost_four(own, before, queued);
                let mut costs = total.select(never, total.is_finite());
                if fetch.holder.is_some() {
                    costs = costs.pmin(fetch.four(&rows, weights, at * 4, before, per_token, queued));
                }
                cost[at] = costs.lanes();
                smallest = smallest.pmin(costs);
            }
            best.put(smallest.smallest());
        }
        frame.put_block_minimum(first * 4, smallest);
    }
    frame.pad_block_minima();
}
