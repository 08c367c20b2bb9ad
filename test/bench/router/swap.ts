// Owns the figures of a hot swap: streams and requests flow through a mesh while its strategy is swapped, and while a module is loaded; what
// the longest silence inside a stream and the slowest request were, with and without.
import { openStrategy } from '@infermesh/host';
import { SeededRandom } from '@infermesh/proto';
import type { Bench, BenchContext, Table } from '../bench.js';
import { median, quantile, ratioOfPairs } from '../stats.js';
import { LoadClient } from './open-loop.js';
import { chatRequests } from './requests.js';
import { MESH, openRig, type RouterRig } from './rig.js';
import { StreamClient } from './stream-client.js';

const SEED = 20_261_123;
const SWAPS = 20;
const STREAMS = 40;
const GAP_MS = 10;
const WINDOW_MS = 400;
const RATE_PER_S = 200;
const CONNECTIONS = 16;

/** What was felt in one window. */
interface Felt {
	readonly pauseMs: number;
	readonly slowestMs: number;
	readonly failures: number;
	/** How long the admin call took; 0 without one. */
	readonly callMs: number;
}

export const swapBench: Bench = {
	name: 'swap',
	summary: 'pauses of streams and requests while strategies are swapped and loaded',
	run: async (context) => {
		const rig = await openRig();
		try {
			return await measure(rig, context);
		} finally {
			await rig.close();
		}
	},
};

async function measure(rig: RouterRig, { quick, progress }: BenchContext): Promise<readonly Table[]> {
	const { port } = rig.ways.find((way) => way.name === MESH) as { readonly port: number };
	const random = new SeededRandom(SEED, 2);
	const streams = new StreamClient(port);
	const client = new LoadClient(port, CONNECTIONS);
	const requests = chatRequests(random, false);
	const endless = chatRequests(random, true, `x-bench-chunks: 1000000\r\nx-bench-gap-ms: ${GAP_MS}\r\n`);
	await Promise.all(endless.slice(0, STREAMS).map((request) => streams.start(request)));
	const second = Buffer.from((await openStrategy('least_queue')).wasm).toString('base64');
	await post(rig, '/api/v1/strategies', { module: second });
	const window = async (act: (() => Promise<void>) | undefined): Promise<Felt> => {
		await client.open();
		streams.resetPause();
		const slice = client.slice(requests, RATE_PER_S, WINDOW_MS, random);
		const from = performance.now();
		await act?.();
		const callMs = act === undefined ? 0 : performance.now() - from;
		const result = await slice;
		const slowestMs = quantile(result.latencyMs, 1);
		return { pauseMs: streams.pauseMaxMs, slowestMs, failures: result.failures, callMs };
	};
	for (let warm = 0; warm < 5; warm++) await window(undefined);
	const rounds = quick ? 4 : SWAPS;
	const calm: Felt[] = [];
	const swapped: Felt[] = [];
	const loaded: Felt[] = [];
	for (let round = 0; round < rounds; round++) {
		const next = round % 2 === 0 ? 'least_queue' : 'hybrid_mesh';
		calm.push(await window(undefined));
		swapped.push(await window(() => post(rig, `/api/v1/strategies/${next}/stage`, { stage: 'active' })));
		if (round % 4 === 3) progress(`  swap ${round + 1} of ${rounds}`);
	}
	const lagCalm = await loopLag(rig);
	let lagLoading = NO_LAG;
	const third = Buffer.from((await openStrategy('baseline_rr')).wasm).toString('base64');
	for (let round = 0; round < (quick ? 2 : 6); round++) {
		loaded.push(await window(() => post(rig, '/api/v1/strategies', { module: third })));
		lagLoading = worse(lagLoading, await loopLag(rig));
		await remove(rig, '/api/v1/strategies/baseline_rr');
	}
	const lost = streams.broken + streams.refused;
	const open = streams.open;
	streams.close();
	client.close();
	return [swapTable(calm, swapped, loaded, { lost, open }), lagTable(lagCalm, lagLoading)];
}

interface Lag {
	readonly mainMs: number;
	readonly workerMs: number;
}

