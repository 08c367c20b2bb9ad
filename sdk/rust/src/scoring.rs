//! Building a cost column from whole columns: weighted sums, min-max normalisation, prefix credit.
use crate::abi::{PrefixHit, CACHE_TIER_DEVICE, CACHE_TIER_HOST, HIT_FLAG_LORA};
use crate::lanes::F4;
use crate::Rows;

/// cost\[row\] = value, for every row.
pub fn fill_costs(cost: &mut [f32], value: f32) {
    cost.fill(value);
}

/// cost\[row\] += weight × column\[row\], for every row.
pub fn add_weighted(cost: &mut [f32], column: &[f32], weight: f32) {
    for (cost, value) in cost.iter_mut().zip(column) {
        *cost += weight * value;
    }
}

/// Smallest value of a column over the eligible rows; +∞ when none is.
pub fn lowest_of(rows: &Rows, column: &[f32]) -> f32 {
    let mut smallest = F4::splat(f32::INFINITY);
    for row in (0..rows.capacity).step_by(4) {
        let values = F4::load(column, row).select(F4::splat(f32::INFINITY), rows.eligible_four(row));
        smallest = smallest.pmin(values);
    }
    smallest.smallest()
}

/// Largest value of a column over the eligible rows; −∞ when none is.
pub fn highest_of(rows: &Rows, column: &[f32]) -> f32 {
    let mut smallest = F4::splat(f32::INFINITY);
    for row in (0..rows.capacity).step_by(4) {
        let values = F4::load(column, row).negated().select(F4::splat(f32::INFINITY), rows.eligible_four(row));
        smallest = smallest.pmin(values);
    }
    -smallest.smallest()
}

/// cost += weight × (column − lowest) / (highest − lowest) over the eligible rows; adds nothing when all are equal.
pub fn add_normalised(rows: &Rows, cost: &mut [f32], column: &[f32], weight: f32) {
    let lowest = lowest_of(rows, column);
    let range = highest_of(rows, column) - lowest;
    if !(range > 0.0) {
        return;
    }
    let factor = weight / range;
    for (cost, value) in cost.iter_mut().zip(column) {
        *cost += factor * (value - lowest);
    }
}

/// The hit of a row, found by halving (hits are ordered by row).
pub fn find_hit<'a>(rows: &Rows<'a>, row: usize) -> Option<&'a PrefixHit> {
    let at = rows.hits.partition_point(|hit| (hit.row as usize) < row);
    rows.hits.get(at).filter(|hit| hit.row as usize == row)
}

/// Whether a row of the list has the request's LoRA adapter loaded.
#[inline]
pub fn has_lora(hit: &PrefixHit) -> bool {
    hit.flags & HIT_FLAG_LORA as u32 != 0
}

/// How many rows of the list have the request's LoRA adapter loaded; 0 too where nothing is known of adapters.
pub fn lora_rows(rows: &Rows) -> usize {
    rows.hits.iter().filter(|hit| has_lora(hit)).count()
}

/// Worth of a cached token by where it lives, 0 to 1: 1 on the device, the given share in host memory or on disk and beyond.
#[inline]
pub fn tier_share(tier: u32, host_share: f32, disk_share: f32) -> f32 {
    if tier == CACHE_TIER_DEVICE as u32 {
        1.0
    } else if tier == CACHE_TIER_HOST as u32 {
        host_share
    } else {
        disk_share
    }
}

/// Lowers the cost of every row that holds a prefix, by `per_token` for each cached token.
pub fn credit_hits(rows: &Rows, cost: &mut [f32], per_token: f32, host_share: f32, disk_share: f32) {
    for hit in rows.hits {
        if let Some(cost) = cost.get_mut(hit.row as usize) {
            *cost -= per_token * hit.tokens as f32 * tier_share(hit.tier, host_share, disk_share);
        }
    }
}
