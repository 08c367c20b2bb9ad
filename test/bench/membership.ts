// Owns the figures of membership, all simulated: false deaths under starved members for plain SWIM and ours, detection time against false deaths over
// settings, how fast one update is known by a pool, its traffic, and how storms settle. Real processes beside serf are measured elsewhere.
import { type SwimMutation, type SwimSettings, swimProfiles } from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import { agrees, Pool, type PoolNode } from '../sim/membership/pool.js';
import type { Bench, BenchContext, Table } from './bench.js';

interface Variant {
	readonly name: string;
	readonly plainSwim?: boolean;
	readonly mutations?: readonly SwimMutation[];
}

const plain: Variant = { name: 'plain SWIM', plainSwim: true };
const published: Variant = { name: 'Lifeguard as published', mutations: ['accuse-after-own-stall'] };
const ours: Variant = { name: 'ours' };

interface Starvation {
	readonly variant: Variant;
	readonly seed: number;
	readonly members: number;
	readonly starved: number;
	readonly minutes: number;
	readonly settings?: SwimSettings;
	/** Healthy members killed during the run, one after the other. */
	readonly kills?: number;
}

interface Outcome {
	/** Deaths told of members that were neither starved nor killed, counted once per observer. */
	falseDeaths: number;
	/** Of those, told by observers that were not starved. */
	atHealthy: number;
	/** Seconds from a kill to the first and the last healthy observer's word of it. */
	first: number[];
	all: number[];
}

/** A starved member's turn on the processor runs one event, then it waits 10 ms to 1 s (log-uniform): about three events a second. */
function starvation(run: Starvation): Outcome {
	const outcome: Outcome = { falseDeaths: 0, atHealthy: 0, first: [], all: [] };
	const starved = new Set<PoolNode>();
	const killed = new Map<string, { readonly atMs: number; observers: number }>();
	const { plainSwim, mutations } = run.variant;
	const pool = new Pool({
		seed: run.seed,
		settings: run.settings ?? swimProfiles.lan,
		...(plainSwim === undefined ? {} : { plainSwim }),
		...(mutations === undefined ? {} : { mutations }),
		watch: (atMs, node, event) => {
			if (event.kind !== 'failed') return;
			const kill = killed.get(event.member.id);
			if (kill !== undefined) {
				if (starved.has(node)) return;
				kill.observers++;
				if (kill.observers === 1) outcome.first.push((atMs - kill.atMs) / 1_000);
				const healthy = nodes.filter((one) => one.up && !starved.has(one)).length;
				if (kill.observers === healthy) outcome.all.push((atMs - kill.atMs) / 1_000);
			} else if (![...starved].some(({ id }) => id === event.member.id)) {
				outcome.falseDeaths++;
				if (!starved.has(node)) outcome.atHealthy++;
			}
		},
	});
	const nodes = pool.startKnown(run.members);
	const random = new SeededRandom(run.seed, 4_242);
	pool.run(3_000);
	for (const node of nodes.slice(0, run.starved)) {
		starved.add(node);
		pool.starve(node, () => 10 * 100 ** random.nextFloat());
	}
	for (let i = 0; i < (run.kills ?? 0); i++) {
		const victim = nodes[nodes.length - 1 - i] as PoolNode;
		pool.at(10_000 + i * 45_000, () => {
			killed.set(victim.id, { atMs: pool.nowMs, observers: 0 });
			pool.crash(victim);
		});
	}
	pool.run(run.minutes * 60_000);
	return outcome;
}

function falsePositives(context: BenchContext): Table {
	const counts = context.quick ? [4] : [1, 2, 4, 8, 16];
	const seeds = context.quick ? [1] : [1, 2, 3];
	const minutes = context.quick ? 2 : 5;
	const rows: (string | number)[][] = [];
	const totals = new Map<Variant, number>();
	for (const starved of counts)
		for (const variant of [plain, published, ours]) {
			const sum = { falseDeaths: 0, atHealthy: 0 };
			for (const seed of seeds) {
				const one = starvation({ variant, seed, members: 100, starved, minutes });
				sum.falseDeaths += one.falseDeaths;
				sum.atHealthy += one.atHealthy;
			}
			totals.set(variant, (totals.get(variant) ?? 0) + sum.falseDeaths);
			rows.push([starved, variant.name, sum.falseDeaths, sum.atHealthy]);
			context.progress(`  ${starved} starved, ${variant.name}: ${sum.falseDeaths}`);
		}
	const [of, than] = [totals.get(ours) ?? 0, totals.get(plain) ?? 0];
	return {
		title: `False deaths of healthy members, 100 members, ${minutes} min × ${seeds.length} seeds, LAN profile`,
		columns: ['starved', 'variant', 'false deaths', 'at healthy observers'],
		rows,
		notes: [
			'A starved member runs one event in a turn and waits 10 ms to 1 s (log-uniform) for the next.',
			'Lifeguard as published is ours without the forgiveness of own standstill.',
		],
		aims: [{ what: 'ours over plain SWIM', figure: of / Math.max(1, than), atMost: 1 / 50, unit: '' }],
	};
}

