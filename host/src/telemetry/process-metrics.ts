// Owns process and Node metrics (`process_*`, `nodejs_*`), which prom-client collects and writes.
import type { Registry } from 'prom-client';

/** Gauges named as counters, which Prometheus' own checker refuses; the same figures stand under names without `_total`. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** Step of prom-client's own watch of the event loop: a look now and then. Ours (loop-lag.ts) is the finer one, and each step wakes a sleeping core. */
const LOOP_STEP_MS = 1000;

/**
 * Metrics of this process, which is watched from the first time it is asked on: a node that nobody scrapes loads no library and is not woken for it. One per
 * process: it installs a garbage-collection observer.
 */
export function createProcessMetrics(): { text(): Promise<string> } {
	let registry: Promise<Registry> | undefined;
	return { text: async () => (await (registry ??= watchProcess())).metrics() };
}

async function watchProcess(): Promise<Registry> {
	const { collectDefaultMetrics, Registry } = await import('prom-client');
	const registry = new Registry();
	collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_STEP_MS });
	for (const name of misnamed) registry.removeSingleMetric(name);
	return registry;
}
