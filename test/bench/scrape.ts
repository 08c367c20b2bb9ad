// Owns the figure of a fleet that is scraped: a thousand targets once a second, bodies of 60 KB. What reading a body and fusing its report cost is
// measured alone, in CPU time of a thread, and then the whole as the product does it: the looking thread fetching from servers in a process of
// their own, the main thread writing columns. Reading and fusing should take at most a tenth of a core, fetching is quoted apart.
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { LabelCache, RuntimeReader } from '@infermesh/adapters';
import {
	createFleetTable,
	createInflight,
	FleetFusion,
	FleetTableWriter,
	InflightReader,
	LookingThread,
	NameTable,
	systemClock,
	type TargetRecord,
	TargetRegistry,
} from '@infermesh/host';
import type { Bench, BenchContext, Table } from './bench.js';
import { METRICS_VARIANTS, metricsBody } from './scrape-server.js';

const TARGETS = 1000;
const PORTS = 25;
const PERIOD_MS = 1000;
const CORE_US_PER_S = 1e6;
/** Of /proc/PID/task/TID/stat; a constant of the kernel's interface to user space. */
const TICK_US = 10_000;

const fusionOptions = {
	healthyAfter: 1,
	unhealthyAfter: 3,
	consecutiveFailures: 5,
	errorRatio: 0.5,
	requestsMin: 20,
	windowMs: 10_000,
	ejectionMs: 10_000,
	ejectionMaxMs: 60_000,
	slowStartMs: 0,
	staleAfterMs: 5000,
	smoothingMs: 5000,
	ejectedMaxRatio: 0.5,
	unreachableMs: 5000,
	trialRequests: 1,
	trialSuccesses: 1,
} as const;

/** A registry with its fusion, and a target for each URL. */
function fleet(urls: readonly string[]) {
	const table = new FleetTableWriter(createFleetTable(2048));
	const names = new NameTable(8192);
	const all = { targets: names, nodes: names, zones: names, regions: names, models: names, revisions: names };
	const registry = new TargetRegistry(table, all, 0);
	const fusion = new FleetFusion(fusionOptions, table, new InflightReader(createInflight(2048, 1)), registry);
	const records = urls.map((url, index) => {
		const record = registry.add({
			id: `t${index}`,
			url,
			models: ['m'],
			runtime: 'vllm',
			apiKey: undefined,
			upstreamModel: undefined,
			revision: undefined,
			quant: undefined,
			weight: 1,
			role: 'both',
			node: `n${index}`,
			zone: 'z',
			region: 'r',
			costPerHour: 0,
			metricsPath: '/metrics',
			healthPath: '',
		});
		fusion.follow(record, 0);
		return record;
	});
	return { table, fusion, records };
}

function cpuUs(): number {
	const { user, system } = process.threadCpuUsage();
	return user + system;
}

interface Alone {
	readonly readUs: number;
	readonly fuseUs: number;
	/** Of looking at each byte of a body in a plain loop: what to compare with on a machine that others use as well. */
	readonly loopUs: number;
}

/** The mean of the better half: what others do on the machine counts less. */
function betterHalf(figures: readonly number[]): number {
	const best = figures.toSorted((a, b) => a - b).slice(0, Math.ceil(figures.length / 2));
	return best.reduce((sum, figure) => sum + figure, 0) / best.length;
}

/** CPU of reading, and of fusing, one body of every target, µs each. */
function alone(rounds: number): Alone {
	const bodies = Array.from({ length: METRICS_VARIANTS }, (_, variant) => Buffer.from(metricsBody(variant)));
	const labels = new LabelCache();
	const { table, fusion, records } = fleet(Array.from({ length: TARGETS }, (_, i) => `http://10.0.0.1:${1000 + i}`));
	const readers = records.map(() => new RuntimeReader({ runtime: 'vllm', labels }));
	const [read, fuse, loop]: [number[], number[], number[]] = [[], [], []];
	let lines = 0;
	for (let round = 0; round < rounds; round++) {
		const body = bodies[round % bodies.length] as Buffer;
		const atMs = 1000 * (round + 1);
		const began = cpuUs();
		const deltas = readers.map((reader) => reader.read(body, atMs));
		const between = cpuUs();
		records.forEach((record, i) => {
			const delta = deltas[i];
			if (delta !== undefined) fusion.report(record, delta, atMs);
		});
		table.publish();
		const fused = cpuUs();
		for (let i = 0; i < TARGETS; i++) for (let at = 0; at < body.length; at++) lines += body[at] === 10 ? 1 : 0;
		const ended = cpuUs();
		// The first rounds are those in which code is compiled.
		if (round < rounds / 4) continue;
		read.push((between - began) / TARGETS);
		fuse.push((fused - between) / TARGETS);
		loop.push((ended - fused) / TARGETS);
	}
	if (lines === 0) throw new Error('a body without a line');
	return { readUs: betterHalf(read), fuseUs: betterHalf(fuse), loopUs: betterHalf(loop) };
}

/** CPU of each thread of this process so far, µs. */
function threads(): ReadonlyMap<string, number> {
	return new Map(
		readdirSync('/proc/self/task').map((task) => {
			const stat = readFileSync(`/proc/self/task/${task}/stat`, 'utf8');
			const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
			return [task, (Number(fields[11]) + Number(fields[12])) * TICK_US];
		}),
	);
}

