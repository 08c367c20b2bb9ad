// Owns process and Node metrics (`process_*`, `nodejs_*`), which prom-client collects and writes.
import { collectDefaultMetrics, Registry } from 'prom-client';

/** Gauges named as counters, which Prometheus' own checker refuses; the same figures stand under names without `_total`. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** Step of prom-client's own watch of the event loop: a look now and then. Ours (loop-lag.ts) is the finer one, and each step wakes a sleeping core. */
const LOOP_STEP_MS = 1000;

/** A registry that watches this process. One per process: it installs a garbage-collection observer. */
export function createProcessMetrics(): { text(): Promise<string> } {
	const registry = new Registry();
	collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_STEP_MS });
	for (const name of misnamed) registry.removeSingleMetric(name);
	return { text: () => registry.metrics() };
}
