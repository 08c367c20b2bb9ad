// Owns the blocks of training strategies: the job to lay out, link costs, and rank assignments.
import { LinkLevel, PLAN_OUTPUT_BYTES, PlanOutput, PlanRequest, Status, Verdict } from './abi';
import { frameAt, header } from './frame';

@inline
export function planRequest(): PlanRequest {
	return changetype<PlanRequest>(frameAt + header().plan_request_offset);
}

@inline
export function planOutput(): PlanOutput {
	return changetype<PlanOutput>(frameAt + header().plan_output_offset);
}

/** Link cost entry `index` of header().links_count. */
@inline
export function link(index: i32): LinkLevel {
	return changetype<LinkLevel>(frameAt + header().links_offset + ((<usize>index) << 5));
}

/** Row that rank `index` runs on; in a re-plan it holds the present layout at entry. */
@inline
export function rankRow(index: i32): i32 {
	return load<i32>(changetype<usize>(planOutput()) + PLAN_OUTPUT_BYTES + ((<usize>index) << 2));
}

@inline
export function assignRank(index: i32, row: i32): void {
	store<i32>(changetype<usize>(planOutput()) + PLAN_OUTPUT_BYTES + ((<usize>index) << 2), row);
}

/** Ends a plan with `ranks` assignments written. */
export function place(ranks: u32, predictedStepUs: f32): i32 {
	const answer = planOutput();
	answer.verdict = Verdict.route;
	answer.ranks = ranks;
	answer.predicted_step_us = predictedStepUs;
	return Status.ok;
}
