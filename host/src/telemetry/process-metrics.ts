// Owns process and Node metrics (`process_*`, `nodejs_*`), which prom-client collects and writes.
import { collectDefaultMetrics, Registry } from 'prom-client';

/** A registry that watches this process. One per process: it installs a garbage-collection observer. */
export function createProcessMetrics(): { text(): Promise<string> } {
	const registry = new Registry();
	collectDefaultMetrics({ register: registry });
	return { text: () => registry.metrics() };
}
