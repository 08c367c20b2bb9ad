// Owns experiments for tests of what is in front of them (admin API, command line): one record that never moves, with the real plans, views and reports.
import { MeshError } from '@infermesh/proto';
import { recordFor } from './controller/testing.js';
import { SwitchbackTrial } from './design/switchback-trial.js';
import { blockOf, designFor } from './design/testing.js';
import { experimentErrors } from './errors.js';
import type { CellLook } from './matched/look.js';
import type { ExperimentOperations } from './operations.js';
import { planExperiment } from './plan.js';
import type { ExperimentRecord } from './record.js';
import type { StartRequest } from './view.js';
import { documentOf, experimentView, planView } from './views.js';

const BEGAN_MS = 1_700_000_000_000;

const traffic = {
	requestsPerS: 20,
	goodRatio: 0.9,
	e2eP50Ms: 4000,
	e2eP95Ms: 20_000,
	cacheTurnoverMs: 0,
	objectives: { ttftMs: 5000, tpotMs: 100, ttftPerTokenMs: 0 },
	pilot: [],
};

/** Three pairs in which the candidate was better. */
function runningRecord(): ExperimentRecord {
	const design = designFor({ promote: 'win' });
	const trial = new SwitchbackTrial(design);
	const points: ExperimentRecord['points'] = [];
	for (let block = 0; block < 6; block++) {
		const closed = blockOf(design, block, { baseline: 0.8, candidate: 0.9 });
		trial.add(closed);
		const fromMs = BEGAN_MS + block * design.blockMs;
		points.push({
			block,
			arm: closed.ttftP99Ms === 500 ? 'candidate' : 'baseline',
			fromMs,
			toMs: fromMs + design.blockMs,
			requests: closed.requests,
			good: closed.good,
			ttftP50Ms: 100,
			ttftP99Ms: closed.ttftP99Ms,
		});
	}
	return { ...recordFor(design, BEGAN_MS), nextBlock: 6, trial: trial.state(), points };
}

/** `cell`: what differs of the mesh as a cell. */
export function testExperiments(
	cell: Partial<CellLook> = {},
): Pick<ExperimentOperations, 'look' | 'list' | 'plan' | 'start' | 'get' | 'report' | 'stop'> {
	let record = runningRecord();
	const nowMs = BEGAN_MS + 6.5 * record.design.blockMs;
	const view = () => experimentView(record, nowMs, 'n1');
	const plan = (request: StartRequest) =>
		planExperiment(
			request,
			{ baseline: 'least_queue@1.0.0', candidate: `${request.candidate}@1.0.0` },
			traffic,
			7,
			() => Promise.resolve(),
		);
	const known = (id: string): void => {
		if (id !== record.id)
			throw new MeshError(experimentErrors, 'IM_EXPERIMENT_UNKNOWN', `no experiment is called ${id}`);
	};
	return {
		look: () => ({
			cell: 'default',
			model: 'm',
			baseline: 'least_queue@1.0.0',
			nodes: ['n1'],
			engines: ['http://127.0.0.1:8100'],
			requestsPerS: 20,
			requests: 1000,
			tokensIn: 100_000,
			tokensOut: 10_000,
			border: { sendsTo: [], hearsOf: [] },
			...cell,
		}),
		list: () => [view()],
		plan: async (request) => planView('m', await plan(request)),
		start: async (request, { by }) => {
			const { tag } = request;
			const named = tag === undefined ? {} : { tag, id: `x-${tag.toString(16).padStart(8, '0')}` };
			record = { ...recordFor((await plan(request)).design, nowMs), ...named, startedBy: by };
			return view();
		},
		get: async (id) => {
			known(id);
			return view();
		},
		report: async (id) => {
			known(id);
			return documentOf(record);
		},
		stop: async (id, reason, { by }) => {
			known(id);
			record = { ...record, state: 'ended', end: { how: 'stop', reason, by, atMs: nowMs, restoredAtMs: nowMs + 50 } };
			return view();
		},
	};
}
