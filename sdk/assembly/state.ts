// Owns the state block and the outcomes: what a strategy remembers. rank, plan and admit read; observe and tick write, in one
// instance per mesh process. A read or write beyond the block reads 0 or does nothing.
import { Outcome } from './abi';
import { header, outcomesAt, stateAt } from './frame';

/** 0 until the first block was written. */
@inline
export function stateEpoch(): u32 {
	return header().state_epoch;
}

@inline
function inside(slot: u32): bool {
	return slot < header().state_bytes >> 2;
}

/** The state block as 32-bit slots. */
@inline
export function stateF32(slot: u32): f32 {
	return inside(slot) ? load<f32>(stateAt + ((<usize>slot) << 2)) : 0;
}

@inline
export function stateU32(slot: u32): u32 {
	return inside(slot) ? load<u32>(stateAt + ((<usize>slot) << 2)) : 0;
}

/** Only in observe and tick. */
@inline
export function putStateF32(slot: u32, value: f32): void {
	if (inside(slot)) store<f32>(stateAt + ((<usize>slot) << 2), value);
}

/** Only in observe and tick. */
@inline
export function putStateU32(slot: u32, value: u32): void {
	if (inside(slot)) store<u32>(stateAt + ((<usize>slot) << 2), value);
}

/** Outcome `index` of those handed to observe. */
@inline
export function outcome(index: i32): Outcome {
	return changetype<Outcome>(outcomesAt + ((<usize>index) << 6));
}
