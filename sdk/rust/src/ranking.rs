//! Choosing the best rows from a column of costs: exact top-k through the minima of blocks of 64 rows. Rows with the same cost are equally likely, by the
//! request's seed; a lower row number is never an advantage.
use crate::abi::RANKED_ROWS_MAX;
use crate::lanes::{fours, fours_mut, Mask, F4};
use crate::{Frame, Rows, Status};

/// Rows whose minimum is kept together.
pub const BLOCK_ROWS: usize = 64;

/// The cost that keeps a row out.
pub const NEVER: f32 = f32::INFINITY;

/// Four costs with NEVER where a row is not in the mask or its cost is no finite number.
#[inline(always)]
pub fn allowed(costs: F4, mask: Mask) -> F4 {
    costs.select(F4::splat(NEVER), costs.is_finite().and(mask))
}

/// The least of costs, a multiple of four of them.
#[inline(always)]
fn least(costs: &[f32]) -> f32 {
    fours(costs).iter().fold(F4::splat(NEVER), |least, four| least.pmin(F4::new(four))).smallest()
}

/// The block minima of a column of costs.
struct Blocks<'m> {
    minima: &'m mut [f32],
    capacity: usize,
}

impl Rows<'_> {
    /// Which of rows `row` … `row` + 3 are eligible; `row` is a multiple of 4.
    #[inline(always)]
    pub fn eligible_four(&self, row: usize) -> Mask {
        Mask::from_bits(self.eligible_word(row >> 5) >> (row & 31))
    }
}

impl Blocks<'_> {
    fn count(&self) -> usize {
        (self.capacity + BLOCK_ROWS - 1) / BLOCK_ROWS
    }

    /// Minima with the padding that lets them be read four at a time.
    fn padded(&self) -> usize {
        (self.count() + 3) & !3
    }

    fn refresh(&mut self, cost: &[f32], block: usize) {
        let end = (block + BLOCK_ROWS).min(self.capacity);
        self.minima[block / BLOCK_ROWS] = least(&cost[block..end]);
    }

    fn lowest(&self) -> f32 {
        least(&self.minima[..self.padded()])
    }

    /// The row with cost `lowest` after `skip` others with the same cost; else how many rows have that cost.
    fn find_tied(&self, cost: &[f32], lowest: f32, skip: u32) -> Result<usize, u32> {
        let mut seen = 0;
        for block in (0..self.capacity).step_by(BLOCK_ROWS) {
            if self.minima[block / BLOCK_ROWS] != lowest {
                continue;
            }
            let end = (block + BLOCK_ROWS).min(self.capacity);
            for (at, four) in fours(&cost[block..end]).iter().enumerate() {
                let mut bits = F4::new(four).equal_bits(lowest);
                let found = bits.count_ones();
                if seen + found > skip {
                    for _ in seen..skip {
                        bits &= bits - 1;
                    }
                    return Ok(block + 4 * at + bits.trailing_zeros() as usize);
                }
                seen += found;
            }
        }
        Err(seen)
    }
}

impl Frame<'_> {
    /// Stores the minimum of the block of `row`; for loops that compute costs and minima together.
    #[inline(always)]
    pub fn put_block_minimum(&mut self, row: usize, values: F4) {
        self.minima[row / BLOCK_ROWS] = values.smallest();
    }

    /// Lowers the minimum of the block of `row` to `value` if that is lower.
    #[inline]
    pub fn lower_block_minimum(&mut self, row: usize, value: f32) {
        let minimum = &mut self.minima[row / BLOCK_ROWS];
        if value < *minimum {
            *minimum = value;
        }
    }

    /// Fills the minima beyond the last block, so that they are read four at a time.
    pub fn pad_block_minima(&mut self) {
        let blocks = self.blocks();
        let (count, padded) = (blocks.count(), blocks.padded());
        blocks.minima[count..padded].fill(NEVER);
    }

    fn blocks(&mut self) -> Blocks<'_> {
        Blocks { minima: self.minima, capacity: self.rows.capacity }
    }

    /// Puts NEVER where a row may not be chosen, and computes the block minima.
    pub fn mask_costs(&mut self, cost: &mut [f32]) {
        let rows = self.rows;
        for block in (0..rows.capacity).step_by(BLOCK_ROWS) {
            let mut smallest = F4::splat(NEVER);
            let end = (block + BLOCK_ROWS).min(rows.capacity);
            for (at, four) in fours_mut(&mut cost[block..end]).iter_mut().enumerate() {
                let values = allowed(F4::new(four), rows.eligible_four(block + 4 * at));
                *four = values.lanes();
                smallest = smallest.pmin(values);
            }
            self.put_block_minimum(block, smallest);
        }
        self.pad_block_minima();
    }

    /// Writes the `k` rows of lowest cost into the answer, best first, and returns how many there are. Costs must be masked and block minima computed
    /// (`mask_costs`). The chosen rows' costs are overwritten with NEVER.
    pub fn select_lowest(&mut self, cost: &mut [f32], k: u32) -> usize {
        let wanted = k.min(RANKED_ROWS_MAX) as usize;
        let mut count = 0;
        let mut lowest = NEVER;
        let mut tied = 0;
        while count < wanted {
            let next = self.blocks().lowest();
            if !(next < NEVER) {
                break;
            }
            // Choosing one of several leaves one less; only a new lowest cost is counted.
            if next != lowest {
                tied = self.blocks().find_tied(cost, next, u32::MAX).err().unwrap_or(0);
            }
            lowest = next;
            let skip = if tied > 1 { self.random.below(tied) } else { 0 };
            let row = match self.blocks().find_tied(cost, lowest, skip) {
                Ok(row) => row,
                Err(_) => break,
            };
            tied -= 1;
            self.answer.put_ranked(count, row, lowest);
            count += 1;
            cost[row] = NEVER;
            self.blocks().refresh(cost, row & !(BLOCK_ROWS - 1));
        }
        self.answer.output.count = count as u32;
        count
    }

    /// Ends a decision: ranks the eligible rows by `cost`, lowest first, as many as the host can use and at most `most` (TOP_K of manifest.rs; fewer
    /// rows cost less fuel). Declines when no row is eligible. Any row may hold any value where it is not eligible; rows whose cost is no finite number
    /// are left out.
    pub fn rank_lowest(&mut self, cost: &mut [f32], most: u32) -> Status {
        self.mask_costs(cost);
        let count = self.select_lowest(cost, self.rows.request.top_k.min(most));
        self.answer.route(count)
    }
}
