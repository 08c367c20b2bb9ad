// Owns the binding of an instance to its frame: where each section is, resolved once. Every hook starts with `begin(frame)`.
// Nothing here survives a decision except these offsets, which are the same for the life of an instance.
import { FrameHeader, Output, Request, Status } from './abi';

/** Byte addresses of the sections, absolute; the frame's own address when a section does not exist. */
export let frameAt: usize = 0;
export let columnsAt: usize = 0;
export let requestAt: usize = 0;
export let outputAt: usize = 0;
export let eligibilityAt: usize = 0;
export let hitsAt: usize = 0;
export let scratchAt: usize = 0;
export let configAt: usize = 0;
export let stateAt: usize = 0;
export let outcomesAt: usize = 0;
export let logAt: usize = 0;
/** Rows every column has room for; a multiple of 16. */
export let rowCapacity: i32 = 0;
/** Random numbers drawn since `begin`. */
export let draws: u32 = 0;

function resolve(frame: usize): void {
	// The host puts the frame behind this module's static data.
	if (frame < __heap_base) unreachable();
	const header = changetype<FrameHeader>(frame);
	frameAt = frame;
	columnsAt = frame + header.columns_offset;
	requestAt = frame + header.request_offset;
	outputAt = frame + header.output_offset;
	eligibilityAt = frame + header.eligibility_offset;
	hitsAt = frame + header.hits_offset;
	scratchAt = frame + header.scratch_offset;
	configAt = frame + header.config_offset;
	stateAt = frame + header.state_offset;
	outcomesAt = frame + header.outcomes_offset;
	logAt = frame + header.log_offset;
	rowCapacity = header.row_capacity;
}

/** Hook called once when an instance is made; a strategy exports it: `export { init } from 'infermesh'`. */
export function init(frame: usize): i32 {
	resolve(frame);
	return Status.ok;
}

/** Starts a hook: the first line of rank, plan, admit, observe and tick. */
@inline
export function begin(frame: usize): void {
	if (frame != frameAt) resolve(frame);
	draws = 0;
}

/** Counts a draw; for random.ts. */
@inline
export function nextDraw(): u32 {
	return ++draws;
}

@inline
export function header(): FrameHeader {
	return changetype<FrameHeader>(frameAt);
}

/** What is being decided. */
@inline
export function request(): Request {
	return changetype<Request>(requestAt);
}

/** The answer; see output.ts for helpers that fill it. */
@inline
export function output(): Output {
	return changetype<Output>(outputAt);
}

/** Rows in use: 0 … rowCount() − 1. */
@inline
export function rowCount(): i32 {
	return changetype<FrameHeader>(frameAt).row_count;
}

/** For the generated manifest.ts: the address of configuration slot 0. */
@inline
export function configAddress(): usize {
	return configAt;
}
