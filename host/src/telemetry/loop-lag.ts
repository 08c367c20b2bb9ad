// Owns the measurement of event-loop delay in one thread. Node samples it natively; we read and reset the histogram each period. A thread with
// work to do is sampled finely; an idle one, where each sample wakes a sleeping core, coarsely.
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { Clock } from '@infermesh/proto';
import type { MetricsBlock } from './block.js';

/** Sampling step of a busy thread: stalls longer than it are always seen, shorter ones now and then. */
const BUSY_STEP_MS = 25;
/** Sampling step of an idle one: a sample costs 50 to 100 µs there, because it wakes a sleeping core. */
const IDLE_STEP_MS = 500;
/** Share of a period above which a thread counts as busy; a stall of a tenth of the period makes it so by itself. */
const BUSY_SHARE = 0.1;

export interface LoopLag {
	/** Most delay seen in the last full period, in milliseconds. */
	readonly worstMs: number;
	stop(): void;
}

/** Starts measuring; `thread` is the label, for example `main` or `worker-0`. */
export function watchLoopLag(block: MetricsBlock, clock: Clock, thread: string, periodMs: number): LoopLag {
	const median = block.gauge('loopLag', thread, 'p50');
	const tail = block.gauge('loopLag', thread, 'p99');
	const worst = block.gauge('loopLag', thread, 'max');
	let worstMs = 0;
	let stepMs = BUSY_STEP_MS;
	let histogram = sample(stepMs);
	let use = performance.eventLoopUtilization();
	// The histogram holds whole timer intervals; what is beyond the step is the delay.
	const beyond = (intervalNs: number): number => Math.max(0, intervalNs / 1e9 - stepMs / 1000);
	const read = (): void => {
		if (histogram.count === 0) return;
		median.set(beyond(histogram.percentile(50)));
		tail.set(beyond(histogram.percentile(99)));
		worst.set(beyond(histogram.max));
		worstMs = beyond(histogram.max) * 1000;
	};
	const next = (): void => {
		const now = performance.eventLoopUtilization();
		const { utilization } = performance.eventLoopUtilization(now, use);
		const wantedMs = utilization > BUSY_SHARE ? BUSY_STEP_MS : IDLE_STEP_MS;
		use = now;
		if (wantedMs === stepMs) {
			histogram.reset();
			return;
		}
		histogram.disable();
		stepMs = wantedMs;
		histogram = sample(stepMs);
	};
	const timer = clock.every(
		periodMs,
		() => {
			read();
			next();
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

function sample(stepMs: number): ReturnType<typeof monitorEventLoopDelay> {
	const histogram = monitorEventLoopDelay({ resolution: stepMs });
	histogram.enable();
	return histogram;
}
