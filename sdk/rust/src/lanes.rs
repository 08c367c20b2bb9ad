//! Four rows at a time. What a lane does is what the same operation of WebAssembly does, on every machine: `pmin` and `pmax` for what compares false, rounding,
//! order of additions. The instructions are the machine's own where there are any it always has (SSE2 of x86_64, NEON of aarch64, `simd128` of a module built with
//! it), else plain arrays (portable.rs), which are what the others are tested against.
/// Functions over instructions of the machine.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
macro_rules! operations {
    ($($name:ident($($given:ident: $kind:ty),*) -> $result:ty { $body:expr })+) => {
        $(#[inline(always)]
        pub fn $name($($given: $kind),*) -> $result {
            // Safety: said at the head of the file.
            unsafe { $body }
        })+
    };
}

mod fours;
#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code, unused_unsafe)]
mod neon;
#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))))]
#[cfg_attr(test, allow(dead_code))]
mod portable;
#[cfg(target_feature = "simd128")]
#[allow(unsafe_code, unused_unsafe)]
mod simd128;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, unused_unsafe)]
mod sse2;
#[cfg(test)]
mod tests;

use core::ops::{Add, Div, Mul, Sub};
pub use fours::{fours, fours_mut, fours_u32};
#[cfg(target_arch = "aarch64")]
use neon as machine;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128")))]
use portable as machine;
#[cfg(target_feature = "simd128")]
use simd128 as machine;
#[cfg(target_arch = "x86_64")]
use sse2 as machine;

/// Four floats.
#[derive(Clone, Copy)]
pub struct F4(machine::Floats);

/// Which of four rows: all bits of a lane, or none.
#[derive(Clone, Copy)]
pub struct Mask(machine::Ints);

/// Four integers, without a sign of their own.
#[derive(Clone, Copy)]
pub struct I4(machine::Ints);

impl F4 {
    #[inline(always)]
    pub fn new(lanes: &[f32; 4]) -> F4 {
        F4(machine::floats(lanes))
    }

    #[inline(always)]
    pub fn lanes(self) -> [f32; 4] {
        machine::float_lanes(self.0)
    }

    #[inline(always)]
    pub fn splat(value: f32) -> F4 {
        F4(machine::splat(value))
    }

    /// Rows `row` … `row` + 3 of a column. Panics beyond it. Loops over many rows go over `fours` of the column, which are looked at once.
    #[inline(always)]
    pub fn load(column: &[f32], row: usize) -> F4 {
        let from = &column[row..row + 4];
        F4::new(&[from[0], from[1], from[2], from[3]])
    }

    #[inline(always)]
    pub fn store(self, column: &mut [f32], row: usize) {
        column[row..row + 4].copy_from_slice(&self.lanes());
    }

    /// `other` where it is smaller, else `self`.
    #[inline(always)]
    pub fn pmin(self, other: F4) -> F4 {
        F4(machine::pmin(self.0, other.0))
    }

    /// `other` where it is larger, else `self`.
    #[inline(always)]
    pub fn pmax(self, other: F4) -> F4 {
        F4(machine::pmax(self.0, other.0))
    }

    /// `self` where the mask is set, else `other`.
    #[inline(always)]
    pub fn select(self, other: F4, mask: Mask) -> F4 {
        F4(machine::select(self.0, other.0, mask.0))
    }

    #[inline(always)]
    pub fn is_finite(self) -> Mask {
        Mask(machine::less(machine::absolute(self.0), machine::splat(f32::INFINITY)))
    }

    #[inline(always)]
    pub fn above(self, value: f32) -> Mask {
        Mask(machine::less(machine::splat(value), self.0))
    }

    /// Where `self` is not above `other`; nowhere for a NaN.
    #[inline(always)]
    pub fn at_most(self, other: F4) -> Mask {
        Mask(machine::at_most(self.0, other.0))
    }

    /// Bits 0 … 3: where a lane equals `value`.
    #[inline(always)]
    pub fn equal_bits(self, value: f32) -> u32 {
        machine::bits(machine::equal(self.0, machine::splat(value)))
    }

    #[inline(always)]
    pub fn negated(self) -> F4 {
        F4(machine::negated(self.0))
    }

    /// The smallest lane.
    #[inline(always)]
    pub fn smallest(self) -> f32 {
        machine::smallest(self.0)
    }

