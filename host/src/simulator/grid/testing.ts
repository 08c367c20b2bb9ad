// Owns small scenarios and made-up outcomes for tests of the grid and its reports.

import type { Distribution, SimulationSummary } from '../result.js';
import type { SimulationScenario } from '../scenario/document.js';
import { readScenario } from '../scenario/read.js';
import type { CellOutcome } from './outcome.js';

/** Two small engines and a short synthetic workload; `more` is appended to the text. */
export function smallScenario(more = ''): SimulationScenario {
	return readScenario(smallText(more), {
		file: 'small.yaml',
		readText: () => {
			throw new Error('no other file');
		},
	});
}

export function smallText(more = ''): string {
	return [
		'name: small',
		'fleet: [{ id: gpu, count: 2 }]',
		'workload: { generator: { requests: 60, rate_per_s: 20, prefixes: 4, input: { mean: 400 }, output: { mean: 20 } } }',
		'timeline_bins: 8',
		more,
		'',
	].join('\n');
}

function distribution(value: number): Distribution {
	return { count: 100, mean: value, p50: value, p90: value, p95: value, p99: value, max: value };
}

const summary: SimulationSummary = {
	requests: 100,
	finished: 100,
	rejected: 0,
	failed: 0,
	timedOut: 0,
	unfinished: 0,
	ttft: distribution(100),
	tpot: distribution(10),
	e2e: distribution(1000),
	held: distribution(0),
	goodput: 0.9,
	hitRatio: 0.5,
	imbalance: 1.1,
	preemptions: 0,
	retries: 0,
	hedges: 0,
	hedgeWaste: 0,
	fetches: 0,
	regretMs: 0,
	arms: [],
};

/** An outcome with this goodput and mean TTFT, for tests of what is made of outcomes. */
export function madeUpOutcome(goodput: number, ttftMs: number): CellOutcome {
	return {
		summary: { ...summary, goodput, ttft: distribution(ttftMs) },
		costs: [{ label: 'made@1', digest: 'd', decisions: 100, fallbacks: { trap: 1 }, fuelMean: 10, fuelMax: 20 }],
		digest: 'd',
		goodputs: {},
		curves: { ttft: [[ttftMs, 1]], tpot: [[10, 1]] },
		targets: [],
		simulatedMs: 1000,
		wallMs: 1,
		events: 10,
		workload: { name: 'made up', requests: 100, spanMs: 1000, notes: [] },
	};
}
