// Owns what experiments tell Prometheus: state, win rate, difference with its bounds, evidence of harm, good share and hedge waste by arm. From records: every node tells
// the same.
import type { CollectedSample } from '../telemetry/exposition.js';
import { arms } from './cohorts/cohort.js';
import { expand } from './controller/figures.js';
import { safetyTrialOf } from './controller/split.js';
import { isSwitchback } from './controller/step.js';
import { trialOf } from './controller/switchback.js';
import type { ExperimentRecord } from './record.js';
import { hedgeWasteOf } from './views.js';

export function experimentSamples(record: ExperimentRecord): CollectedSample[] {
	const { id, model, design, state, figures, end } = record;
	const labels = [id, model];
	const samples: CollectedSample[] = [
		{ metric: 'experimentState', labels: [id, model, design.kind, end === undefined ? state : end.how], value: 1 },
	];
	for (const arm of arms) {
		const counts = expand(figures[arm]);
		const waste = hedgeWasteOf(figures[arm]);
		if (counts.judged > 0)
			samples.push({ metric: 'experimentGood', labels: [id, model, arm], value: counts.get('good') / counts.judged });
		if (waste !== undefined) samples.push({ metric: 'experimentHedgeWaste', labels: [id, model, arm], value: waste });
	}
	if (!isSwitchback(record)) {
		samples.push({ metric: 'experimentEvidence', labels, value: safetyTrialOf(record).evidence });
		return samples;
	}
	const trial = trialOf(record);
	if (trial.pairs.length === 0) return samples;
	const bounded = (metric: 'experimentDifference' | 'experimentWinRate', mean: number, at: typeof trial.interval) => {
		for (const [bound, value] of [
			['mean', mean],
			['lower', at.lower],
			['upper', at.upper],
		] as const)
			samples.push({ metric, labels: [id, model, bound], value });
	};
	samples.push({ metric: 'experimentPairs', labels, value: trial.pairs.length });
	bounded('experimentDifference', trial.difference, trial.interval);
	bounded('experimentWinRate', trial.winRate.value, trial.winRate.interval);
	return samples;
}
