//! The operations of four lanes on plain arrays: for machines without instructions of their own here, and what those are tested against.

pub type Floats = [f32; 4];
pub type Ints = [u32; 4];

/// `each` of the four lanes.
#[inline(always)]
fn four<T>(mut each: impl FnMut(usize) -> T) -> [T; 4] {
    [each(0), each(1), each(2), each(3)]
}

#[inline(always)]
fn lane_mask(set: bool) -> u32 {
    u32::from(set).wrapping_neg()
}

#[inline(always)]
pub fn floats(lanes: &[f32; 4]) -> Floats {
    *lanes
}

#[inline(always)]
pub fn float_lanes(a: Floats) -> [f32; 4] {
    a
}

#[inline(always)]
pub fn ints(lanes: &[u32; 4]) -> Ints {
    *lanes
}

#[inline(always)]
pub fn int_lanes(a: Ints) -> [u32; 4] {
    a
}

#[inline(always)]
pub fn splat(value: f32) -> Floats {
    [value; 4]
}

#[inline(always)]
pub fn splat_int(value: u32) -> Ints {
    [value; 4]
}

#[inline(always)]
pub fn add(a: Floats, b: Floats) -> Floats {
    four(|lane| a[lane] + b[lane])
}

#[inline(always)]
pub fn sub(a: Floats, b: Floats) -> Floats {
    four(|lane| a[lane] - b[lane])
}

#[inline(always)]
pub fn mul(a: Floats, b: Floats) -> Floats {
    four(|lane| a[lane] * b[lane])
}

#[inline(always)]
pub fn div(a: Floats, b: Floats) -> Floats {
    four(|lane| a[lane] / b[lane])
}

#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if b < a {
        b
    } else {
        a
    }
}

/// `b` where it is smaller, else `a`: so `a` where either is a NaN, and of two zeros.
#[inline(always)]
pub fn pmin(a: Floats, b: Floats) -> Floats {
    four(|lane| smaller(a[lane], b[lane]))
}

/// `b` where it is larger, else `a`.
#[inline(always)]
pub fn pmax(a: Floats, b: Floats) -> Floats {
    four(|lane| if a[lane] < b[lane] { b[lane] } else { a[lane] })
}

#[inline(always)]
pub fn negated(a: Floats) -> Floats {
    four(|lane| f32::from_bits(a[lane].to_bits() ^ 0x8000_0000))
}

#[inline(always)]
pub fn absolute(a: Floats) -> Floats {
    four(|lane| f32::from_bits(a[lane].to_bits() & 0x7fff_ffff))
}

#[inline(always)]
pub fn select(a: Floats, b: Floats, mask: Ints) -> Floats {
    four(|lane| f32::from_bits(a[lane].to_bits() & mask[lane] | b[lane].to_bits() & !mask[lane]))
}

#[inline(always)]
pub fn less(a: Floats, b: Floats) -> Ints {
    four(|lane| lane_mask(a[lane] < b[lane]))
}

#[inline(always)]
pub fn at_most(a: Floats, b: Floats) -> Ints {
    four(|lane| lane_mask(a[lane] <= b[lane]))
}

#[inline(always)]
pub fn equal(a: Floats, b: Floats) -> Ints {
    four(|lane| lane_mask(a[lane] == b[lane]))
}

/// (a or c) or (b or d), each the first of the two unless the second is smaller.
#[inline(always)]
pub fn smallest([a, b, c, d]: Floats) -> f32 {
    smaller(smaller(a, c), smaller(b, d))
}

#[inline(always)]
pub fn mask(bits: u32) -> Ints {
    four(|lane| lane_mask(bits >> lane & 1 != 0))
}

#[inline(always)]
pub fn bits(mask: Ints) -> u32 {
    mask[0] >> 31 | mask[1] >> 31 << 1 | mask[2] >> 31 << 2 | mask[3] >> 31 << 3
}

#[inline(always)]
pub fn any_of(masks: [Ints; 4]) -> u32 {
    (0..4).fold(0, |any, at| any | u32::from(bits(masks[at]) != 0) << at)
}

#[inline(always)]
pub fn and(a: Ints, b: Ints) -> Ints {
    four(|lane| a[lane] & b[lane])
}

#[inline(always)]
pub fn or(a: Ints, b: Ints) -> Ints {
    four(|lane| a[lane] | b[lane])
}

#[inline(always)]
pub fn sub_ints(a: Ints, b: Ints) -> Ints {
    four(|lane| a[lane].wrapping_sub(b[lane]))
}

#[inline(always)]
pub fn max_signed(a: Ints, b: Ints) -> Ints {
    four(|lane| (a[lane] as i32).max(b[lane] as i32) as u32)
}

#[inline(always)]
pub fn min_signed(a: Ints, b: Ints) -> Ints {
    four(|lane| (a[lane] as i32).min(b[lane] as i32) as u32)
}

#[inline(always)]
pub fn is_not_zero(a: Ints) -> Ints {
    four(|lane| lane_mask(a[lane] != 0))
}

#[inline(always)]
pub fn signed_to_floats(a: Ints) -> Floats {
    four(|lane| a[lane] as i32 as f32)
}
