// Owns steps of a start that need the coordinators: one that fails because they cannot answer just then is taken again, since they may be starting as well.
// Steps must be such that taking them twice does no harm.
import type { Clock } from '@infermesh/proto';
import { cutOff } from '../mesh/listing.js';

const RETRY_MS = 500;
const RETRY_MAX_MS = 5000;

export interface OutlastPorts {
	readonly clock: Clock;
	/** Aborted when nobody waits for the start any more: the last failure is the answer then. */
	readonly signal: AbortSignal | undefined;
	readonly failed: (what: string, error: unknown) => void;
}

/** Takes the step until it has an answer. Rejects with what the step is refused for. */
export async function outlast<T>(
	what: string,
	step: () => Promise<T>,
	{ clock, signal, failed }: OutlastPorts,
): Promise<T> {
	for (let failures = 0; ; failures++) {
		try {
			return await step();
		} catch (error) {
			if (!cutOff(error) || signal?.aborted === true) throw error;
			failed(what, error);
		}
		const delayMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(failures, 10));
		await new Promise<void>((resolve) => void clock.after(delayMs, resolve));
	}
}
