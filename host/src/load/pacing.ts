// Owns when requests are sent: at the workload's own times (open loop) or as others end (closed loop). Leaves sending to its caller.
import type { Clock } from '@infermesh/proto';
import type { TraceRequest } from './trace/types.js';

export interface PacingOptions {
	readonly clock: Clock;
	/** Clock time at which the workload's time is zero. */
	readonly startMs: number;
	/** Requests after which pacing ends. */
	readonly requests: number;
	/** Time since the start after which pacing ends. */
	readonly durationMs: number;
	/** Ends pacing at once, without error. */
	readonly signal: AbortSignal;
}

/** Requests sent back to back, when behind, before sockets get a turn. */
const BURST = 32;

/**
 * Open loop: calls `send` for each request at startMs + atMs / speed, never early, whatever becomes of the others.
 * When it falls behind it sends at once; the intended time is passed on, so that the delay is part of every latency.
 */
export async function paceOpen(
	requests: AsyncIterable<TraceRequest>,
	options: PacingOptions & { readonly speed: number },
	send: (request: TraceRequest, intendedMs: number) => void,
): Promise<void> {
	const { clock, startMs, signal } = options;
	let count = 0;
	for await (const request of requests) {
		const offsetMs = request.atMs / options.speed;
		if (signal.aborted || offsetMs >= options.durationMs) return;
		if (startMs + offsetMs > clock.nowMs()) await sleepUntil(clock, startMs + offsetMs, signal);
		else if (count % BURST === BURST - 1) await sleepUntil(clock, clock.nowMs() + 1, signal);
		if (signal.aborted) return;
		send(request, startMs + offsetMs);
		if (++count >= options.requests) return;
	}
}

/** Closed loop: keeps `concurrency` requests under way; the workload's times are ignored. `send` resolves when its request is over. */
export async function paceClosed(
	requests: AsyncIterable<TraceRequest>,
	options: PacingOptions & { readonly concurrency: number },
	send: (request: TraceRequest, intendedMs: number) => Promise<void>,
): Promise<void> {
	const { clock, startMs, signal } = options;
	const iterator = requests[Symbol.asyncIterator]();
	let count = 0;
	const isOver = (): boolean =>
		signal.aborted || count >= options.requests || clock.nowMs() - startMs >= options.durationMs;
	const lane = async (): Promise<void> => {
		while (!isOver()) {
			count++;
			const next = await iterator.next();
			if (next.done === true || signal.aborted) return;
			await send(next.value, clock.nowMs());
		}
	};
	await Promise.all(Array.from({ length: Math.min(options.concurrency, options.requests) }, lane));
	await iterator.return?.();
}

/** Resolves at `atMs` or when the signal aborts. Timers may fire a fraction of a millisecond early, so it looks again. */
async function sleepUntil(clock: Clock, atMs: number, signal: AbortSignal): Promise<void> {
	while (clock.nowMs() < atMs && !signal.aborted) {
		await new Promise<void>((resolve) => {
			const finish = (): void => {
				timer.cancel();
				signal.removeEventListener('abort', finish);
				resolve();
			};
			const timer = clock.after(Math.ceil(atMs - clock.nowMs()), finish);
			signal.addEventListener('abort', finish, { once: true });
		});
	}
}
