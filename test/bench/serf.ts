// Owns the figure of failure detection beside Serf: 32 nodes on loopback, one killed, how long until all others hold it failed. Real agents, then our
// members over the same protocol with the same constants (LAN), in one run. Each victim is a process of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/mesh.js';
import { startAgent } from '../support/serf.js';
import type { Bench, BenchContext, Table } from './bench.js';
import { Ends } from './ends.js';
import { median, sum } from './stats.js';

const nodes = 32;
const roundsFull = 6;
/** Processes that those of ours share which are not killed. */
const sharedProcesses = 3;
const startedAtOnce = 8;
const settled = { withinMs: 120_000, everyMs: 100 };
const childScript = fileURLToPath(new URL('../support/serf-child.js', import.meta.url));

/** 32 nodes that report what they see. */
interface Pool {
	/** Each of these is a process. */
	readonly victims: readonly { readonly name: string; readonly process: ChildProcess }[];
	/** Members that each node has met, itself not counted. */
	readonly met: ReadonlyMap<string, ReadonlySet<string>>;
	/** Per failed node who holds it so, and since when. */
	readonly failed: ReadonlyMap<string, ReadonlyMap<string, number>>;
}

class Sightings {
	readonly met = new Map<string, Set<string>>();
	readonly failed = new Map<string, Map<string, number>>();

	saw(what: 'join' | 'failed', by: string, of: string): void {
		if (by === of) return;
		if (what === 'join') this.met.set(by, (this.met.get(by) ?? new Set()).add(of));
		else this.failed.set(of, (this.failed.get(of) ?? new Map<string, number>()).set(by, performance.now()));
	}
}

export const serfBench: Bench = {
	name: 'serf',
	summary: '32 nodes, one killed, seen dead by all: real serf against ours, LAN constants (about three minutes)',
	run: async (context) => {
		const rounds = context.quick ? 1 : roundsFull;
		const serf = await detections('serf', serfPool, rounds, context);
		const ours = await detections('ours', (ends) => ownPool(ends, rounds), rounds, context);
		return [tableOf(serf, ours)];
	},
};

interface Detections {
	readonly firstMs: readonly number[];
	readonly allMs: readonly number[];
	/** Of live nodes, by anyone, in the whole run. */
	readonly wrong: number;
}

async function detections(
	name: string,
	open: (ends: Ends) => Promise<Pool>,
	rounds: number,
	context: BenchContext,
): Promise<Detections> {
	const ends = new Ends();
	try {
		const pool = await open(ends);
		await eventually('all have met', () => [...pool.met.values()].every(({ size }) => size === nodes - 1), settled);
		const [firstMs, allMs]: [number[], number[]] = [[], []];
		for (const [round, victim] of pool.victims.slice(0, rounds).entries()) {
			// Rumours of the one before die down, and the kill falls anywhere in the interval.
			await new Promise((resolve) => setTimeout(resolve, 3_000 + (round / rounds) * 1_000));
			const killedMs = performance.now();
			victim.process.kill('SIGKILL');
			const left = nodes - 1 - round;
			const holding = (): ReadonlyMap<string, number> => pool.failed.get(victim.name) ?? new Map<string, number>();
			await eventually('seen dead by all', () => holding().size >= left, settled);
			firstMs.push(Math.min(...holding().values()) - killedMs);
			allMs.push(Math.max(...holding().values()) - killedMs);
			context.progress(`${name}, ${victim.name} killed: ${((allMs.at(-1) ?? 0) / 1_000).toFixed(1)} s`);
		}
		const killed = new Set(pool.victims.slice(0, rounds).map((victim) => victim.name));
		const wrong = sum([...pool.failed].map(([of, by]) => (killed.has(of) ? 0 : by.size)));
		return { firstMs, allMs, wrong };
	} finally {
		await ends.run();
	}
}

