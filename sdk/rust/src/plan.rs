//! The blocks of training strategies: the job to lay out, link costs, and rank assignments.
use crate::abi::{LinkLevel, PlanOutput, PlanRequest, VERDICT_ROUTE};
use crate::{Rows, Status};

/// What plan is given.
pub struct PlanFrame<'a> {
    pub rows: Rows<'a>,
    pub request: &'a PlanRequest,
    /// Costs of links as levels with exceptions.
    pub links: &'a [LinkLevel],
    pub output: &'a mut PlanOutput,
    /// Row of each rank; in a re-plan it holds the present layout at entry.
    pub ranks: &'a mut [u32],
}

impl PlanFrame<'_> {
    /// Ends a plan with `ranks` assignments written.
    pub fn place(&mut self, ranks: u32, predicted_step_us: f32) -> Status {
        self.output.verdict = VERDICT_ROUTE as u32;
        self.output.ranks = ranks;
        self.output.predicted_step_us = predicted_step_us;
        Status::Ok
    }
}
