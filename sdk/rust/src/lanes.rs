//! Four rows at a time. Plain arrays, which the compiler turns into SIMD where it may; the order of operations is that of the lanes of WebAssembly.
use core::ops::{Add, Div, Mul, Sub};

/// Four floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct F4(pub [f32; 4]);

/// Which of four rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(pub [bool; 4]);

/// Four integers, without a sign of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct I4(pub [u32; 4]);

/// `each` of the four lanes.
#[inline(always)]
fn four<T>(mut each: impl FnMut(usize) -> T) -> [T; 4] {
    [each(0), each(1), each(2), each(3)]
}

impl F4 {
    #[inline(always)]
    pub fn splat(value: f32) -> F4 {
        F4([value; 4])
    }

    /// Rows `row` … `row` + 3 of a column. Panics beyond it.
    #[inline(always)]
    pub fn load(column: &[f32], row: usize) -> F4 {
        let from = &column[row..row + 4];
        F4([from[0], from[1], from[2], from[3]])
    }

    #[inline(always)]
    pub fn store(self, column: &mut [f32], row: usize) {
        column[row..row + 4].copy_from_slice(&self.0);
    }

    /// `other` where it is smaller, else `self`.
    #[inline(always)]
    pub fn pmin(self, other: F4) -> F4 {
        F4(four(|lane| if other.0[lane] < self.0[lane] { other.0[lane] } else { self.0[lane] }))
    }

    /// `other` where it is larger, else `self`.
    #[inline(always)]
    pub fn pmax(self, other: F4) -> F4 {
        F4(four(|lane| if self.0[lane] < other.0[lane] { other.0[lane] } else { self.0[lane] }))
    }

    /// `self` where the mask is set, else `other`.
    #[inline(always)]
    pub fn select(self, other: F4, mask: Mask) -> F4 {
        F4(four(|lane| if mask.0[lane] { self.0[lane] } else { other.0[lane] }))
    }

    #[inline(always)]
    pub fn is_finite(self) -> Mask {
        Mask(four(|lane| self.0[lane].to_bits() & 0x7fff_ffff < 0x7f80_0000))
    }

    #[inline(always)]
    pub fn above(self, value: f32) -> Mask {
        Mask(four(|lane| self.0[lane] > value))
    }

    /// Bits 0 … 3: where a lane equals `value`.
    #[inline(always)]
    pub fn equal_bits(self, value: f32) -> u32 {
        (0..4).fold(0, |bits, lane| bits | u32::from(self.0[lane] == value) << lane)
    }

    #[inline(always)]
    pub fn negated(self) -> F4 {
        F4(four(|lane| -self.0[lane]))
    }

    /// The smallest lane.
    #[inline(always)]
    pub fn smallest(self) -> f32 {
        let [a, b, c, d] = self.0;
        let smaller = |a: f32, b: f32| if b < a { b } else { a };
        smaller(smaller(a, c), smaller(b, d))
    }

    /// The lanes added in order.
    #[inline(always)]
    pub fn sum(self) -> f32 {
        self.0[0] + self.0[1] + self.0[2] + self.0[3]
    }
}

macro_rules! arithmetic {
    ($($trait:ident $method:ident $operator:tt),+) => {
        $(impl $trait for F4 {
            type Output = F4;

            #[inline(always)]
            fn $method(self, other: F4) -> F4 {
                F4(four(|lane| self.0[lane] $operator other.0[lane]))
            }
        })+
    };
}
arithmetic!(Add add +, Sub sub -, Mul mul *, Div div /);

impl Mask {
    /// Lane i is set where bit i of `bits` is.
    #[inline(always)]
    pub fn from_bits(bits: u32) -> Mask {
        Mask(four(|lane| bits >> lane & 1 != 0))
    }

    #[inline(always)]
    pub fn and(self, other: Mask) -> Mask {
        Mask(four(|lane| self.0[lane] & other.0[lane]))
    }
}

impl I4 {
    #[inline(always)]
    pub fn splat(value: u32) -> I4 {
        I4([value; 4])
    }

    /// Rows `row` … `row` + 3 of a column. Panics beyond it.
    #[inline(always)]
    pub fn load(column: &[u32], row: usize) -> I4 {
        let from = &column[row..row + 4];
        I4([from[0], from[1], from[2], from[3]])
    }

    /// Difference, modulo 2^32.
    #[inline(always)]
    pub fn minus(self, other: I4) -> I4 {
        I4(four(|lane| self.0[lane].wrapping_sub(other.0[lane])))
    }

    /// The larger, as signed integers.
    #[inline(always)]
    pub fn max_signed(self, other: i32) -> I4 {
        I4(four(|lane| (self.0[lane] as i32).max(other) as u32))
    }

    /// The smaller, as signed integers.
    #[inline(always)]
    pub fn min_signed(self, other: i32) -> I4 {
        I4(four(|lane| (self.0[lane] as i32).min(other) as u32))
    }

    #[inline(always)]
    pub fn or(self, other: I4) -> I4 {
        I4(four(|lane| self.0[lane] | other.0[lane]))
    }

    #[inline(always)]
    pub fn is_not_zero(self) -> Mask {
        Mask(four(|lane| self.0[lane] != 0))
    }

    /// As floats, taken as signed.
    #[inline(always)]
    pub fn signed_to_f32(self) -> F4 {
        F4(four(|lane| self.0[lane] as i32 as f32))
    }
}
