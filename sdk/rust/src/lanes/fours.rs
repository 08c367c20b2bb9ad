//! Columns as whole fours, which a loop goes over without a look at each index: cut to as many as the loop has turns, all are known to have them.
use core::slice;

macro_rules! view {
    ($name:ident, $value:ty) => {
        /// A column as fours of rows; fewer than four at its end are left out.
        #[inline(always)]
        #[allow(unsafe_code)]
        pub fn $name(column: &[$value]) -> &[[$value; 4]] {
            // Safety: an array has the alignment of its values and their size four times; as many as fit are inside the column.
            unsafe { slice::from_raw_parts(column.as_ptr() as *const [$value; 4], column.len() / 4) }
        }
    };
}
view!(fours, f32);
view!(fours_u32, u32);

/// A column as fours of rows that can be written; fewer than four at its end are left out.
#[inline(always)]
#[allow(unsafe_code)]
pub fn fours_mut(column: &mut [f32]) -> &mut [[f32; 4]] {
    // Safety: as above, and borrowed for as long as the column is.
    unsafe { slice::from_raw_parts_mut(column.as_mut_ptr() as *mut [f32; 4], column.len() / 4) }
}
