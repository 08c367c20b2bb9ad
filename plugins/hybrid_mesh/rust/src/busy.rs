//! How busy the pool is and for how long, and what it costs to keep one more target busy meanwhile: the same as ../../assembly/busy.ts, over the same rows.
use crate::manifest::config;
use infermesh_strategy::lanes::F4;
use infermesh_strategy::{min32, Rows};

/// Where the share of busy rows is taken, and where the next one holds from, in units of `service_ms`.
const POINTS: [f32; 4] = [0.32, 1.6, 6.4, 25.6];
const STEPS: [f32; 3] = [0.8, 3.2, 12.8];
/// In larger pools about so many rows are looked at, evenly spread in groups of 32.
const SAMPLE_ROWS: usize = 1024;

/// What a millisecond of a busy target costs.
pub struct Busy {
    /// Before each step more than after it.
    drops: [f32; 3],
    last: f32,
    steps: [f32; 3],
}

impl Busy {
    /// Looks at the pool; `queued` of rows that are not eligible is not looked at.
    pub fn of(rows: &Rows, queued: &[f32]) -> Busy {
        let unit = config::service_ms(rows);
        let stride = ((rows.capacity + SAMPLE_ROWS - 1) / SAMPLE_ROWS).max(1);
        let mut counts = [0u32; 4];
        let mut sampled = 0u32;
        let mut next = 0;
        for first in (0..rows.capacity).step_by(32) {
            let word = rows.eligible_word(first >> 5);
            if word == 0 {
                continue;
            }
            if next > 0 {
                next -= 1;
                continue;
            }
            next = stride - 1;
            sampled += word.count_ones();
            for row in first..(first + 32).min(rows.capacity) {
                if (word >> (row & 31)) & 1 == 0 {
                    continue;
                }
                for at in 0..4 {
                    counts[at] += (queued[row] > unit * POINTS[at]) as u32;
                }
            }
        }
        let price = |count: u32| {
            if sampled < 2 {
                return 0.0;
            }
            let share = min32(count as f32 / (sampled - 1) as f32, 1.0);
            share * share * config::busy_weight(rows)
        };
        let prices = [price(counts[0]), price(counts[1]), price(counts[2]), price(counts[3])];
        Busy {
            drops: [prices[0] - prices[1], prices[1] - prices[2], prices[2] - prices[3]],
            last: prices[3],
            steps: [unit * STEPS[0], unit * STEPS[1], unit * STEPS[2]],
        }
    }

    /// Cost of keeping a row busy for `own` ms, from `queued` ms on.
    pub fn ms(&self, own: f32, queued: f32) -> f32 {
        let until = queued + own;
        let step = |at: usize| self.drops[at] * (min32(until, self.steps[at]) - min32(queued, self.steps[at]));
        step(0) + step(1) + step(2) + self.last * own
    }

    /// The same of four rows.
    pub fn four(&self, own: F4, queued: F4) -> F4 {
        let until = queued + own;
        let step = |at: usize| {
            let bound = F4::splat(self.steps[at]);
            F4::splat(self.drops[at]) * (until.pmin(bound) - queued.pmin(bound))
        };
        step(0) + step(1) + step(2) + F4::splat(self.last) * own
    }
}
