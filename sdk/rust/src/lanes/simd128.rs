//! The operations of four lanes with `simd128`, in a module that is built with it. Unsafe only because some functions of `core::arch` were declared so; the loads are
//! of arrays.
use core::arch::wasm32::*;

pub type Floats = v128;
pub type Ints = v128;

operations! {
    floats(lanes: &[f32; 4]) -> Floats { v128_load(lanes.as_ptr() as *const v128) }
    float_lanes(a: Floats) -> [f32; 4] { core::mem::transmute(a) }
    ints(lanes: &[u32; 4]) -> Ints { v128_load(lanes.as_ptr() as *const v128) }
    int_lanes(a: Ints) -> [u32; 4] { core::mem::transmute(a) }
    splat(value: f32) -> Floats { f32x4_splat(value) }
    splat_int(value: u32) -> Ints { i32x4_splat(value as i32) }
    add(a: Floats, b: Floats) -> Floats { f32x4_add(a, b) }
    sub(a: Floats, b: Floats) -> Floats { f32x4_sub(a, b) }
    mul(a: Floats, b: Floats) -> Floats { f32x4_mul(a, b) }
    div(a: Floats, b: Floats) -> Floats { f32x4_div(a, b) }
    pmin(a: Floats, b: Floats) -> Floats { f32x4_pmin(a, b) }
    pmax(a: Floats, b: Floats) -> Floats { f32x4_pmax(a, b) }
    negated(a: Floats) -> Floats { f32x4_neg(a) }
    absolute(a: Floats) -> Floats { f32x4_abs(a) }
    select(a: Floats, b: Floats, mask: Ints) -> Floats { v128_bitselect(a, b, mask) }
    less(a: Floats, b: Floats) -> Ints { f32x4_lt(a, b) }
    at_most(a: Floats, b: Floats) -> Ints { f32x4_le(a, b) }
    equal(a: Floats, b: Floats) -> Ints { f32x4_eq(a, b) }
    bits(mask: Ints) -> u32 { i32x4_bitmask(mask) as u32 }
    and(a: Ints, b: Ints) -> Ints { v128_and(a, b) }
    or(a: Ints, b: Ints) -> Ints { v128_or(a, b) }
    sub_ints(a: Ints, b: Ints) -> Ints { i32x4_sub(a, b) }
    signed_to_floats(a: Ints) -> Floats { f32x4_convert_i32x4(a) }
    is_not_zero(a: Ints) -> Ints { i32x4_ne(a, i32x4_splat(0)) }
    max_signed(a: Ints, b: Ints) -> Ints { i32x4_max(a, b) }
    min_signed(a: Ints, b: Ints) -> Ints { i32x4_min(a, b) }
    mask(bits: u32) -> Ints {
        {
            let places = i32x4(1, 2, 4, 8);
            i32x4_eq(v128_and(i32x4_splat(bits as i32), places), places)
        }
    }
    smallest(a: Floats) -> f32 {
        {
            let two = f32x4_pmin(a, i32x4_shuffle::<2, 3, 2, 3>(a, a));
            f32x4_extract_lane::<0>(f32x4_pmin(two, i32x4_shuffle::<1, 1, 1, 1>(two, two)))
        }
    }
    any_of(masks: [Ints; 4]) -> u32 {
        {
            let low = i16x8_narrow_i32x4(masks[0], masks[1]);
            let high = i16x8_narrow_i32x4(masks[2], masks[3]);
            // Sixteen bits, four of each mask.
            let rows = i8x16_bitmask(i8x16_narrow_i16x8(low, high)) as u32;
            let pairs = rows | rows >> 1;
            let fours = (pairs | pairs >> 2) & 0x1111;
            (fours | fours >> 3 | fours >> 6 | fours >> 9) & 15
        }
    }
}
