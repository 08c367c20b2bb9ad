// Owns the figures of the router: processor time per request and added latency at 1, 32 and 256 connections, prompts of 2 KB and 400 KB, open loop,
// interleaved in short slices with a direct connection, nginx, a bare proxy and, where it is installed, the Portkey gateway; and what each stage of the pipeline takes.
import { SeededRandom } from '@infermesh/proto';
import type { Aim, Bench, BenchContext, Table } from '../bench.js';
import { median, quantile, ratioOfPairs, sum } from '../stats.js';
import { stageTotals } from './mesh-process.js';
import { LoadClient } from './open-loop.js';
import { cpuMs } from './processes.js';
import { chatRequests, LONG_PROMPT_BYTES, PROMPT_BYTES } from './requests.js';
import { BARE, DIRECT, MESH, openRig, type RouterRig, type Way } from './rig.js';

const SEED = 20_261_123;
const ROUNDS = 10;
const SLICE_MS = 700;
/** Before each slice, not measured: connections closed while others had their turn are made again, caches filled. */
const SETTLE_MS = 150;
const IDLE_MS = 2500;
/** Long enough for V8 to have optimised all of a router; before it, a request costs twice as much. */
const WARM_MS = 15_000;
/** Of further loads: their connections and buffers. */
const WARM_AGAIN_MS = 500;
const WARM_RATE_PER_S = 1000;
const WARM_LONG_RATE_PER_S = 60;
interface Load {
	readonly connections: number;
	readonly promptBytes: number;
	readonly ratePerS: number;
}

/** Requests a second: far enough from saturation that queueing is not what is measured. */
const LOADS: readonly Load[] = [
	{ connections: 1, promptBytes: PROMPT_BYTES, ratePerS: 300 },
	{ connections: 32, promptBytes: PROMPT_BYTES, ratePerS: 1000 },
	{ connections: 256, promptBytes: PROMPT_BYTES, ratePerS: 1000 },
	{ connections: 1, promptBytes: LONG_PROMPT_BYTES, ratePerS: 20 },
	{ connections: 32, promptBytes: LONG_PROMPT_BYTES, ratePerS: 60 },
	{ connections: 256, promptBytes: LONG_PROMPT_BYTES, ratePerS: 60 },
];

interface Measured {
	readonly way: Way;
	readonly load: Load;
	readonly client: LoadClient;
	readonly requestsToSend: readonly Buffer[];
	/** Per round. */
	readonly cpuUs: number[];
	readonly p50Ms: number[];
	readonly p99Ms: number[];
	readonly latencyMs: number[];
	requests: number;
	failures: number;
}

export const routerBench: Bench = {
	name: 'router',
	summary: 'CPU per request and added latency, with direct, nginx, bare proxy, Portkey (about 6 minutes)',
	run: async (context) => {
		const profile = process.env['INFERMESH_BENCH_NODE_ARGS']?.split(' ') ?? [];
		const rig = await openRig(profile);
		try {
			return await measure(rig, context);
		} finally {
			await rig.close();
		}
	},
};

async function measure(rig: RouterRig, context: BenchContext): Promise<readonly Table[]> {
	const random = new SeededRandom(SEED, 1);
	const made = new Map<string, readonly Buffer[]>();
	const requestsOf = ({ extra = '' }: Way, { promptBytes }: Load): readonly Buffer[] => {
		const key = `${promptBytes} ${extra}`;
		const known = made.get(key) ?? chatRequests(random, false, extra, promptBytes);
		made.set(key, known);
		return known;
	};
	const all = LOADS.flatMap((load) =>
		rig.ways.map((way): Measured => {
			const client = new LoadClient(way.port, load.connections);
			const requestsToSend = requestsOf(way, load);
			const figures = { cpuUs: [], p50Ms: [], p99Ms: [], latencyMs: [], requests: 0, failures: 0 };
			return { way, load, client, requestsToSend, ...figures };
		}),
	);
	const sliceMs = context.quick ? 200 : SLICE_MS;
	for (const one of all) {
		await one.client.open();
		// Prompts of each size take ways through the code of their own.
		const first = one.load === LOADS.find(({ promptBytes }) => promptBytes === one.load.promptBytes);
		const warmMs = context.quick || !first ? WARM_AGAIN_MS : WARM_MS;
		await one.client.slice(
			one.requestsToSend,
			first && one.load.promptBytes === PROMPT_BYTES
				? WARM_RATE_PER_S
				: Math.max(one.load.ratePerS, WARM_LONG_RATE_PER_S),
			warmMs,
			random,
		);
	}
	const idle = await idleCpu(rig.ways, context);
	const before = await stageTotals(rig.mesh.adminUrl);
	const rounds = context.quick ? 3 : ROUNDS;
	for (let round = 0; round < rounds; round++) {
		for (const load of LOADS) {
			const group = all.filter((one) => one.load === load);
			for (let turn = 0; turn < group.length; turn++)
				await slice(group[(turn + round) % group.length] as Measured, sliceMs, random);
		}
		context.progress(`  round ${round + 1} of ${rounds}`);
	}
	const after = await stageTotals(rig.mesh.adminUrl);
	for (const one of all) one.client.close();
	return [latencyTable(all, idle, rounds, rig), stageTable(before, after)];
}

