//! What a hook is given: rows with their signals, the request, and the things it may write. Borrowed for one call.
use crate::abi::{FrameHeader, Outcome, PrefixHit, Request};
use crate::raw::Columns;
use crate::{Answer, Log, Random, State, StateView};

/// The rows of a pool and what is asked of them. A copy is as good as the original, so that it can be read while the answer is written.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Rows every column has room for; a multiple of 16.
    pub capacity: usize,
    /// Rows in use.
    pub count: usize,
    pub header: &'a FrameHeader,
    pub request: &'a Request,
    /// Bit `row & 31` of word `row >> 5`: whether the host allows the row.
    pub eligibility: &'a [u32],
    /// Rows that hold a prefix of the prompt, by rising row.
    pub hits: &'a [PrefixHit],
    pub(crate) config: &'a [u32],
    pub(crate) columns: Columns<'a>,
}

impl<'a> Rows<'a> {
    /// A column of floats, `capacity` long; empty where the manifest does not declare it. The generated manifest.rs gives columns by name.
    #[inline]
    pub fn column_f32(&self, id: u32) -> &'a [f32] {
        self.columns.f32(id)
    }

    /// A column of integers, `capacity` long; empty where the manifest does not declare it.
    #[inline]
    pub fn column_u32(&self, id: u32) -> &'a [u32] {
        self.columns.u32(id)
    }

    /// A configuration value as its 32 bits; 0 beyond the section. The generated manifest.rs gives values by name.
    #[inline]
    pub fn config_u32(&self, slot: usize) -> u32 {
        self.config.get(slot).copied().unwrap_or(0)
    }

    #[inline]
    pub fn config_f32(&self, slot: usize) -> f32 {
        f32::from_bits(self.config_u32(slot))
    }

    /// Bits of rows 32 × `word` … 32 × `word` + 31.
    #[inline]
    pub fn eligible_word(&self, word: usize) -> u32 {
        self.eligibility.get(word).copied().unwrap_or(0)
    }

    #[inline]
    pub fn is_eligible(&self, row: usize) -> bool {
        self.eligible_word(row >> 5) >> (row & 31) & 1 != 0
    }

    /// The eligible rows, rising.
    #[inline]
    pub fn eligible(&self) -> Eligible<'a> {
        Eligible { words: self.eligibility, word: 0, bits: self.eligible_word(0) }
    }

    /// The eligible row with `skip` eligible rows before it: with `random.below(request.eligible_count)` any of them.
    pub fn nth_eligible(&self, skip: u32) -> Option<usize> {
        let mut skip = skip;
        for (index, &word) in self.eligibility.iter().enumerate() {
            let here = word.count_ones();
            if skip >= here {
                skip -= here;
                continue;
            }
            let mut word = word;
            for _ in 0..skip {
                word &= word - 1;
            }
            return Some((index << 5) + word.trailing_zeros() as usize);
        }
        None
    }
}

/// See `Rows::eligible`.
pub struct Eligible<'a> {
    words: &'a [u32],
    word: usize,
    bits: u32,
}

impl Iterator for Eligible<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            self.word += 1;
            self.bits = *self.words.get(self.word)?;
        }
        let bit = self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some((self.word << 5) + bit)
    }
}

/// Milliseconds from a mesh-clock time (a column named `*_at_ms`) to `now_ms`, right across the wrap of the clock.
#[inline]
pub fn age_ms(now_ms: u32, at_ms: u32) -> u32 {
    now_ms.wrapping_sub(at_ms)
}

/// What rank and admit are given.
pub struct Frame<'a> {
    pub rows: Rows<'a>,
    /// What observe and tick have written.
    pub state: StateView<'a>,
    pub random: Random,
    pub answer: Answer<'a>,
    pub log: Log<'a>,
    pub(crate) scratch: [&'a mut [f32]; 3],
    pub(crate) minima: &'a mut [f32],
}

impl<'a> Frame<'a> {
    /// Working column 0, 1 or 2, `rows.capacity` long, with undefined contents. It is handed out once: a second time it is empty.
    #[inline]
    pub fn scratch(&mut self, index: usize) -> &'a mut [f32] {
        core::mem::take(&mut self.scratch[index])
    }
}

/// What observe and tick are given, in the one instance of a mesh process that writes.
pub struct Observation<'a> {
    pub rows: Rows<'a>,
    /// How requests ended; none in tick.
    pub outcomes: &'a [Outcome],
    pub state: State<'a>,
    pub random: Random,
    pub log: Log<'a>,
}
