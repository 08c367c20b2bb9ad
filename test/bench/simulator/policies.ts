// Owns the table of routing policies on the conversation trace beside the figures of an independent simulator (reference, section 0b): mean time to first token
// under two sets of constants.
import { prepareStrategy, type SimulationResult, type SimulationSpec, simulate } from '@infermesh/host';
import type { BenchContext, Table } from '../bench.js';
import { sum } from '../stats.js';
import { conversation, conversationEngines, isComparable, specOf } from './worlds.js';

const SEEDS = [1, 2, 3];

interface Setting {
	readonly name: string;
	/** Mean time to first token in seconds, by policy. */
	readonly published: Readonly<Record<string, number>>;
	readonly spec: (seed: number) => SimulationSpec;
}

/** What the other simulator had in place of the profile's: fewer overheads, and collectives at half the listed form plus 8 µs. */
const OPTIMISTIC = {
	linearEfficiency: 0.66,
	attentionEfficiency: 0.45,
	stepOverheadUs: 600,
	layerOverheadUs: 0,
	allReduceUs: 8,
	allReduceBytesPerSecond: 458e9,
} as const;

const settings: readonly Setting[] = [
	{
		name: 'optimistic constants, fresh signals, speed 1',
		published: {
			random: 6.71,
			baseline_rr: 4.78,
			power_of_two: 2.96,
			least_request: 2.44,
			least_pending_tokens: 1.32,
			smg_cache_aware: 2.04,
			aibrix_prefix: 1.92,
			production_stack_loadaware: 1.82,
			llmd_default: 1.37,
			dynamo_linear: 1.3,
			dynamo_lmetric: 1.04,
			preble: 1.02,
			vllm_smetric: 1.0,
			min_ttft: 1.03,
		},
		spec: (seed) =>
			specOf([{ ...conversationEngines, latency: { kind: 'roofline', constants: OPTIMISTIC } }], seed, 1, 0),
	},
	{
		name: 'default constants, signals 50 ms late, speed 0.7',
		published: {
			random: 8.99,
			baseline_rr: 6.62,
			power_of_two: 4.24,
			least_request: 3.33,
			least_pending_tokens: 1.88,
			smg_cache_aware: 2.94,
			aibrix_prefix: 2.69,
			production_stack_loadaware: 2.56,
			llmd_default: 1.99,
			dynamo_linear: 1.81,
			dynamo_lmetric: 1.48,
			preble: 1.45,
			vllm_smetric: 1.41,
			min_ttft: 1.48,
		},
		spec: (seed) => specOf([conversationEngines], seed, 0.7, 50),
	},
];

/** As the other simulator had it: what a target has done before counts for nothing, and answers weigh nothing. */
const configured: Readonly<Record<string, Readonly<Record<string, number>>>> = {
	preble: { past_weight: 0, decode_weight: 0 },
};
const ours = ['least_queue', 'hybrid_mesh'];

export async function policyTables(context: BenchContext): Promise<readonly Table[]> {
	const tables: Table[] = [];
	for (const setting of settings) tables.push(await policyTable(setting, context));
	return tables;
}

async function policyTable({ name, published, spec }: Setting, context: BenchContext): Promise<Table> {
	const seeds = context.quick ? SEEDS.slice(0, 1) : SEEDS;
	const workloads = await Promise.all(seeds.map((seed) => conversation(context, seed)));
	const rows: (readonly (string | number)[])[] = [];
	for (const policy of [...Object.keys(published), ...ours]) {
		const strategy = (await prepareStrategy(policy)).withConfig(configured[policy] ?? {});
		const results = workloads.map((workload, at) => simulate(spec(seeds[at] ?? 1), workload, [strategy]));
		rows.push(rowOf(policy, results, isComparable(context) ? published[policy] : undefined));
		context.progress(`  ${name}: ${policy}`);
	}
	return {
		title: `${workloads[0]?.name ?? ''}, five replicas of a 70B model: ${name}`,
		columns: [
			'policy',
			'TTFT mean s',
			'published',
			'ratio',
			'p50 s',
			'p99 s',
			'TPOT p99 ms',
			'hit %',
			'goodput %',
			'regret ms',
		],
		rows,
		notes: [
			...(workloads[0]?.notes ?? []),
			`means over ${seeds.length} seeds; published: an independent step-level simulator, with policies of its own`,
			'preble without its memory of finished work and of answers, as the other simulator had it',
			...(isComparable(context) ? [] : ['not the whole published trace: there is nothing to compare it with']),
		],
		aims: [],
	};
}

function rowOf(
	policy: string,
	results: readonly SimulationResult[],
	published: number | undefined,
): (string | number)[] {
	const mean = (pick: (summary: SimulationResult['summary']) => number): number =>
		sum(results.map(({ summary }) => pick(summary))) / results.length;
	const ttftS = mean(({ ttft }) => ttft.mean) / 1000;
	return [
		policy,
		ttftS.toFixed(2),
		published ?? '',
		published === undefined ? '' : (ttftS / published).toFixed(2),
		(mean(({ ttft }) => ttft.p50) / 1000).toFixed(2),
		(mean(({ ttft }) => ttft.p99) / 1000).toFixed(1),
		Math.round(mean(({ tpot }) => tpot.p99)),
		(100 * mean(({ hitRatio }) => hitRatio)).toFixed(1),
		Math.round(100 * mean(({ goodput }) => goodput)),
		Math.round(mean(({ regretMs }) => regretMs)),
	];
}
