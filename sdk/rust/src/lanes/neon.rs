//! The operations of four lanes with NEON, which every aarch64 has. Unsafe only because the functions of `core::arch` are declared so: none that is used here asks
//! more than the instruction set, and the loads are of arrays. `fmin` and `fmax` of the machine are not `pmin` and `pmax`: they are compared and chosen.
use core::arch::aarch64::*;

pub type Floats = float32x4_t;
pub type Ints = uint32x4_t;

operations! {
    floats(lanes: &[f32; 4]) -> Floats { vld1q_f32(lanes.as_ptr()) }
    float_lanes(a: Floats) -> [f32; 4] { core::mem::transmute(a) }
    ints(lanes: &[u32; 4]) -> Ints { vld1q_u32(lanes.as_ptr()) }
    int_lanes(a: Ints) -> [u32; 4] { core::mem::transmute(a) }
    splat(value: f32) -> Floats { vdupq_n_f32(value) }
    splat_int(value: u32) -> Ints { vdupq_n_u32(value) }
    add(a: Floats, b: Floats) -> Floats { vaddq_f32(a, b) }
    sub(a: Floats, b: Floats) -> Floats { vsubq_f32(a, b) }
    mul(a: Floats, b: Floats) -> Floats { vmulq_f32(a, b) }
    div(a: Floats, b: Floats) -> Floats { vdivq_f32(a, b) }
    pmin(a: Floats, b: Floats) -> Floats { vbslq_f32(vcltq_f32(b, a), b, a) }
    pmax(a: Floats, b: Floats) -> Floats { vbslq_f32(vcltq_f32(a, b), b, a) }
    negated(a: Floats) -> Floats { vnegq_f32(a) }
    absolute(a: Floats) -> Floats { vabsq_f32(a) }
    select(a: Floats, b: Floats, mask: Ints) -> Floats { vbslq_f32(mask, a, b) }
    less(a: Floats, b: Floats) -> Ints { vcltq_f32(a, b) }
    at_most(a: Floats, b: Floats) -> Ints { vcleq_f32(a, b) }
    equal(a: Floats, b: Floats) -> Ints { vceqq_f32(a, b) }
    bits(mask: Ints) -> u32 { vaddvq_u32(vandq_u32(mask, ints(&[1, 2, 4, 8]))) }
    and(a: Ints, b: Ints) -> Ints { vandq_u32(a, b) }
    or(a: Ints, b: Ints) -> Ints { vorrq_u32(a, b) }
    sub_ints(a: Ints, b: Ints) -> Ints { vsubq_u32(a, b) }
    signed_to_floats(a: Ints) -> Floats { vcvtq_f32_s32(vreinterpretq_s32_u32(a)) }
    is_not_zero(a: Ints) -> Ints { vtstq_u32(a, a) }
    max_signed(a: Ints, b: Ints) -> Ints { vreinterpretq_u32_s32(vmaxq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b))) }
    min_signed(a: Ints, b: Ints) -> Ints { vreinterpretq_u32_s32(vminq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b))) }
    mask(bits: u32) -> Ints { vtstq_u32(vdupq_n_u32(bits), ints(&[1, 2, 4, 8])) }
    smallest(a: Floats) -> f32 {
        {
            let two = pmin(a, vextq_f32::<2>(a, a));
            vgetq_lane_f32::<0>(pmin(two, vextq_f32::<1>(two, two)))
        }
    }
    any_of(masks: [Ints; 4]) -> u32 {
        {
            // Pairs of lanes, then pairs of pairs: a lane is left of each mask.
            let low = vpmaxq_u32(masks[0], masks[1]);
            let high = vpmaxq_u32(masks[2], masks[3]);
            bits(vpmaxq_u32(low, high))
        }
    }
}