const NO_LAG: Lag = { mainMs: 0, workerMs: 0 };
/** Period of meshd's own measurement, with a margin. */
const LAG_PERIOD_MS = 1050;

function worse(a: Lag, b: Lag): Lag {
	return { mainMs: Math.max(a.mainMs, b.mainMs), workerMs: Math.max(a.workerMs, b.workerMs) };
}

/** Worst event-loop delay of the last two periods, from meshd's own metrics: what has just happened lies in one of them. */
async function loopLag(rig: RouterRig): Promise<Lag> {
	let worst = NO_LAG;
	for (let period = 0; period < 2; period++) {
		await new Promise((resolve) => setTimeout(resolve, LAG_PERIOD_MS));
		const text = await (await fetch(`${rig.mesh.adminUrl}/metrics`)).text();
		const lines = text.split('\n').filter((line) => line.startsWith('infermesh_event_loop_lag_seconds{'));
		const ms = (thread: string): number => {
			const line = lines.find((each) => each.includes(`thread="${thread}"`) && each.includes('stat="max"'));
			return Number(line?.split(' ').at(-1)) * 1000;
		};
		worst = worse(worst, { mainMs: ms('main'), workerMs: ms('worker-0') });
	}
	return worst;
}

function lagTable(calm: Lag, loading: Lag): Table {
	return {
		title: 'Event-loop lag of meshd, worst of a period, ms',
		columns: ['', 'main', 'worker'],
		rows: [
			['streams only', calm.mainMs, calm.workerMs],
			['around loads', loading.mainMs, loading.workerMs],
		],
		aims: [],
		notes: ['from its own metrics; the main thread holds the agent and the admin API, the worker the requests'],
	};
}

async function post(rig: RouterRig, path: string, body: unknown): Promise<void> {
	const answer = await fetch(`${rig.mesh.adminUrl}${path}`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify(body),
	});
	const text = await answer.text();
	if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
}

async function remove(rig: RouterRig, path: string): Promise<void> {
	const answer = await fetch(`${rig.mesh.adminUrl}${path}`, { method: 'DELETE' });
	const text = await answer.text();
	if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
}

function swapTable(
	calm: readonly Felt[],
	swapped: readonly Felt[],
	loaded: readonly Felt[],
	streams: { readonly lost: number; readonly open: number },
): Table {
	const pauses = (felt: readonly Felt[]): number[] => felt.map((one) => one.pauseMs);
	const row = (name: string, felt: readonly Felt[]): (string | number)[] => {
		const slowest = felt.map((one) => one.slowestMs);
		const calls = felt.map((one) => one.callMs);
		return [
			name,
			felt.length,
			median(pauses(felt)),
			quantile(pauses(felt), 1),
			median(slowest),
			quantile(slowest, 1),
			felt.reduce((total, one) => total + one.failures, 0),
			median(calls),
		];
	};
	const failures = [...calm, ...swapped, ...loaded].reduce((total, one) => total + one.failures, 0);
	return {
		title: `Swap: ${STREAMS} streams at ${1000 / GAP_MS} chunks/s, ${RATE_PER_S} requests/s, windows of ${WINDOW_MS} ms (seed ${SEED})`,
		columns: ['', 'windows', 'pause p50', 'pause max', 'slowest p50', 'slowest max', 'failed', 'call p50'],
		rows: [row('without', calm), row('with a swap', swapped), row('with a load', loaded)],
		aims: [
			{
				what: 'longest pause with a swap against without, median of pairs',
				figure: ratioOfPairs(pauses(swapped), pauses(calm)),
				atMost: 1.25,
				unit: '×',
			},
			{ what: 'failed requests', figure: failures, atMost: 0, unit: '' },
			{ what: 'lost streams', figure: streams.lost, atMost: 0, unit: '' },
		],
		notes: [
			`ms; pause: longest silence inside any stream in a window (chunks are sent every ${GAP_MS} ms); slowest: request, from its intended time`,
			'a load takes admission in a child and compilation in a thread: on two cores they compete with load generator and upstream',
			`${streams.open} of ${STREAMS} streams were open throughout`,
		],
	};
}
