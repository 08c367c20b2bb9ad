// Owns what tests of experiments share: a design with short blocks, and blocks made from attainments.
import { type DesignRequest, type ExperimentDesign, makeDesign, type SeenTraffic } from './design.js';
import { armOfCell } from './schedule.js';
import type { ClosedBlock } from './switchback-trial.js';

export const calmTraffic: SeenTraffic = { e2eP50Ms: 4000, e2eP95Ms: 20_000, cacheTurnoverMs: 0 };

export function designFor(more: Partial<DesignRequest> = {}): ExperimentDesign {
	const request: DesignRequest = {
		kind: 'switchback',
		baseline: 'least_request@1',
		candidate: 'hybrid_mesh@1',
		seed: 7,
		objectives: { ttftMs: 5000, tpotMs: 100, ttftPerTokenMs: 0 },
		...more,
	};
	return makeDesign(request, calmTraffic).design;
}

/** A whole block of 1,000 requests in which the arm that has it reaches its attainment. */
export function blockOf(
	design: ExperimentDesign,
	block: number,
	attainments: { readonly baseline: number; readonly candidate: number },
	more: Partial<ClosedBlock> = {},
): ClosedBlock {
	const arm = armOfCell(design, block, more.cell);
	return {
		block,
		requests: 1000,
		good: Math.round(1000 * attainments[arm]),
		burnIn: 10,
		ttftP99Ms: arm === 'candidate' ? 500 : 1000,
		...more,
	};
}
