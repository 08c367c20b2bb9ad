// Owns what preble remembers: milliseconds of work each target has finished, fading with the window. Rows are reused, so a target's id stands
// beside its sum. Written by observe and tick, read by rank.
import { exp32, NO_ROW, outcome, putStateF32, putStateU32, request, rowCount, stateF32, stateU32 } from 'infermesh';
import { columns, config } from './manifest';

/** Slots before the first row: the mesh clock of the last fading, and whether there was one. */
const HEADER_SLOTS: u32 = 4;
const FADED_AT_SLOT: u32 = 0;
const STARTED_SLOT: u32 = 1;
/** Rows there is room for: (state_bytes / 4 − HEADER_SLOTS) / 2. Rows beyond have no past. */
export const ROWS_REMEMBERED: i32 = 10240;

/** Milliseconds of work finished by the target that is in this row now. */
export function pastMs(row: i32): f32 {
	const slot = HEADER_SLOTS + 2 * <u32>row;
	return stateU32(slot) == columns.target[row] ? stateF32(slot + 1) : 0;
}

/** Milliseconds for prompt tokens on a row. */
@inline
export function prefillMs(row: i32, tokens: f32): f32 {
	return (tokens * <f32>1000) / max<f32>(columns.prefill_rate[row], 1);
}

/** Milliseconds of a row's time for output tokens, as they count in its load. */
@inline
export function decodeMs(row: i32, tokens: f32): f32 {
	return (config.decode_weight * (tokens * <f32>1000)) / max<f32>(columns.decode_rate[row], 1);
}

/** Adds what the outcomes have cost their targets. */
export function remember(count: i32): void {
	for (let index = 0; index < count; index++) {
		const seen = outcome(index);
		if (seen.row == NO_ROW || seen.row >= <u32>ROWS_REMEMBERED) continue;
		const row: i32 = seen.row;
		const computed = seen.tokens_in - min<u32>(seen.tokens_cached, seen.tokens_in);
		const work = prefillMs(row, <f32>computed) + decodeMs(row, <f32>seen.tokens_out);
		const after = pastMs(row) + work;
		const slot = HEADER_SLOTS + 2 * seen.row;
		putStateU32(slot, columns.target[row]);
		putStateF32(slot + 1, after);
	}
}

/** Lets the past fade by the time since the last call. */
export function fade(): void {
	const now = request().now_ms;
	const elapsed = now - stateU32(FADED_AT_SLOT);
	const started = stateU32(STARTED_SLOT) != 0;
	putStateU32(FADED_AT_SLOT, now);
	putStateU32(STARTED_SLOT, 1);
	if (!started) return;
	const kept = exp32(-(<f32>elapsed) / config.window_ms);
	const rows = min(rowCount(), ROWS_REMEMBERED);
	for (let row = 0; row < rows; row++) {
		const slot = HEADER_SLOTS + 2 * <u32>row + 1;
		putStateF32(slot, stateF32(slot) * kept);
	}
}
