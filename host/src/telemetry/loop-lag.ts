// Owns the measurement of event-loop delay in one thread. Node samples it natively; we read and reset the histogram each period.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '@infermesh/proto';
import type { MetricsBlock } from './block.js';

/**
 * Sampling step of Node's histogram: stalls longer than it are always seen, shorter ones now and then. Each step wakes the thread, which
 * costs about 40 µs on an idle machine.
 */
const RESOLUTION_MS = 25;

export interface LoopLag {
	/** Most delay seen in the last full period, in milliseconds. */
	readonly worstMs: number;
	stop(): void;
}

/** Starts measuring; `thread` is the label, for example `main` or `worker-0`. */
export function watchLoopLag(block: MetricsBlock, clock: Clock, thread: string, periodMs: number): LoopLag {
	const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
	const median = block.gauge('loopLag', thread, 'p50');
	const tail = block.gauge('loopLag', thread, 'p99');
	const worst = block.gauge('loopLag', thread, 'max');
	let worstMs = 0;
	// The histogram holds whole timer intervals; what is beyond the resolution is the delay.
	const beyond = (intervalNs: number): number => Math.max(0, intervalNs / 1e9 - RESOLUTION_MS / 1000);
	histogram.enable();
	const timer = clock.every(
		periodMs,
		() => {
			if (histogram.count > 0) {
				median.set(beyond(histogram.percentile(50)));
				tail.set(beyond(histogram.percentile(99)));
				worst.set(beyond(histogram.max));
				worstMs = beyond(histogram.max) * 1000;
			}
			histogram.reset();
		},
		{ unref: true },
	);
	return {
		get worstMs() {
			return worstMs;
		},
		stop() {
			timer.cancel();
			histogram.disable();
		},
	};
}