async function slice(one: Measured, sliceMs: number, random: SeededRandom): Promise<void> {
	const { ratePerS } = one.load;
	await one.client.open();
	await one.client.slice(one.requestsToSend, ratePerS, SETTLE_MS, random);
	const fromMs = cpuMs(one.way.pid);
	const result = await one.client.slice(one.requestsToSend, ratePerS, sliceMs, random);
	const usedMs = cpuMs(one.way.pid) - fromMs;
	one.cpuUs.push((usedMs * 1000) / result.requests);
	one.p50Ms.push(quantile(result.latencyMs, 0.5));
	one.p99Ms.push(quantile(result.latencyMs, 0.99));
	one.latencyMs.push(...result.latencyMs);
	one.requests += result.requests;
	one.failures += result.failures;
}

/** Milliseconds of processor a second with no requests: what a process costs by being there. */
async function idleCpu(ways: readonly Way[], { quick }: BenchContext): Promise<ReadonlyMap<string, number>> {
	const before = ways.map((way) => cpuMs(way.pid));
	const from = performance.now();
	await new Promise((resolve) => setTimeout(resolve, quick ? 500 : IDLE_MS));
	const seconds = (performance.now() - from) / 1000;
	return new Map(ways.map((way, index) => [way.name, (cpuMs(way.pid) - (before[index] as number)) / seconds]));
}

function latencyTable(
	all: readonly Measured[],
	idle: ReadonlyMap<string, number>,
	rounds: number,
	rig: RouterRig,
): Table {
	const of = (name: string, load: Load): Measured =>
		all.find((one) => one.way.name === name && one.load === load) as Measured;
	const withoutIdle = (one: Measured): readonly number[] => {
		return one.cpuUs.map((us) => us - ((idle.get(one.way.name) ?? 0) * 1000) / one.load.ratePerS);
	};
	const rows = all.map((one) => {
		const direct = of(DIRECT, one.load);
		const bare = of(BARE, one.load);
		const added = (a: readonly number[], b: readonly number[]): number =>
			median(a.map((value, round) => value - (b[round] as number)));
		const isDirect = one.way.name === DIRECT;
		return [
			one.way.name,
			`${one.load.promptBytes / 1024} KB`,
			one.load.connections,
			one.requests,
			one.failures,
			isDirect ? '' : median(one.cpuUs),
			isDirect ? '' : ratioOfPairs(one.cpuUs, bare.cpuUs).toFixed(2),
			isDirect ? '' : median(withoutIdle(one)),
			isDirect ? '' : ratioOfPairs(withoutIdle(one), withoutIdle(bare)).toFixed(2),
			quantile(one.latencyMs, 0.5),
			isDirect ? '' : added(one.p50Ms, direct.p50Ms),
			isDirect ? '' : added(one.p99Ms, direct.p99Ms),
			isDirect ? '' : (idle.get(one.way.name) ?? Number.NaN),
		];
	});
	const failures = sum(all.map((one) => one.failures));
	const aims: Aim[] = LOADS.map((load) => ({
		what: `CPU of meshd against the bare proxy, ${load.promptBytes / 1024} KB, ${load.connections} connection${load.connections === 1 ? '' : 's'}`,
		figure: ratioOfPairs(of(MESH, load).cpuUs, of(BARE, load).cpuUs),
		atMost: 1.2,
		unit: '×',
	}));
	return {
		title: `Router: ${rounds} rounds of ${SLICE_MS} ms slices (seed ${SEED})`,
		columns: [
			'',
			'prompt',
			'conns',
			'requests',
			'failed',
			'CPU µs',
			'÷ bare',
			'less idle',
			'÷ bare',
			'p50 ms',
			'+p50 ms',
			'+p99 ms',
			'idle ms/s',
		],
		rows,
		aims: [...aims, { what: 'failed requests', figure: failures, atMost: 0, unit: '' }],
		notes: [
			`open loop with exponential gaps: ${LOADS.map((load) => `${load.ratePerS}/s over ${load.connections} (${load.promptBytes / 1024} KB)`).join(', ')}; latency from intended send times, the timer's lateness included in every way`,
			'CPU: user + system of all threads of the proxy while its slice ran, per request, its idle work included; medians of rounds, ratios of pairs; less idle: without what it costs to be there',
			'+p50, +p99: over the direct connection, medians of the rounds; idle: processor time with no requests (scrapes, health checks, timers)',
			'meshd: one worker, API key, hybrid_mesh over three targets, prefix index, explain, metrics, retries, everything at its defaults',
			...rig.notes,
		],
	};
}

type Totals = ReadonlyMap<string, { readonly s: number; readonly n: number }>;

function stageTable(before: Totals, after: Totals): Table {
	const rows = [...after].map(([stage, { s, n }]) => {
		const old = before.get(stage) ?? { s: 0, n: 0 };
		return [stage, n - old.n, ((s - old.s) / (n - old.n)) * 1e6];
	});
	return {
		title: 'Stages of the pipeline, µs of wall time each',
		columns: ['', 'sampled', 'mean µs'],
		rows,
		aims: [],
		notes: [
			'from meshd’s own metrics, one request in 16; receive and stream_back wait for others, the rest is work of the router',
		],
	};
}
