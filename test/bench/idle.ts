// Owns the figure of an idle node without a data plane: three real processes with the roles coordinator, gpu and trainer, left alone. CPU time and memory
// are read from /proc by the outside; Node's own report, asked for by a signal after that, says what the memory is for.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { eventually } from '../support/mesh.js';
import { joinNodes, type MeshNode, prepareNodes } from '../support/mesh-nodes.js';
import type { Bench, BenchContext, Table } from './bench.js';
import { Ends } from './ends.js';

const NODES = 3;
const SETTLE_S = 30;
const MEASURED_S = 60;
const CPU_AIM_PERCENT = 2;
const RSS_AIM_MB = 160;
const MB = 1e6;
/** Of /proc/PID/stat; a constant of the kernel's interface to user space. */
const TICKS_PER_S = 100;

/** What one V8 heap holds, of Node's report. */
interface HeapReport {
	readonly totalCommittedMemory: number;
	readonly usedMemory: number;
	readonly externalMemory: number;
	readonly mallocedMemory: number;
}

interface ThreadReport {
	readonly header: { readonly threadId: number };
	readonly javascriptHeap: HeapReport;
	/** Threads that this one has started. */
	readonly workers?: readonly ThreadReport[];
}

function withWorkers(thread: ThreadReport): readonly ThreadReport[] {
	return [thread, ...(thread.workers ?? []).flatMap(withWorkers)];
}

interface Memory {
	readonly rss: number;
	/** Resident bytes by what they map. */
	readonly code: number;
	readonly stacks: number;
	readonly malloc: number;
	readonly other: number;
}

interface Idle {
	readonly name: string;
	readonly cpuPercent: number;
	/** Context switches a second, which is how often the process was woken. */
	readonly wakesPerS: number;
	readonly busiest: string;
	readonly memory: Memory;
	readonly heaps: readonly { readonly thread: string; readonly heap: HeapReport }[];
	readonly startedMs: number;
}

interface Usage {
	readonly ticks: number;
	readonly wakes: number;
}

export const idleBench: Bench = {
	name: 'idle',
	summary: 'three idle nodes without the router role: CPU and memory by part (about two minutes)',
	run: async (context) => {
		const measured = await idleNodes(context);
		return [cpuTable(measured), memoryTable(measured), heapTable(measured)];
	},
};

async function idleNodes(context: BenchContext): Promise<readonly Idle[]> {
	const ends = new Ends();
	const reports = mkdtempSync(path.join(tmpdir(), 'infermesh-idle-'));
	try {
		const env = {
			// As deploy/systemd sets it.
			MALLOC_ARENA_MAX: '1',
			NODE_OPTIONS: `--report-on-signal --report-compact --report-exclude-network --report-directory=${reports}`,
		};
		const one = {
			roles: ['coordinator', 'gpu', 'trainer'],
			env,
			fabric: { gossip_profile: 'lan', lease_ttl_ms: 15_000 },
		};
		const nodes = await prepareNodes(
			ends,
			Array.from({ length: NODES }, () => one),
		);
		const [first, ...others] = nodes as [MeshNode, ...MeshNode[]];
		const startedMs = new Map<MeshNode, number>();
		const timed = async (node: MeshNode, start: () => Promise<void>): Promise<void> => {
			const began = performance.now();
			await start();
			startedMs.set(node, performance.now() - began);
		};
		await timed(first, () => first.start());
		for (const node of others) await timed(node, () => joinNodes(first, [node]));
		await eventually('all vote', async () => (await votersOf(first)) === NODES, { withinMs: 60_000 });
		await pause(context, 'settling', context.quick ? 15 : SETTLE_S);
		const before = nodes.map(({ pid }) => usageOf(pid));
		const measuredS = context.quick ? 10 : MEASURED_S;
		await pause(context, 'measuring', measuredS);
		const measured = nodes.map((node, at) => ({
			name: node.name,
			startedMs: startedMs.get(node) ?? 0,
			...difference(before[at] as ReadonlyMap<string, Usage>, usageOf(node.pid), measuredS),
			memory: memoryOf(node.pid),
		}));
		const heaps = await Promise.all(nodes.map((node) => heapsOf(node.pid, reports)));
		return measured.map((one, at) => Object.assign(one, { heaps: heaps[at] ?? [] }));
	} finally {
		await ends.run();
		rmSync(reports, { recursive: true, force: true });
	}
}

async function votersOf(node: MeshNode): Promise<number> {
	const { members } = await node.get<{ members: { role: string }[] }>('/raft');
	return members.filter(({ role }) => role === 'voter').length;
}

function pause(context: BenchContext, what: string, seconds: number): Promise<void> {
	context.progress(`  ${what} for ${seconds} s`);
	return new Promise((resolve) => void setTimeout(resolve, seconds * 1000));
}

/** By thread: user and system time, and voluntary context switches. */
function usageOf(pid: number): ReadonlyMap<string, Usage> {
	const usage = new Map<string, Usage>();
	for (const task of readdirSync(`/proc/${pid}/task`)) {
		const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8');
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
		const wakes = Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0);
		const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
		usage.set(`${name} ${task}`, { ticks: Number(fields[11]) + Number(fields[12]), wakes });
	}
	return usage;
}

