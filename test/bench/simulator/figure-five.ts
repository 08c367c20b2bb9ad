// Owns the figure 5 of "Mooncake: Trading More Storage for Less Computation" (FAST'25): mean time to first token of four policies on the conversation trace, on
// sixteen nodes of eight A800, beside a model of that fleet's prefill half. The order and the ratios are what can be compared; absolute times are not.
import { prepareStrategy, type SimulationSpec, simulate, type Workload } from '@infermesh/host';
import type { BenchContext, Table } from '../bench.js';
import { conversation, conversationEngines, specOf } from './worlds.js';

const SEEDS = [1, 2, 3];
/** Half of the nodes prefill: the reading of the setting that comes nearest to its ratios. */
const PREFILL_NODES = 8;
/** Device memory of eight GPUs of 80 GB, less weights, by the capacity formula of the profiles. */
const KV_TOKENS = 1_420_000;

const policies = [
	{ name: 'random', strategy: 'random', config: {}, publishedS: 19.65 },
	{ name: 'load balancing', strategy: 'least_pending_tokens', config: {}, publishedS: 5.27 },
	{ name: 'local cache-aware', strategy: 'min_ttft', config: {}, publishedS: 3.58 },
	{
		name: 'global cache-aware',
		strategy: 'min_ttft',
		config: { fetch_ratio: 1.2, transfer_mbps: 100_000 },
		publishedS: 3.07,
	},
] as const;

/** Prefill nodes end a request with its first token. */
function prefillsOf(workload: Workload): Workload {
	return { ...workload, requests: workload.requests.map((row) => Object.assign({}, row, { outputTokens: 1 })) };
}

function fleet(seed: number): SimulationSpec {
	const group = {
		...conversationEngines,
		id: 'prefill',
		count: PREFILL_NODES,
		profile: 'a100-70b-tp4',
		kvTokens: KV_TOKENS,
		stepTokensMax: 8192,
		fetches: true,
		latency: {
			kind: 'roofline',
			// Vidur's profile of eight A100: linear MFU 0.64, all-reduce 109 GB/s.
			constants: { tensorParallel: 8, linearEfficiency: 0.64, allReduceBytesPerSecond: 109e9 },
		},
	} as const;
	return specOf([group], seed, 1, 50);
}

export async function figureFive(context: BenchContext): Promise<Table> {
	const seeds = context.quick ? SEEDS.slice(0, 1) : SEEDS;
	const workloads = await Promise.all(seeds.map(async (seed) => prefillsOf(await conversation(context, seed))));
	const means: number[] = [];
	const rows: (readonly (string | number)[])[] = [];
	for (const [at, { name, strategy, config, publishedS }] of policies.entries()) {
		const module = (await prepareStrategy(strategy)).withConfig(config);
		const results = workloads.map((workload, index) => simulate(fleet(seeds[index] ?? 1), workload, [module]).summary);
		const meanS = results.reduce((total, { ttft }) => total + ttft.mean, 0) / results.length / 1000;
		const before = policies[at - 1]?.publishedS;
		rows.push([
			name,
			`${strategy}${at === policies.length - 1 ? ', fetching' : ''}`,
			meanS.toFixed(2),
			publishedS,
			at === 0 ? '' : (meanS / (means[at - 1] as number)).toFixed(2),
			before === undefined ? '' : (publishedS / before).toFixed(2),
			((100 * results.reduce((total, { hitRatio }) => total + hitRatio, 0)) / results.length).toFixed(1),
			Math.round(results.reduce((total, { fetches }) => total + fetches, 0) / results.length),
		]);
		means.push(meanS);
		context.progress(`  figure 5: ${name}`);
	}
	return {
		title: `FAST'25 figure 5: ${PREFILL_NODES} prefill nodes of eight A100, ${workloads[0]?.name ?? ''}`,
		columns: [
			'policy',
			'strategy',
			'TTFT mean s',
			'published s',
			'to the one above',
			'published',
			'own cache hit %',
			'fetches',
		],
		rows,
		notes: [
			...(workloads[0]?.notes ?? []),
			'a model: the paper names neither its split of nodes nor its engine’s constants; prefill nodes hand over after the first token',
		],
		aims: means.slice(1).map((meanS, at) => ({
			what: `${policies[at + 1]?.name ?? ''} is below ${policies[at]?.name ?? ''}`,
			figure: meanS / (means[at] as number),
			atMost: 1,
			unit: '× mean TTFT',
		})),
	};
}
