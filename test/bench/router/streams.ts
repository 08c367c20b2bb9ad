// Owns the figures of streaming through the router: chunks a second one core passes on, and what an open stream costs in memory, for meshd,
// the bare proxy and nginx.
import { SeededRandom } from '@infermesh/proto';
import type { Aim, Bench, BenchContext, Table } from '../bench.js';
import { median, ratioOfPairs } from '../stats.js';
import { cpuMs, residentBytes } from './processes.js';
import { chatRequests } from './requests.js';
import { BARE, DIRECT, MESH, openRig, type RouterRig, type Way } from './rig.js';
import { StreamClient } from './stream-client.js';

const SEED = 20_261_123;
const ROUNDS = 6;
const STREAMS = 100;
const GAP_MS = 20;
const WINDOW_MS = 1500;
/** Twice as many are open in the end. */
const OPEN_STREAMS = 2500;
const OPEN_GAP_MS = 500;
/** Streams opened at once while they are built up. */
const OPEN_BATCH = 50;
/** What starting has left behind is collected within this; before it a process looks larger than it is, and its streams smaller. */
const SETTLE_MS = 25_000;
/** How long all are open before they are weighed: what is kept of each chunk, or collected late, shows only then. */
const HELD_MS = 40_000;

export const streamsBench: Bench = {
	name: 'streams',
	summary: 'SSE chunks a second per core, memory per open stream (about four minutes)',
	run: async (context) => {
		const rig = await openRig();
		try {
			const memory = await memoryPerStream(rig, context);
			const chunks = await chunkCost(rig, context);
			return [chunks, memory];
		} finally {
			await rig.close();
		}
	},
};

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function streamRequests(chunks: number, gapMs: number, way: Way): readonly Buffer[] {
	const random = new SeededRandom(SEED, gapMs);
	return chatRequests(random, true, `x-bench-chunks: ${chunks}\r\nx-bench-gap-ms: ${gapMs}\r\n${way.extra ?? ''}`);
}

async function openStreams(client: StreamClient, requests: readonly Buffer[], count: number): Promise<void> {
	for (let opened = 0; opened < count; opened += OPEN_BATCH)
		await Promise.all(
			Array.from({ length: Math.min(OPEN_BATCH, count - opened) }, (_, at) =>
				client.start(requests[(opened + at) % requests.length] as Buffer),
			),
		);
}

interface Cost {
	readonly name: string;
	readonly cpuUs: number[];
	readonly perS: number[];
	lost: number;
}

/** A hundred streams at fifty chunks a second each, one way after the other, several times. */
async function chunkCost(rig: RouterRig, { quick, progress }: BenchContext): Promise<Table> {
	const costs: Cost[] = rig.ways.map((way) => ({ name: way.name, cpuUs: [], perS: [], lost: 0 }));
	const rounds = quick ? 2 : ROUNDS;
	for (let round = 0; round < rounds; round++) {
		for (const [index, way] of rig.ways.entries()) {
			const cost = costs[index] as Cost;
			const client = new StreamClient(way.port);
			await openStreams(client, streamRequests(1_000_000, GAP_MS, way), STREAMS);
			await sleep(200);
			await countWindow(way, client, cost, quick ? 400 : WINDOW_MS);
			cost.lost += client.broken + client.refused;
			client.close();
			await sleep(50);
		}
		progress(`  chunks: round ${round + 1} of ${rounds}`);
	}
	const bare = costs.find((cost) => cost.name === BARE) as Cost;
	return {
		title: `Streams: ${STREAMS} at ${1000 / GAP_MS} chunks/s each, one event a chunk, ${rounds} rounds`,
		columns: ['', 'chunks/s seen', 'CPU µs a chunk', 'chunks/s per core', '÷ bare', 'lost streams'],
		rows: costs
			.filter((cost) => cost.name !== DIRECT)
			.map((cost) => [
				cost.name,
				median(cost.perS),
				median(cost.cpuUs),
				1e6 / median(cost.cpuUs),
				ratioOfPairs(cost.cpuUs, bare.cpuUs).toFixed(2),
				cost.lost,
			]),
		aims: [],
		notes: [
			'CPU of the proxy’s process while the streams ran, its idle work included; chunks/s per core is its inverse, not a saturation run',
		],
	};
}

async function countWindow(way: Way, client: StreamClient, cost: Cost, windowMs: number): Promise<void> {
	const fromEvents = client.events;
	const fromCpu = cpuMs(way.pid);
	const fromMs = performance.now();
	await sleep(windowMs);
	const events = client.events - fromEvents;
	cost.cpuUs.push(((cpuMs(way.pid) - fromCpu) * 1000) / events);
	cost.perS.push((events * 1000) / (performance.now() - fromMs));
}

/** Resident memory with slow streams open, less that without: once they are open, of as many more, and when all have been open for a while. */
async function memoryPerStream(rig: RouterRig, { quick, progress }: BenchContext): Promise<Table> {
	const count = quick ? 200 : OPEN_STREAMS;
	const rows: (string | number)[][] = [];
	progress('  memory: waiting for idle processes to settle');
	await sleep(quick ? 0 : SETTLE_MS);
	for (const way of rig.ways.filter((each) => each.name !== DIRECT)) {
		const client = new StreamClient(way.port);
		const requests = streamRequests(1_000_000, OPEN_GAP_MS, way);
		const idleBytes = residentBytes(way.pid);
		await openStreams(client, requests, count);
		await sleep(1000);
		const firstBytes = residentBytes(way.pid);
		await openStreams(client, requests, count);
		await sleep(1500);
		const secondBytes = residentBytes(way.pid);
		await sleep(quick ? 0 : HELD_MS);
		const heldBytes = residentBytes(way.pid);
		rows.push([
			way.name,
			idleBytes / 2 ** 20,
			firstBytes / 2 ** 20,
			secondBytes / 2 ** 20,
			heldBytes / 2 ** 20,
			(heldBytes - idleBytes) / (2 * count) / 1024,
			(secondBytes - firstBytes) / count / 1024,
			client.broken + client.refused,
		]);
		client.close();
		await sleep(500);
		progress(`  memory: ${way.name}`);
	}
	return {
		title: `Memory of open streams (${count}, then ${count} more), resident`,
		columns: [
			'',
			'idle MiB',
			`${count} MiB`,
			`${2 * count} MiB`,
			'held MiB',
			'KiB a stream',
			'KiB a further stream',
			'lost',
		],
		rows,
		aims: aimOf(rows, count),
		notes: [
			`resident memory of the process: idle after ${SETTLE_MS / 1000} s, and with all streams open for ${HELD_MS / 1000} s`,
			`${MESH}: its 2 KB prompt is held until the first event`,
		],
	};
}

/** What a stream costs when so many are open. */
function aimOf(rows: readonly (readonly (string | number)[])[], count: number): Aim[] {
	const figure = rows.find(([name]) => name === MESH)?.[5];
	if (typeof figure !== 'number') return [];
	return [{ what: `memory of one of ${2 * count} open streams, ${MESH}`, figure, atMost: 35, unit: 'KiB' }];
}