function detection(context: BenchContext): Table {
	const seeds = context.quick ? [1] : [1, 2, 3];
	const kills = context.quick ? 2 : 6;
	const minutes = kills * 0.75 + 1;
	const rows: (string | number)[][] = [];
	const multipliers = context.quick ? [4] : [1, 2, 3, 4, 5, 6];
	for (const variant of [plain, ours])
		for (const suspicionMultiplier of multipliers) {
			const settings = { ...swimProfiles.lan, suspicionMultiplier };
			const sum: Outcome = { falseDeaths: 0, atHealthy: 0, first: [], all: [] };
			for (const seed of seeds) {
				const one = starvation({ variant, seed, members: 32, starved: 4, minutes, kills, settings });
				sum.falseDeaths += one.falseDeaths;
				sum.first.push(...one.first);
				sum.all.push(...one.all);
			}
			rows.push([
				variant.name,
				suspicionMultiplier,
				quantile(sum.first, 0.5),
				quantile(sum.all, 0.5),
				quantile(sum.all, 1),
				sum.falseDeaths,
			]);
			context.progress(`  ${variant.name}, multiplier ${suspicionMultiplier}`);
		}
	return {
		title: `Detection time against false deaths, 32 members of which 4 are starved, ${kills} kills × ${seeds.length} seeds`,
		columns: ['variant', 'suspicion multiplier', 'first s p50', 'all s p50', 'all s max', 'false deaths'],
		rows,
		notes: ['Time from the kill to the word of the first and of the last healthy observer.'],
		aims: [],
	};
}

function spreading(context: BenchContext): Table {
	const rows: (string | number)[][] = [];
	let p99 = 0;
	const sizes = context.quick ? [100, 1_000] : [100, 1_000, 10_000];
	for (const members of sizes) {
		const startedMs = performance.now();
		let sinceMs = 0;
		const heard: number[] = [];
		const pool = new Pool({
			seed: 3,
			loss: 0.1,
			watch: (atMs, _node, event) => {
				if (event.kind === 'user') heard.push((atMs - sinceMs) / 1_000);
			},
		});
		const nodes = pool.startKnown(members);
		// The alive claims of the start, that everybody knows already, are still going round.
		pool.run(10_000);
		const before = traffic(nodes);
		pool.run(20_000);
		const after = traffic(nodes);
		const times: number[] = [];
		for (let i = 0; i < 3; i++) {
			heard.length = 0;
			sinceMs = pool.nowMs;
			pool.give(nodes[i * 7] as PoolNode, { kind: 'broadcast', key: `update ${i}`, payload: new Uint8Array(100) });
			pool.run(sinceMs + 8_000);
			// Who never heard counts as never.
			while (heard.length < members - 1) heard.push(Number.POSITIVE_INFINITY);
			times.push(...heard);
		}
		const victim = nodes[members - 1] as PoolNode;
		pool.crash(victim);
		const killedMs = pool.nowMs;
		pool.run(killedMs + 90_000, () => nodes.every((node) => !node.up || node.core.member(victim.id)?.state === 'dead'));
		if (members === 1_000) p99 = quantile(times, 0.99);
		rows.push([
			members,
			quantile(times, 0.5),
			quantile(times, 0.99),
			quantile(times, 1),
			round((after.packets - before.packets) / members / 10),
			Math.round((after.bytes - before.bytes) / members / 10),
			round((pool.nowMs - killedMs) / 1_000),
			round((performance.now() - startedMs) / 1_000),
		]);
		context.progress(`  ${members} members`);
	}
	return {
		title: 'One update in a pool at 10 % loss, LAN profile',
		columns: [
			'members',
			'known s p50',
			'p99',
			'all',
			'idle packets/s a member',
			'idle bytes/s a member',
			'kill seen by all s',
			'real s',
		],
		rows,
		notes: [
			'Seconds are simulated but for the last column. Three updates a pool; bytes by the sizes of the mesh codec.',
		],
		aims: [{ what: '1,000 members: one update known, p99', figure: p99, atMost: 2, unit: 's' }],
	};
}

