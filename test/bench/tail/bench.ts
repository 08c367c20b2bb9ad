// Owns the figure of the tail: six emulated engines, one of them slowed four times, under a replay of the Azure conversation trace; what clients wait
// for their first token without hedging, with a fixed delay and with the adaptive one, and what the copies cost, as the engines count it. Round robin
// decides in all arms, because a strategy that knows the load avoids the slow engine by itself and leaves hedging little to do. Each arm has engines and a mesh
// of its own; they take turns in slots (slices.ts) long enough for the slow engine to fall behind.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import {
	type LoadRunResult as LoadResult,
	openTraceFile,
	runLoad,
	syntheticTrace,
	systemClock,
	type TraceSource,
} from '@infermesh/host';
import type { Bench, BenchContext, Table } from '../bench.js';
import { KEY, startMeshAgent } from '../router/mesh-process.js';
import { forkModule } from '../router/processes.js';
import { type Turns, turnsOf } from './slices.js';

const MODEL = 'tail-model';
const ENGINES = 6;
const SLOW_FACTOR = 4;
/** Of the trace's own clock. */
const SPEED = 5;
/** Of the wall clock. What is under way at the end of a slot is answered during those of the others. */
const SLOT_MS = 30_000;
const ROUNDS = 2;
const SEED = 7;
const TRACE = path.join('traces', 'azure-2023', 'AzureLLMInferenceTrace_conv.csv');

interface Arm {
	readonly name: string;
	/** `data.hedge` of the mesh. */
	readonly hedge: Readonly<Record<string, number>>;
}

const COMMON = { copies: 1, budget_ratio: 0.1 };
const ARMS: readonly Arm[] = [
	{ name: 'no hedging', hedge: { copies_max: 0 } },
	{ name: 'copy after 300 ms', hedge: { ...COMMON, delay_ms: 300 } },
	{ name: 'copy after the p90', hedge: { ...COMMON, delay_quantile: 0.9 } },
];

interface Measured {
	readonly arm: Arm;
	readonly load: LoadResult;
	readonly copies: number;
	readonly won: number;
	/** Tokens that losers cost: as the router estimates it, and as the engines have counted it. */
	readonly estimated: number;
	readonly computed: number;
	readonly served: number;
}

