// Owns what tests of cells share: a summary in one line.
import type { ModelSummary, Summary } from '@infermesh/proto/grpc/cells/v1/cells';

export function modelSummary(over: Partial<ModelSummary> = {}): ModelSummary {
	return {
		model: 'm',
		targets: 2,
		healthy: 2,
		capacity: 64,
		load: 3,
		queue: 1,
		running: 2,
		kvUsage: 0.25,
		ttftMs: 90,
		ttftP95Ms: 140,
		zone: 'z',
		region: 'eu',
		...over,
	};
}

export function summaryOf(cell: string, over: Partial<Summary> = {}): Summary {
	return {
		cell,
		clusterId: `cluster-${cell}`,
		nodeId: `gateway-of-${cell}`,
		version: '0.1.0',
		region: 'eu',
		routers: [`http://${cell}.example:8080`],
		models: [modelSummary()],
		modelsOmitted: 0,
		quarantined: [],
		...over,
	};
}
