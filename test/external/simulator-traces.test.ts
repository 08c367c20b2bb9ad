// The simulator on published traces: means that an independent simulator found, the order of a published figure, and what hedging does on a trace of short prompts.
// INFERMESH_TEST_DATA names a folder that holds the traces under `traces/`; they are not part of this tree.
import path from 'node:path';
import { openTraceFile, prepareStrategy, type SimulationResult, simulate, type Workload } from '@infermesh/host';
import test from 'ava';
import { conversationEngines, specOf } from '../bench/simulator/worlds.js';

async function traceOf(name: string): Promise<Workload> {
	const data = process.env['INFERMESH_TEST_DATA'];
	if (data === undefined || data === '')
		throw new Error('INFERMESH_TEST_DATA is not set: it must name the folder whose traces/ holds the published traces');
	const source = await openTraceFile(path.join(data, 'traces', name), { seed: 1 });
	const requests: Workload['requests'][number][] = [];
	for await (const request of source) requests.push(request);
	return { name: source.name, blockTokens: source.blockTokens, notes: source.notes(), requests };
}

const conversation = (): Promise<Workload> => traceOf('mooncake-fast25/conversation_trace.jsonl');
const shortEngines = { ...conversationEngines, profile: 'h100-8b', hostKvTokens: 0 };

test.serial(
	'conversation trace, default constants, signals 50 ms late, speed 0.7: another simulator found the same',
	async (t) => {
		const workload = await conversation();
		t.is(workload.requests.length, 12_031);
		// Mean time to first token in seconds, means of three seeds there.
		for (const [policy, publishedS] of [
			['least_request', 3.33],
			['least_pending_tokens', 1.88],
			['production_stack_loadaware', 2.56],
			['dynamo_linear', 1.81],
			['dynamo_lmetric', 1.48],
		] as const) {
			const { module } = await prepareStrategy(policy);
			const { summary, strategies } = simulate(specOf([conversationEngines], 1, 0.7, 50), workload, [module]);
			t.is(summary.finished, workload.requests.length);
			t.deepEqual(strategies[0]?.fallbacks, {});
			const meanS = summary.ttft.mean / 1000;
			t.log(`${policy}: ${meanS.toFixed(2)} s, published ${publishedS} s`);
			t.true(Math.abs(meanS / publishedS - 1) < 0.1, policy);
		}
	},
);

test.serial('conversation trace: the four policies of FAST’25 figure 5 are in the published order', async (t) => {
	const workload = await conversation();
	const prefills = {
		...workload,
		requests: workload.requests.map((row) => Object.assign({}, row, { outputTokens: 1 })),
	};
	const fleet = {
		...conversationEngines,
		count: 8,
		profile: 'a100-70b-tp4',
		kvTokens: 1_420_000,
		stepTokensMax: 8192,
		fetches: true,
		latency: {
			kind: 'roofline',
			constants: { tensorParallel: 8, linearEfficiency: 0.64, allReduceBytesPerSecond: 109e9 },
		},
	} as const;
	const meanOf = async (policy: string, config: Readonly<Record<string, number>> = {}): Promise<number> => {
		const strategy = (await prepareStrategy(policy)).withConfig(config);
		return simulate(specOf([fleet], 1, 1, 50), prefills, [strategy]).summary.ttft.mean;
	};
	const random = await meanOf('random');
	const balanced = await meanOf('least_pending_tokens');
	const local = await meanOf('min_ttft');
	const everywhere = await meanOf('min_ttft', { fetch_ratio: 1.2, transfer_mbps: 100_000 });
	t.log([random, balanced, local, everywhere].map((ms) => (ms / 1000).toFixed(2)).join(' > '));
	t.true(random > balanced && balanced > local && local > everywhere);
});

test.serial(
	'Azure conversation at five times its speed, one of six engines four times slow: hedging cuts the tail',
	async (t) => {
		const workload = await traceOf('azure-2023/AzureLLMInferenceTrace_conv.csv');
		const { module } = await prepareStrategy('baseline_rr');
		const fleet = [
			{ ...shortEngines, count: 5 },
			{ ...shortEngines, id: 'slow', count: 1, slowFactor: 4 },
		];
		const run = (hedging: boolean): SimulationResult['summary'] => {
			const spec = specOf(fleet, 1, 5, 50);
			const router = { ...spec.router, hedging, hedgeDelayMs: 300, hedgeBudget: 0.1 };
			return simulate({ ...spec, router }, workload, [module]).summary;
		};
		const plain = run(false);
		const hedged = run(true);
		t.log(`p99 ${plain.ttft.p99.toFixed(0)} ms, hedged ${hedged.ttft.p99.toFixed(0)} ms`);
		t.log(
			`${((100 * hedged.hedges) / hedged.requests).toFixed(1)} % hedged, ${(100 * hedged.hedgeWaste).toFixed(1)} % waste`,
		);
		t.is(plain.finished, 19_366);
		t.is(hedged.finished, 19_366);
		t.true(hedged.ttft.p99 < 0.6 * plain.ttft.p99);
		t.true(hedged.hedgeWaste < 0.1);
	},
);

test.serial('Azure code: bursts are waited for whatever the policy', async (t) => {
	const workload = await traceOf('azure-2023/AzureLLMInferenceTrace_code.csv');
	const fleet = [{ ...shortEngines, count: 4 }];
	for (const policy of ['least_request', 'hybrid_mesh']) {
		const { module } = await prepareStrategy(policy);
		const { summary } = simulate(specOf(fleet, 1, 6, 50), workload, [module]);
		t.is(summary.finished, 8819);
		t.true(summary.ttft.p99 > 10 * summary.ttft.p50, policy);
	}
});
