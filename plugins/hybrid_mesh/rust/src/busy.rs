//! How busy the pool is and for how long, and what it costs to keep one more target busy meanwhile: the same as ../../assembly/busy.ts.
use crate::manifest::config;
use infermesh_strategy::lanes::{F4, I4};
use infermesh_strategy::{min32, Rows};

/// Where the share of busy rows is taken, and where the next one holds from, in units of `service_ms`.
const POINTS: [f32; 4] = [0.32, 1.6, 6.4, 25.6];
const STEPS: [f32; 3] = [0.8, 3.2, 12.8];
/// In larger pools about so many rows are looked at, evenly spread in groups of 32.
const SAMPLE_ROWS: usize = 1024;

/// A look at the pool that is under way.
pub struct Sample {
    points: [f32; 4],
    /// Rows looked at with more pending than each point, by lane.
    counts: [I4; 4],
    rows: u32,
    stride: usize,
    /// Groups to pass over.
    next: usize,
}

impl Sample {
    pub fn start(rows: &Rows) -> Sample {
        let unit = config::service_ms(rows);
        Sample {
            points: POINTS.map(|point| unit * point),
            counts: [I4::splat(0); 4],
            rows: 0,
            stride: ((rows.capacity + SAMPLE_ROWS - 1) / SAMPLE_ROWS).max(1),
            next: 0,
        }
    }

    /// Looks at a group of 32 rows, if it is its turn; `queued` of rows that are not in `eligible` is 0.
    #[inline(always)]
    pub fn group(&mut self, queued: &[[f32; 4]], eligible: u32) {
        if self.next > 0 {
            self.next -= 1;
            return;
        }
        self.next = self.stride - 1;
        let mut counts = self.counts;
        for four in queued {
            let pending = F4::new(four);
            for (count, point) in counts.iter_mut().zip(self.points) {
                *count = count.counting(pending.above(point));
            }
        }
        self.counts = counts;
        self.rows += eligible.count_ones();
    }

    /// Ends the look: the prices.
    pub fn end(self, rows: &Rows) -> Busy {
        let unit = config::service_ms(rows);
        let weight = config::busy_weight(rows);
        let prices = self.counts.map(|count| {
            if self.rows < 2 {
                return 0.0;
            }
            let share = min32(count.sum() as f32 / (self.rows - 1) as f32, 1.0);
            share * share * weight
        });
        Busy {
            drops: [prices[0] - prices[1], prices[1] - prices[2], prices[2] - prices[3]],
            last: prices[3],
            steps: STEPS.map(|step| unit * step),
        }
    }
}

/// What a millisecond of a busy target costs.
pub struct Busy {
    /// Before each step more than after it.
    drops: [f32; 3],
    last: f32,
    steps: [f32; 3],
}

impl Busy {
    /// Cost of keeping a row busy for `own` ms, from `queued` ms on.
    pub fn ms(&self, own: f32, queued: f32) -> f32 {
        let until = queued + own;
        let step = |at: usize| self.drops[at] * (min32(until, self.steps[at]) - min32(queued, self.steps[at]));
        step(0) + step(1) + step(2) + self.last * own
    }

    /// The same of four rows.
    #[inline(always)]
    pub fn four(&self, own: F4, queued: F4) -> F4 {
        let until = queued + own;
        let step = |at: usize| {
            let bound = F4::splat(self.steps[at]);
            F4::splat(self.drops[at]) * (until.pmin(bound) - queued.pmin(bound))
        };
        step(0) + step(1) + step(2) + F4::splat(self.last) * own
    }
}
