// Owns the one table of metrics: names, labels, bounds and meanings, put together from those of each room. The shared-memory layout (block.ts), the text at /metrics
// (exposition.ts) and docs/metrics.md all come from here, in this order.
import { agentMetrics } from './metrics/agent.js';
import { dataPlaneMetrics } from './metrics/data-plane.js';
import { experimentMetrics } from './metrics/experiments.js';
import { fleetMetrics } from './metrics/fleet.js';
import { meshStateMetrics } from './metrics/mesh.js';
import { prefixMetrics } from './metrics/prefix.js';
import { reportMetrics } from './metrics/reports.js';
import { strategyMetrics } from './metrics/strategies.js';

export const metricDefinitions = Object.freeze({
	...dataPlaneMetrics,
	...prefixMetrics,
	...strategyMetrics,
	...agentMetrics,
	...meshStateMetrics,
	...reportMetrics,
	...experimentMetrics,
	...fleetMetrics,
});

export type MetricKey = keyof typeof metricDefinitions;
