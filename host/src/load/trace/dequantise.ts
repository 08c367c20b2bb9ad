// Owns spreading timestamps that a publisher rounded to 3 s ticks, and telling whether they were.
// Replaying such a trace raw sends a burst every 3 s, which changes what policies are worth (least-request mean TTFT +32 %).
import type { Random } from '@infermesh/proto';
import { MeshError } from '@infermesh/proto';
import { traceErrors } from './errors.js';
import type { TraceRequest } from './types.js';

export const TICK_MS = 3000;

/** Published ticks lie up to 3 ms beside the multiple of 3 s. */
const TICK_SLACK_MS = 5;

/** Rows that share one tick are held at once to be sorted; the published conversation trace has at most 28. */
export const TICK_ROWS_MAX = 65_536;

/** Whether every timestamp sits on a tick and at least two ticks occur (one tick alone proves nothing). */
export function isQuantised(rows: readonly TraceRequest[]): boolean {
	const ticks = new Set<number>();
	for (const row of rows) {
		const tickMs = nearestTickMs(row.atMs);
		if (Math.abs(row.atMs - tickMs) > TICK_SLACK_MS) return false;
		ticks.add(tickMs);
	}
	return ticks.size >= 2;
}

/** Moves every row to its tick plus a uniform [0, 3000) ms and keeps the stream ordered. Holds the rows of one tick. */
export async function* dequantise(
	rows: AsyncIterable<TraceRequest>,
	random: Random,
	name: string,
): AsyncGenerator<TraceRequest> {
	let tickMs = 0;
	let held: TraceRequest[] = [];
	for await (const row of rows) {
		const rowTickMs = Math.max(tickMs, nearestTickMs(row.atMs));
		if (rowTickMs !== tickMs) {
			yield* spread(held, tickMs, random);
			held = [];
			tickMs = rowTickMs;
		}
		if (held.length === TICK_ROWS_MAX) {
			throw new MeshError(traceErrors, 'IM_TRACE_LIMIT', `more than ${TICK_ROWS_MAX} rows share one tick`, {
				where: name,
				details: { limit: 'TICK_ROWS_MAX', value: TICK_ROWS_MAX },
			});
		}
		held.push(row);
	}
	yield* spread(held, tickMs, random);
}

function spread(rows: readonly TraceRequest[], tickMs: number, random: Random): TraceRequest[] {
	return rows
		.map((row) => ({ ...row, atMs: tickMs + random.nextFloat() * TICK_MS }))
		.sort((left, right) => left.atMs - right.atMs);
}

function nearestTickMs(atMs: number): number {
	return Math.round(atMs / TICK_MS) * TICK_MS;
}