/** How long it takes to fill packets from a queue of so many broadcasts, sized by the mesh's codec, until all are sent as often as they are. */
function filling(context: BenchContext): Table {
	const members = 1_000;
	const rows: (string | number)[][] = [];
	for (const queued of context.quick ? [100, 1_000] : [10, 100, 1_000, 4_000]) {
		const pool = new Pool({ seed: 9 });
		const [node] = pool.startKnown(members);
		if (node === undefined) throw new Error('a pool of nobody');
		const { core } = node;
		let nowMs = 1;
		const runDry = (): { readonly packets: number; readonly tookMs: number } => {
			let packets = 0;
			const startedMs = performance.now();
			while (core.queuedBroadcasts > 0) {
				nowMs += 200;
				for (const effect of core.step({ kind: 'tick' }, nowMs))
					if (effect.kind === 'packet' && effect.messages.length > 1) packets++;
			}
			return { packets, tookMs: performance.now() - startedMs };
		};
		runDry();
		const random = new SeededRandom(9, queued);
		for (let at = 0; at < queued; at++) {
			const payload = new Uint8Array(random.nextU32() % 400);
			core.step({ kind: 'broadcast', key: `update ${at}`, payload }, nowMs);
		}
		const { packets, tookMs } = runDry();
		rows.push([queued, packets, round((tookMs * 1_000) / packets)]);
		context.progress(`  ${queued} queued`);
	}
	return {
		title: `Filling packets, ${members} members, broadcasts of 100 to 500 bytes`,
		columns: ['queued', 'packets', 'µs a packet'],
		rows,
		notes: ['Real time of the whole core, its probes included, over the packets that carried more than one message.'],
		aims: [],
	};
}

function storms(context: BenchContext): Table {
	const members = context.quick ? 200 : 1_000;
	const rows: (string | number)[][] = [];
	const settle = (name: string, pool: Pool, withinMs: number): void => {
		const fromMs = pool.nowMs;
		const settled = pool.run(fromMs + withinMs, () => agrees(pool));
		rows.push([
			name,
			members,
			settled ? round((pool.nowMs - fromMs) / 1_000) : 'not within the bound',
			withinMs / 1_000,
		]);
		context.progress(`  ${name}`);
	};
	const joining = new Pool({ seed: 5, loss: 0.1 });
	const joiners = joining.add(members);
	for (const node of joiners) joining.start(node, joiners.slice(0, 3));
	settle('all join at once by three seeds', joining, 60_000);

	for (const wiped of [false, true]) {
		const pool = new Pool({ seed: 6, loss: 0.1 });
		const nodes = pool.startKnown(members);
		pool.run(5_000);
		for (const node of nodes.slice(0, -3)) pool.crash(node);
		const survivor = nodes[members - 1] as PoolNode;
		pool.run(120_000, () => survivor.core.liveMembers === 3);
		for (const node of nodes.slice(0, -3)) pool.start(node, nodes.slice(-3), { wiped });
		settle(`all but three restart after they were seen dead${wiped ? ', without disks' : ''}`, pool, 120_000);
	}

	const split = new Pool({ seed: 7, loss: 0.1 });
	const halves = split.startKnown(members);
	const side = (node: PoolNode): number => node.number % 2;
	split.reaches = (from, to) => side(from) === side(to);
	split.run(120_000, () => halves.every((node) => node.core.liveMembers === members / 2));
	split.reaches = () => true;
	settle('a partition into halves heals', split, 180_000);
	return {
		title: 'Storms at 10 % loss, LAN profile: time until all agree',
		columns: ['storm', 'members', 'settled s', 'bound s'],
		rows,
		notes: [],
		aims: [],
	};
}

function traffic(nodes: readonly PoolNode[]): { readonly packets: number; readonly bytes: number } {
	const packets = nodes.reduce((sum, node) => sum + node.packetsSent, 0);
	return { packets, bytes: nodes.reduce((sum, node) => sum + node.bytesSent, 0) };
}

/** Nearest rank, rounded for a table; infinity when there is nothing. */
function quantile(values: readonly number[], of: number): number {
	const sorted = values.toSorted((a, b) => a - b);
	return round(sorted[Math.max(0, Math.ceil(sorted.length * of) - 1)] ?? Number.POSITIVE_INFINITY);
}

function round(value: number): number {
	return Math.round(value * 100) / 100;
}

export const membershipBench: Bench = {
	name: 'membership',
	summary: 'gossip, simulated: false deaths, detection, spreading to 10,000 members, storms',
	run: (context) =>
		Promise.resolve([
			falsePositives(context),
			detection(context),
			spreading(context),
			filling(context),
			storms(context),
		]),
};
