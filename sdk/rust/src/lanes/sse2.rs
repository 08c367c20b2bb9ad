//! The operations of four lanes with SSE2, which every x86_64 has. Unsafe only because the functions of `core::arch` are declared so: none that is used here asks
//! more than the instruction set, and the loads and stores are of arrays.
use core::arch::x86_64::*;

pub type Floats = __m128;
pub type Ints = __m128i;

operations! {
    floats(lanes: &[f32; 4]) -> Floats { _mm_loadu_ps(lanes.as_ptr()) }
    float_lanes(a: Floats) -> [f32; 4] { core::mem::transmute(a) }
    ints(lanes: &[u32; 4]) -> Ints { _mm_loadu_si128(lanes.as_ptr() as *const __m128i) }
    int_lanes(a: Ints) -> [u32; 4] { core::mem::transmute(a) }
    splat(value: f32) -> Floats { _mm_set1_ps(value) }
    splat_int(value: u32) -> Ints { _mm_set1_epi32(value as i32) }
    add(a: Floats, b: Floats) -> Floats { _mm_add_ps(a, b) }
    sub(a: Floats, b: Floats) -> Floats { _mm_sub_ps(a, b) }
    mul(a: Floats, b: Floats) -> Floats { _mm_mul_ps(a, b) }
    div(a: Floats, b: Floats) -> Floats { _mm_div_ps(a, b) }
    // The instruction takes its second operand unless the first is smaller.
    pmin(a: Floats, b: Floats) -> Floats { _mm_min_ps(b, a) }
    pmax(a: Floats, b: Floats) -> Floats { _mm_max_ps(b, a) }
    negated(a: Floats) -> Floats { _mm_xor_ps(a, _mm_set1_ps(-0.0)) }
    absolute(a: Floats) -> Floats { _mm_andnot_ps(_mm_set1_ps(-0.0), a) }
    select(a: Floats, b: Floats, mask: Ints) -> Floats {
        _mm_or_ps(_mm_and_ps(_mm_castsi128_ps(mask), a), _mm_andnot_ps(_mm_castsi128_ps(mask), b))
    }
    less(a: Floats, b: Floats) -> Ints { _mm_castps_si128(_mm_cmplt_ps(a, b)) }
    at_most(a: Floats, b: Floats) -> Ints { _mm_castps_si128(_mm_cmple_ps(a, b)) }
    equal(a: Floats, b: Floats) -> Ints { _mm_castps_si128(_mm_cmpeq_ps(a, b)) }
    bits(mask: Ints) -> u32 { _mm_movemask_ps(_mm_castsi128_ps(mask)) as u32 }
    and(a: Ints, b: Ints) -> Ints { _mm_and_si128(a, b) }
    or(a: Ints, b: Ints) -> Ints { _mm_or_si128(a, b) }
    sub_ints(a: Ints, b: Ints) -> Ints { _mm_sub_epi32(a, b) }
    signed_to_floats(a: Ints) -> Floats { _mm_cvtepi32_ps(a) }
    is_not_zero(a: Ints) -> Ints { _mm_xor_si128(_mm_cmpeq_epi32(a, _mm_setzero_si128()), _mm_set1_epi32(-1)) }
    choose(a: Ints, b: Ints, mask: Ints) -> Ints { _mm_or_si128(_mm_and_si128(mask, a), _mm_andnot_si128(mask, b)) }
    max_signed(a: Ints, b: Ints) -> Ints { choose(a, b, _mm_cmpgt_epi32(a, b)) }
    min_signed(a: Ints, b: Ints) -> Ints { choose(b, a, _mm_cmpgt_epi32(a, b)) }
    mask(bits: u32) -> Ints {
        {
            let places = _mm_set_epi32(8, 4, 2, 1);
            _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32(bits as i32), places), places)
        }
    }
    smallest(a: Floats) -> f32 {
        {
            let two = pmin(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_min_ss(_mm_shuffle_ps::<0x55>(two, two), two))
        }
    }
    any_of(masks: [Ints; 4]) -> u32 {
        {
            let low = _mm_packs_epi32(masks[0], masks[1]);
            let high = _mm_packs_epi32(masks[2], masks[3]);
            // Sixteen bits, four of each mask.
            let rows = _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32;
            let pairs = rows | rows >> 1;
            let fours = (pairs | pairs >> 2) & 0x1111;
            (fours | fours >> 3 | fours >> 6 | fours >> 9) & 15
        }
    }
}