    /// The lanes added in order.
    #[inline(always)]
    pub fn sum(self) -> f32 {
        let [a, b, c, d] = self.lanes();
        a + b + c + d
    }
}

/// For tests; compares as floats do.
impl PartialEq for F4 {
    fn eq(&self, other: &F4) -> bool {
        self.lanes() == other.lanes()
    }
}

impl core::fmt::Debug for F4 {
    fn fmt(&self, into: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.lanes().fmt(into)
    }
}

macro_rules! arithmetic {
    ($($trait:ident $method:ident),+) => {
        $(impl $trait for F4 {
            type Output = F4;

            #[inline(always)]
            fn $method(self, other: F4) -> F4 {
                F4(machine::$method(self.0, other.0))
            }
        })+
    };
}
arithmetic!(Add add, Sub sub, Mul mul, Div div);

impl Mask {
    /// Lane i is set where bit i of `bits` is.
    #[inline(always)]
    pub fn from_bits(bits: u32) -> Mask {
        Mask(machine::mask(bits))
    }

    /// Bit i is set where lane i is.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        machine::bits(self.0)
    }

    #[inline(always)]
    pub fn and(self, other: Mask) -> Mask {
        Mask(machine::and(self.0, other.0))
    }

    /// Bit i: whether any lane of the i-th is set.
    #[inline(always)]
    pub fn any_of(masks: [Mask; 4]) -> u32 {
        machine::any_of([masks[0].0, masks[1].0, masks[2].0, masks[3].0])
    }
}

impl I4 {
    #[inline(always)]
    pub fn new(lanes: &[u32; 4]) -> I4 {
        I4(machine::ints(lanes))
    }

    #[inline(always)]
    pub fn lanes(self) -> [u32; 4] {
        machine::int_lanes(self.0)
    }

    #[inline(always)]
    pub fn splat(value: u32) -> I4 {
        I4(machine::splat_int(value))
    }

    /// Rows `row` … `row` + 3 of a column. Panics beyond it.
    #[inline(always)]
    pub fn load(column: &[u32], row: usize) -> I4 {
        let from = &column[row..row + 4];
        I4::new(&[from[0], from[1], from[2], from[3]])
    }

    /// Difference, modulo 2^32.
    #[inline(always)]
    pub fn minus(self, other: I4) -> I4 {
        I4(machine::sub_ints(self.0, other.0))
    }

    /// One more in each lane of the mask.
    #[inline(always)]
    pub fn counting(self, mask: Mask) -> I4 {
        // A lane that is set is −1.
        I4(machine::sub_ints(self.0, mask.0))
    }

    /// The larger, as signed integers.
    #[inline(always)]
    pub fn max_signed(self, other: i32) -> I4 {
        I4(machine::max_signed(self.0, machine::splat_int(other as u32)))
    }

    /// The smaller, as signed integers.
    #[inline(always)]
    pub fn min_signed(self, other: i32) -> I4 {
        I4(machine::min_signed(self.0, machine::splat_int(other as u32)))
    }

    #[inline(always)]
    pub fn or(self, other: I4) -> I4 {
        I4(machine::or(self.0, other.0))
    }

    #[inline(always)]
    pub fn is_not_zero(self) -> Mask {
        Mask(machine::is_not_zero(self.0))
    }

    /// As floats, taken as signed.
    #[inline(always)]
    pub fn signed_to_f32(self) -> F4 {
        F4(machine::signed_to_floats(self.0))
    }

    /// The lanes added, modulo 2^32.
    #[inline(always)]
    pub fn sum(self) -> u32 {
        let [a, b, c, d] = self.lanes();
        a.wrapping_add(b).wrapping_add(c).wrapping_add(d)
    }
}

impl PartialEq for I4 {
    #[inline(always)]
    fn eq(&self, other: &I4) -> bool {
        self.lanes() == other.lanes()
    }
}

impl Eq for I4 {}

impl core::fmt::Debug for I4 {
    fn fmt(&self, into: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.lanes().fmt(into)
    }
}

impl PartialEq for Mask {
    fn eq(&self, other: &Mask) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Mask {}

impl core::fmt::Debug for Mask {
    fn fmt(&self, into: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::LowerHex::fmt(&self.bits(), into)
    }
}