async function serfPool(ends: Ends): Promise<Pool> {
	const sightings = new Sightings();
	const start = async (i: number, join: string | undefined) => {
		const name = `serf-${i}`;
		return startAgent(ends, name, {
			profile: 'lan',
			...(join === undefined ? {} : { join }),
			onLine: (line) => {
				const event = /serf: EventMember(?<what>Join|Failed): (?<of>\S+)/.exec(line)?.groups;
				if (event !== undefined) sightings.saw(event['what'] === 'Join' ? 'join' : 'failed', name, event['of'] ?? '');
			},
		});
	};
	const agents = [await start(0, undefined)];
	while (agents.length < nodes) {
		const count = Math.min(startedAtOnce, nodes - agents.length);
		const more = Array.from({ length: count }, (_, i) => start(agents.length + i, agents[0]?.address));
		agents.push(...(await Promise.all(more)));
	}
	await eventually('all are heard of', () => sightings.met.size === nodes, settled);
	return { met: sightings.met, failed: sightings.failed, victims: agents.slice(1) };
}

async function ownPool(ends: Ends, victims: number): Promise<Pool> {
	const sightings = new Sightings();
	const names = Array.from({ length: nodes }, (_, i) => `ours-${i}`);
	const shared = names.slice(victims);
	const groups = Array.from({ length: sharedProcesses }, (_, at) =>
		shared.filter((_name, i) => i % sharedProcesses === at),
	);
	let seed = '';
	for (const group of groups) {
		const child = await startChild(ends, sightings, seed, group);
		if (seed === '') seed = child.address;
	}
	const started = await Promise.all(
		names.slice(0, victims).map(async (name) => {
			const child = await startChild(ends, sightings, seed, [name]);
			return { name, process: child.process };
		}),
	);
	await eventually('all are heard of', () => sightings.met.size === nodes, settled);
	return { met: sightings.met, failed: sightings.failed, victims: started };
}

async function startChild(
	ends: Ends,
	sightings: Sightings,
	seed: string,
	names: readonly string[],
): Promise<{ readonly process: ChildProcess; readonly address: string }> {
	const child = spawn(process.execPath, [childScript, seed, ...names], { stdio: ['pipe', 'pipe', 'inherit'] });
	const ended = once(child, 'close');
	ends.teardown(async () => {
		child.kill('SIGKILL');
		await ended;
	});
	let address = '';
	createInterface(child.stdout).on('line', (line) => {
		const [what = '', by = '', of = ''] = line.split(' ');
		if (what === 'address') address = by;
		else sightings.saw(what === 'join' ? 'join' : 'failed', by, of);
	});
	await eventually('a process of ours runs', () => address !== '', settled);
	return { process: child, address };
}

function tableOf(serf: Detections, ours: Detections): Table {
	const row = (name: string, { firstMs, allMs, wrong }: Detections): readonly (string | number)[] => [
		name,
		median(firstMs) / 1_000,
		mean(allMs) / 1_000,
		median(allMs) / 1_000,
		Math.min(...allMs) / 1_000,
		Math.max(...allMs) / 1_000,
		wrong,
	];
	return {
		title: `one of ${nodes} nodes killed, until all others hold it failed`,
		columns: ['', 'first s', 'all: mean s', 'median s', 'min s', 'max s', 'wrongly failed'],
		rows: [row('serf', serf), row('ours', ours)],
		notes: [
			`${serf.allMs.length} kills each, one after the other in one pool; both with the constants of a LAN`,
			'serf: a process a node; ours: the killed one is a process, the others share three',
			'a detection has a spread of about a second by chance (when the victim is next probed)',
		],
		aims: [
			{
				what: 'ours over serf, mean until all hold it failed',
				figure: mean(ours.allMs) / mean(serf.allMs),
				atMost: 1.1,
				unit: 'times',
			},
		],
	};
}

function mean(values: readonly number[]): number {
	return sum(values) / values.length;
}
