//! Writing the answer. Each method that ends a decision gives the status a hook returns: `return frame.answer.reject(…)`.
use crate::abi::*;

/// What a hook returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The answer holds.
    Ok,
    /// No opinion: the host's fallback decides, without a strike.
    Decline,
    /// The strategy cannot decide: the fallback decides, counted as an invalid answer.
    Error,
}

impl Status {
    #[inline]
    pub(crate) fn code(self) -> i32 {
        match self {
            Status::Ok => STATUS_OK,
            Status::Decline => STATUS_DECLINE,
            Status::Error => STATUS_ERROR,
        }
    }
}

pub struct Answer<'a> {
    pub output: &'a mut Output,
}

impl Answer<'_> {
    /// Writes one ranked row; position 0 is the best. Scores are costs: lower is better, and must be finite.
    /// Panics at positions from RANKED_ROWS_MAX on.
    #[inline]
    pub fn put_ranked(&mut self, position: usize, row: usize, score: f32) {
        self.output.rows[position] = row as u32;
        self.output.scores[position] = score;
    }

    #[inline]
    pub fn ranked_row(&self, position: usize) -> usize {
        self.output.rows[position] as usize
    }

    /// Ends the decision with the `count` rows written by `put_ranked`; declines when there are none.
    pub fn route(&mut self, count: usize) -> Status {
        if count == 0 {
            return Status::Decline;
        }
        self.output.verdict = VERDICT_ROUTE as u32;
        self.output.count = count.min(RANKED_ROWS_MAX as usize) as u32;
        Status::Ok
    }

    /// Ends the decision with a refusal; a REJECT_REASON_*, and when to come back (0 = the host decides).
    pub fn reject(&mut self, reason: i32, retry_after_ms: f32) -> Status {
        self.output.verdict = VERDICT_REJECT as u32;
        self.output.count = 0;
        self.output.reason = reason as u32;
        self.output.retry_after_ms = retry_after_ms;
        Status::Ok
    }

    /// Ends the decision by keeping the request at the router: lowest key is released first; the host adds ageing and a bound.
    pub fn hold(&mut self, key: f32) -> Status {
        self.output.verdict = VERDICT_HOLD as u32;
        self.output.count = 0;
        self.output.hold_key = key;
        Status::Ok
    }

    /// Allows `copies` extra copies to the next ranked rows after `delay_ms` without a first token; 0 ms = the host's adaptive delay.
    pub fn hedge(&mut self, delay_ms: f32, copies: u32) {
        self.output.hedge_delay_ms = delay_ms;
        self.output.hedge_copies = copies;
    }

    /// Has the prompt prefilled on `row` before the ranked row decodes, where all targets do both and engines can hand KV over.
    pub fn prefill_on(&mut self, row: usize) {
        self.output.prefill_row = row as u32;
    }

    /// Names the row that holds the prompt's prefix: the chosen target fetches it from there, if it can.
    pub fn fetch_from(&mut self, row: usize) {
        self.output.fetch_from_row = row as u32;
    }

    /// Says how many explain factors each ranked row has (at most FACTORS_MAX); their names are in the manifest.
    pub fn set_factor_count(&mut self, count: usize) {
        self.output.factor_count = count as u32;
    }

    /// Panics beyond RANKED_ROWS_MAX positions of FACTORS_MAX factors.
    #[inline]
    pub fn put_factor(&mut self, position: usize, factor: usize, value: f32) {
        assert!(factor < FACTORS_MAX as usize);
        self.output.factors[position * FACTORS_MAX as usize + factor] = value;
    }
}
