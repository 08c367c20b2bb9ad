// Owns the metrics of experiments, collected from what is known of them: state, evidence, differences between arms.
import { collected } from './define.js';

/** Experiments kept. */
const EXPERIMENTS = 64;

export const experimentMetrics = {
	experimentState: collected(
		'experiment_state',
		['experiment', 'model', 'kind', 'state'],
		EXPERIMENTS,
		'1 for each experiment: running, ending, or how it ended (promote, rollback, end, stop).',
	),
	experimentKeptFailures: collected(
		'experiment_kept_failures',
		['code'],
		8,
		'Failures of a lone node to keep its experiments on disk, or to go on with them after a restart, by error.',
	),
	experimentPairs: collected('experiment_pairs', ['experiment', 'model'], EXPERIMENTS, 'Pairs of blocks judged.'),
	experimentDifference: collected(
		'experiment_difference_ratio',
		['experiment', 'model', 'bound'],
		EXPERIMENTS * 3,
		'Good share of the candidate less that of the baseline: mean, and bounds that hold at all times at once.',
	),
	experimentWinRate: collected(
		'experiment_win_rate_ratio',
		['experiment', 'model', 'bound'],
		EXPERIMENTS * 3,
		'Share of pairs of blocks in which the candidate was better by more than the margin, with its bounds.',
	),
	experimentEvidence: collected(
		'experiment_harm_evidence',
		['experiment', 'model'],
		EXPERIMENTS,
		'How many times a stake of 1 on harm by the candidate has grown; the alarm is at 1/alpha.',
	),
	experimentGood: collected(
		'experiment_good_ratio',
		['experiment', 'model', 'arm'],
		EXPERIMENTS * 2,
		'Share of requests that met their objectives, by arm.',
	),
	experimentHedgeWaste: collected(
		'experiment_hedge_waste_ratio',
		['experiment', 'model', 'arm'],
		EXPERIMENTS * 2,
		'Share of all tokens computed that losing copies computed, by arm.',
	),
} as const;