function difference(
	before: ReadonlyMap<string, Usage>,
	after: ReadonlyMap<string, Usage>,
	seconds: number,
): Pick<Idle, 'cpuPercent' | 'wakesPerS' | 'busiest'> {
	const threads = [...after].map(([name, { ticks, wakes }]) => ({
		name: name.replace(/ \d+$/, ''),
		percent: (100 * (ticks - (before.get(name)?.ticks ?? 0))) / TICKS_PER_S / seconds,
		wakesPerS: (wakes - (before.get(name)?.wakes ?? 0)) / seconds,
	}));
	const busiest = [...threads].sort((a, b) => b.percent - a.percent).slice(0, 4);
	return {
		cpuPercent: threads.reduce((sum, { percent }) => sum + percent, 0),
		wakesPerS: threads.reduce((sum, one) => sum + one.wakesPerS, 0),
		busiest: busiest.map(({ name, percent }) => `${name} ${percent.toFixed(2)}`).join(', '),
	};
}

/** Resident memory by kind of mapping. */
function memoryOf(pid: number): Memory {
	const sums = { rss: 0, code: 0, stacks: 0, malloc: 0, other: 0 };
	let kind: keyof typeof sums = 'other';
	for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
		const mapping = /^[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \d+\s*(.*)$/.exec(line);
		if (mapping !== null) kind = kindOf(mapping[1] ?? '', mapping[2] ?? '');
		const rss = /^Rss:\s+(\d+) kB/.exec(line)?.[1];
		if (rss === undefined) continue;
		sums[kind] += Number(rss) * 1024;
		sums.rss += Number(rss) * 1024;
	}
	return sums;
}

function kindOf(permissions: string, name: string): 'code' | 'stacks' | 'malloc' | 'other' {
	if (name.startsWith('/')) return 'code';
	if (name.startsWith('[stack')) return 'stacks';
	if (name === '[heap]') return 'malloc';
	return permissions.includes('x') ? 'code' : 'other';
}

/** Node writes its report when it is asked by a signal; the file is whole when it can be parsed. */
async function heapsOf(pid: number, folder: string): Promise<Idle['heaps']> {
	process.kill(pid, 'SIGUSR2');
	let report: ThreadReport | undefined;
	await eventually('the report is written', () => {
		const file = readdirSync(folder).find((name) => name.split('.').includes(String(pid)));
		if (file === undefined) return Promise.resolve(false);
		try {
			report = JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as ThreadReport;
		} catch {
			return Promise.resolve(false);
		}
		return Promise.resolve(true);
	});
	const threads = report === undefined ? [] : withWorkers(report);
	return threads.map(({ header, javascriptHeap }) => ({
		thread: header.threadId === 0 ? 'main' : `thread ${header.threadId}`,
		heap: javascriptHeap,
	}));
}

function cpuTable(nodes: readonly Idle[]): Table {
	return {
		title: 'Idle nodes, roles coordinator, gpu and trainer: processor',
		columns: ['node', 'CPU % of a core', 'wakes/s', 'start ms', 'busiest threads, % of a core'],
		rows: nodes.map(({ name, cpuPercent, wakesPerS, startedMs, busiest }) => [
			name,
			round(cpuPercent, 2),
			round(wakesPerS, 0),
			round(startedMs, 0),
			busiest,
		]),
		notes: ['one of them leads; gossip at its LAN timers, Raft at its defaults (heartbeat 100 ms), over mutual TLS'],
		aims: nodes.map(({ name, cpuPercent }) => ({
			what: `${name}, CPU`,
			figure: round(cpuPercent, 2),
			atMost: CPU_AIM_PERCENT,
			unit: '% of a core',
		})),
	};
}

function memoryTable(nodes: readonly Idle[]): Table {
	return {
		title: 'Idle nodes: resident memory by kind of mapping',
		columns: ['node', 'RSS MB', 'V8 heaps, committed', 'code and files', 'malloc arena', 'stacks', 'rest'],
		rows: nodes.map(({ name, memory: { rss, code, malloc, stacks, other }, heaps }) => {
			const committed = heaps.reduce((sum, { heap }) => sum + heap.totalCommittedMemory, 0);
			return [name, ...[rss, committed, code, malloc, stacks, other - committed].map((bytes) => round(bytes / MB, 1))];
		}),
		notes: [
			'code and files: the Node binary and libraries (shared by all processes of a machine) and compiled JavaScript',
			'rest: malloc beyond the main arena, thread stacks, buffers, shared memory',
		],
		aims: nodes.map(({ name, memory: { rss } }) => ({
			what: `${name}, RSS`,
			figure: round(rss / MB, 1),
			atMost: RSS_AIM_MB,
			unit: 'MB',
		})),
	};
}

function heapTable(nodes: readonly Idle[]): Table {
	return {
		title: 'Idle nodes: V8 heaps by thread',
		columns: ['node, thread', 'committed MB', 'used MB', 'external MB', 'malloced MB'],
		rows: nodes.flatMap(({ name, heaps }) =>
			heaps.map(({ thread, heap }) => [
				`${name} ${thread}`,
				...[heap.totalCommittedMemory, heap.usedMemory, heap.externalMemory, heap.mallocedMemory].map((bytes) =>
					round(bytes / MB, 1),
				),
			]),
		),
		notes: [],
		aims: [],
	};
}

function round(value: number, digits: number): number {
	return Number(value.toFixed(digits));
}
