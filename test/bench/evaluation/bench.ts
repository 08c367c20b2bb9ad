// Owns the figures that say whether the ways of evaluating a strategy hold: false alarms, false rollbacks, hours to a verdict, and what each way of comparing says
// beside the truth. All in simulated time. `npm run bench -- evaluation` runs all of them.
import { prepareStrategy } from '@infermesh/host';
import type { Bench, BenchContext, Table } from '../bench.js';
import { type Comparison, comparisonTable } from './comparisons.js';
import { falseAlarms } from './false-alarms.js';
import { falseRollbacks } from './false-rollbacks.js';
import { hoursToVerdict } from './hours.js';
import { offPolicyTable } from './off-policy.js';
import { plantedEffect } from './planted.js';
import { prefixOnly } from './prefix-only.js';

const strategyOf = async (name: string) => (await prepareStrategy(name)).module;

export const evaluationBenches: readonly Bench[] = [
	{
		name: 'evaluation-alarms',
		summary: 'false alarms of 1,000 switchbacks between a strategy and itself, looked at after every pair',
		run: async (context) => [await falseAlarms(await strategyOf('least_request'), context)],
	},
	{
		name: 'evaluation-rollbacks',
		summary: 'how often the hard rules roll back a strategy that is compared with itself',
		run: async (context) => [await falseRollbacks(await strategyOf('least_request'), context)],
	},
	{
		name: 'evaluation-hours',
		summary: 'hours of a switchback until its verdict (--trace: on the conversation trace as well)',
		run: async (context) => [await hoursToVerdict(await strategyOf('least_request'), context)],
	},
	{
		name: 'evaluation-planted',
		summary: 'a switchback between two strategies that differ, beside the truth and the forecast',
		run: async (context) => [
			await plantedEffect(await strategyOf('baseline_rr'), await strategyOf('least_request'), context),
		],
	},
	{
		name: 'evaluation-ways',
		summary: 'what each way of comparing two strategies says, beside the truth (--trace: the conversation trace)',
		run: onTrace(async (comparisons, trace, context) => {
			const tables: Table[] = [];
			for (const comparison of comparisons) tables.push(await comparisonTable(comparison, trace, context));
			return tables;
		}),
	},
	{
		name: 'evaluation-off-policy',
		summary: 'what off-policy estimates say, beside the truth (--trace: the conversation trace)',
		run: onTrace(async (comparisons, trace, context) => [await offPolicyTable(comparisons, trace, context)]),
	},
];

function onTrace(
	run: (comparisons: readonly Comparison[], trace: string, context: BenchContext) => Promise<readonly Table[]>,
): Bench['run'] {
	return async (context) => {
		const { trace } = context;
		if (trace === undefined) {
			context.progress('  it needs the conversation trace: --trace FILE');
			return [];
		}
		const leastRequest = await strategyOf('least_request');
		return run(
			[
				{
					name: 'least_request against round robin',
					baseline: await strategyOf('baseline_rr'),
					candidate: leastRequest,
				},
				{ name: 'min_ttft against least_request', baseline: leastRequest, candidate: await strategyOf('min_ttft') },
				{ name: 'prefix_only against least_request', baseline: leastRequest, candidate: await prefixOnly() },
			],
			trace,
			context,
		);
	};
}