interface Whole {
	readonly scrapesPerS: number;
	readonly failed: number;
	readonly mainPercent: number;
	readonly lookingPercent: number;
	readonly othersPercent: number;
}

async function whole(context: BenchContext, seconds: number): Promise<Whole> {
	const server = fork(fileURLToPath(new URL('./scrape-server.js', import.meta.url)), [String(PORTS)]);
	try {
		const ports = await new Promise<readonly number[]>((resolve) => {
			server.once('message', (message) => resolve(message as number[]));
		});
		const urls = Array.from({ length: TARGETS }, (_, i) => `http://127.0.0.1:${ports[i % PORTS]}/t/${i}`);
		return await scraped(context, urls, seconds);
	} finally {
		await ended(server);
	}
}

async function scraped(context: BenchContext, urls: readonly string[], seconds: number): Promise<Whole> {
	const { table, fusion, records } = fleet(urls);
	const looks = new LookingThread<TargetRecord>(
		{
			seed: [1, 2],
			tls: {},
			poller: {
				scrapePeriodMs: PERIOD_MS,
				scrapeTimeoutMs: 5000,
				bodyMaxBytes: 8 << 20,
				checkPeriodMs: PERIOD_MS,
				checkTimeoutMs: 1000,
				concurrencyMax: 256,
			},
			gpus: { sources: [], node: '', periodMs: 1000, timeoutMs: 1000, bodyMaxBytes: 1 },
			batchMs: 10,
		},
		systemClock,
		(error) => {
			throw error;
		},
	);
	let read = 0;
	let failed = 0;
	looks.events = {
		report: (record, delta) => {
			read++;
			fusion.report(record, delta, Math.floor(delta.observedAtMs));
		},
		checked: () => undefined,
		scraped: (_record, result) => void (failed += result === 'ok' ? 0 : 1),
	};
	const publishing = setInterval(() => table.publish(), 20);
	for (const record of records) looks.follow(record);
	context.progress('  warming up for 10 s');
	await pause(10);
	const before = threads();
	[read, failed] = [0, 0];
	const began = performance.now();
	context.progress(`  scraping for ${seconds} s`);
	await pause(seconds);
	const overS = (performance.now() - began) / 1000;
	const after = threads();
	const counted = { scrapesPerS: read / overS, failed };
	clearInterval(publishing);
	await looks.close();
	const percent = (us: number): number => (us / overS / CORE_US_PER_S) * 100;
	const used = [...after].map(([task, us]) => [task, percent(us - (before.get(task) ?? 0))] as const);
	const main = used.find(([task]) => task === String(process.pid))?.[1] ?? 0;
	const others = used.filter(([task]) => task !== String(process.pid)).map(([, share]) => share);
	const looking = Math.max(...others);
	const rest = others.reduce((sum, share) => sum + share, 0) - looking;
	return { ...counted, mainPercent: main, lookingPercent: looking, othersPercent: rest };
}

function pause(seconds: number): Promise<void> {
	return new Promise((resolve) => void setTimeout(resolve, seconds * 1000));
}

function ended(child: ChildProcess): Promise<void> {
	return new Promise((resolve) => {
		child.once('exit', () => resolve());
		child.kill('SIGKILL');
	});
}

export const scrapeBench: Bench = {
	name: 'scrape',
	summary: `${TARGETS} targets scraped every second, 60 KB each: fetching, reading and fusing apart (about a minute)`,
	run: async (context) => {
		const { readUs, fuseUs, loopUs } = alone(context.quick ? 8 : 32);
		const all = await whole(context, context.quick ? 5 : 20);
		const share = (us: number): number => ((us * TARGETS) / CORE_US_PER_S) * 100;
		const fetchPercent = Math.max(0, all.lookingPercent - share(readUs));
		const bytes = Buffer.byteLength(metricsBody(0));
		const table: Table = {
			title: `A fleet of ${TARGETS} targets, one scrape a second each, ${bytes} bytes`,
			columns: ['part', 'µs of CPU a target', '% of a core'],
			rows: [
				['a loop over the bytes, for comparison', loopUs.toFixed(1), share(loopUs).toFixed(1)],
				['reading, alone', readUs.toFixed(1), share(readUs).toFixed(1)],
				['fusing, alone', fuseUs.toFixed(1), share(fuseUs).toFixed(1)],
				['looking thread, whole', (all.lookingPercent * 10).toFixed(1), all.lookingPercent.toFixed(1)],
				['of that, fetching (the rest of it)', (fetchPercent * 10).toFixed(1), fetchPercent.toFixed(1)],
				['main thread, whole', (all.mainPercent * 10).toFixed(1), all.mainPercent.toFixed(1)],
				['other threads', (all.othersPercent * 10).toFixed(1), all.othersPercent.toFixed(1)],
			],
			notes: [
				`${all.scrapesPerS.toFixed(0)} scrapes a second were read, ${all.failed} failed in all.`,
				'The main thread receives reports in batches, fuses them and publishes columns; nothing else runs there. Other threads collect garbage and compile.',
				'The bodies come from another process of the same machine over loopback.',
			],
			aims: [
				{ what: 'reading and fusing', figure: share(readUs) + share(fuseUs), atMost: 10, unit: '% of a core' },
				{ what: 'scrapes that did not come', figure: (1 - all.scrapesPerS / TARGETS) * 100, atMost: 1, unit: '%' },
			],
		};
		return [table];
	},
};