export const tailBench: Bench = {
	name: 'tail',
	summary: 'first-token tail with and without hedging, one of six engines slowed 4x (about 4 minutes; --trace FILE)',
	run: async (context) => {
		const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-bench-'));
		try {
			const turns: Turns = { arms: ARMS.length, rounds: context.quick ? 1 : ROUNDS, slotMs: SLOT_MS * SPEED };
			const rigs: Rig[] = [];
			try {
				for (const arm of ARMS) rigs.push(await openRig(arm, path.join(folder, `tail-${rigs.length}`)));
				const sources = await Promise.all(ARMS.map(() => openWorkload(context)));
				const measured = await Promise.all(
					rigs.map((rig, arm) => measure(rig, turnsOf(sources[arm] as TraceSource, turns, arm), turns)),
				);
				context.progress(`  ${turns.rounds} rounds of ${ARMS.length} slots`);
				return [tableOf(measured, sources[0]?.name ?? '')];
			} finally {
				for (const rig of rigs) await rig.close();
			}
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	},
};

/** The trace named by the option, else that of INFERMESH_TEST_DATA, else one made up with its mean rate and lengths. */
async function openWorkload({ trace }: BenchContext): Promise<TraceSource> {
	const data = process.env['INFERMESH_TEST_DATA'];
	const file = trace ?? (data === undefined ? undefined : path.join(data, TRACE));
	if (file !== undefined) return openTraceFile(file, { seed: SEED });
	return syntheticTrace({
		ratePerSecond: 5.4,
		arrivals: { kind: 'gamma', cv: 1.5 },
		input: { kind: 'lognormal', mean: 1155, cv: 1 },
		output: { kind: 'lognormal', mean: 211, cv: 1 },
		seed: SEED,
	});
}

/** One arm's engines and mesh. */
interface Rig {
	readonly arm: Arm;
	readonly url: string;
	readonly adminUrl: string;
	readonly ports: readonly number[];
	close(): Promise<void>;
}

async function openRig(arm: Arm, folder: string): Promise<Rig> {
	const engines = await forkModule('../tail/engines.js', [String(ENGINES), String(SLOW_FACTOR), MODEL]);
	try {
		const { ports } = engines.ready as { readonly ports: readonly number[] };
		mkdirSync(folder);
		const file = path.join(folder, 'mesh.yaml');
		writeFileSync(file, JSON.stringify(configOf(arm, ports, path.join(folder, 'state'))));
		const mesh = await startMeshAgent(file);
		return {
			arm,
			ports,
			url: `http://127.0.0.1:${mesh.port}`,
			adminUrl: mesh.adminUrl,
			async close() {
				await mesh.close();
				await engines.close();
			},
		};
	} catch (error) {
		await engines.close();
		throw error;
	}
}

async function measure(rig: Rig, source: TraceSource, { arms, rounds, slotMs }: Turns): Promise<Measured> {
	const load = await runLoad(
		{
			url: rig.url,
			model: MODEL,
			apiKey: KEY,
			speed: SPEED,
			durationMs: (arms * rounds * slotMs) / SPEED,
			seed: SEED,
		},
		{ clock: systemClock, source },
	);
	const router = await metricsOf(rig.adminUrl);
	const own = await Promise.all(rig.ports.map((port) => metricsOf(`http://127.0.0.1:${port}`)));
	const computed = own.reduce(
		(total, text) => total + sumOf(text, 'vllm:prompt_tokens_total') + sumOf(text, 'vllm:generation_tokens_total'),
		0,
	);
	const served =
		sumOf(router, 'infermesh_tokens_total', 'kind="input"') + sumOf(router, 'infermesh_tokens_total', 'kind="output"');
	return {
		arm: rig.arm,
		load,
		served,
		copies: sumOf(router, 'infermesh_hedges_total', 'result="sent"'),
		won: sumOf(router, 'infermesh_hedges_total', 'result="won"'),
		estimated: sumOf(router, 'infermesh_hedge_wasted_tokens_total'),
		computed: computed - served,
	};
}

function configOf(arm: Arm, ports: readonly number[], stateDir: string): object {
	return {
		state_dir: stateDir,
		fabric: { agent_port: 0, raft_port: 0, gossip_port: 0 },
		data: { port: 0, workers: 1, hedge: arm.hedge },
		admin: { port: 0 },
		strategy: { active: 'baseline_rr' },
		keys: [{ id: 'bench', sha256: createHash('sha256').update(KEY).digest('hex') }],
		targets: ports.map((port, index) => ({
			id: `engine-${index}`,
			url: `http://127.0.0.1:${port}`,
			models: [MODEL],
			runtime: 'vllm',
		})),
	};
}

async function metricsOf(url: string): Promise<string> {
	return (await fetch(`${url}/metrics`)).text();
}

/** Sum of the series of a name whose labels hold `label`. */
function sumOf(text: string, name: string, label = ''): number {
	let total = 0;
	for (const line of text.split('\n')) {
		if (!line.startsWith(`${name}{`) || !line.includes(label)) continue;
		total += Number(line.slice(line.lastIndexOf(' ') + 1));
	}
	return total;
}

function tableOf(measured: readonly Measured[], workload: string): Table {
	const [base] = measured as [Measured];
	const p99 = (one: Measured): number => one.load.latency.ttftMs?.p99 ?? Number.NaN;
	return {
		title: `First token with one of ${ENGINES} engines ${SLOW_FACTOR}x slow, round robin, ${workload} at ${SPEED}x`,
		columns: [
			'',
			'requests',
			'failed',
			'p50 ms',
			'p90 ms',
			'p99 ms',
			'p99 ratio',
			'copies %',
			'won %',
			'waste %, engines',
			'waste %, router',
		],
		rows: measured.map((one) => {
			const ttft = one.load.latency.ttftMs;
			const share = (part: number, whole: number): number => (whole === 0 ? 0 : (100 * part) / whole);
			return [
				one.arm.name,
				one.load.requests.sent,
				one.load.requests.failed,
				ttft?.p50 ?? Number.NaN,
				ttft?.p90 ?? Number.NaN,
				p99(one),
				p99(one) / p99(base),
				share(one.copies, one.load.requests.sent),
				share(one.won, one.copies),
				share(one.computed, one.served + one.computed),
				share(one.estimated, one.served + one.estimated),
			];
		}),
		aims: measured.slice(1).map((one) => ({
			what: `p99 with a ${one.arm.name}`,
			figure: p99(one) / p99(base),
			atMost: 0.5,
			unit: 'of p99 without',
		})),
		notes: [
			...(measured.some(({ load }) => load.workload.notes.some((note) => note.includes('generator itself was late')))
				? [
						'the machine was too busy for its own generator: the arms can be compared, as they took turns, but their figures are those of a busy machine',
					]
				: []),
			`the arms take turns of ${SLOT_MS / 1000} s over the same requests; what a turn leaves under way is answered during the next ones`,
			'waste = prompt and output tokens beyond those of the answers, as a share of all: counted by the engines, and as the router estimates it from above',
			'the engines count the prompt of a sequence when they first schedule it, whole: what is cancelled before costs nothing there',
			...measured.flatMap(({ load }) => load.workload.notes).filter((note, at, all) => all.indexOf(note) === at),
			...(workload.endsWith('.csv')
				? []
				: ['no trace given: a made-up workload with the rate and lengths of the Azure trace stands in for it']),
		],
	};
}
