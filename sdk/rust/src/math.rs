//! exp, log, min and max made of + − × ÷, comparisons and bit moves only, in one fixed order: every language and machine computes the same bits.

/// The smaller; NaN when either is, and −0 below +0, as in WebAssembly.
#[inline]
pub fn min32(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        a + b
    } else if a < b {
        a
    } else if b < a {
        b
    } else {
        f32::from_bits(a.to_bits() | b.to_bits())
    }
}

/// The larger; NaN when either is, and +0 above −0, as in WebAssembly.
#[inline]
pub fn max32(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        a + b
    } else if a > b {
        a
    } else if b > a {
        b
    } else {
        f32::from_bits(a.to_bits() & b.to_bits())
    }
}

/// The largest whole number not above `value`, for magnitudes below 2^31.
#[inline]
fn floor(value: f32) -> f32 {
    let whole = value as i32 as f32;
    if whole > value {
        whole - 1.0
    } else {
        whole
    }
}

/// e^x. Relative error below 1.5e-7 for −87 ≤ x ≤ 88; clamped to e^−87 and e^88 beyond.
pub fn exp32(x: f32) -> f32 {
    let bounded = min32(max32(x, -87.0), 88.0);
    let power = floor(bounded * 1.442_695_04 + 0.5);
    // ln 2 in two parts: the first has few bits, so power × part is exact.
    let rest = bounded - power * 0.693_359_375 - power * -2.121_944_40e-4;
    let mut series: f32 = 1.987_569_15e-4;
    for term in [1.398_199_950_7e-3, 8.333_451_907_3e-3, 4.166_579_589_4e-2, 1.666_666_545_9e-1, 5.000_000_120_1e-1] {
        series = series * rest + term;
    }
    series = series * rest * rest + rest + 1.0;
    series * f32::from_bits(((power as i32 + 127) as u32) << 23)
}

/// Natural logarithm. Relative error below 1.5e-7 (absolute 5e-8 near 1) for normal positive x; −87.34 for anything smaller; NaN
/// for NaN.
pub fn log32(x: f32) -> f32 {
    // Its sign bit, which machines choose freely, would reach the exponent below.
    if x.is_nan() {
        return x;
    }
    let bits = max32(x, 1.175_494_35e-38).to_bits();
    let mut power = ((bits >> 23) as i32 - 127) as f32;
    let mut mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    if mantissa > 1.414_213_54 {
        mantissa *= 0.5;
        power += 1.0;
    }
    let m = mantissa - 1.0;
    let square = m * m;
    let mut series: f32 = 7.037_683_629_2e-2;
    for term in [
        -1.151_461_031_0e-1,
        1.167_699_874_0e-1,
        -1.242_014_084_6e-1,
        1.424_932_278_7e-1,
        -1.666_805_766_5e-1,
        2.000_071_476_5e-1,
        -2.499_999_399_3e-1,
        3.333_333_117_4e-1,
    ] {
        series = series * m + term;
    }
    let mut result = series * m * square;
    result += power * -2.121_944_40e-4;
    result -= 0.5 * square;
    m + result + power * 0.693_359_375
}
