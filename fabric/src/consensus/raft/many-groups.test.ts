// Many Raft groups of one process on one log, one transport and one timer, over real connections and a real disk.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { LogThread, logThreadDefaults } from '../../log/thread/thread-log.js';
import { foundedGroup, foundingWrite } from './bootstrap.js';
import { RaftGroup } from './group.js';
import { raftGroupSettings } from './options.js';
import { LogMachine } from './testing/log-machine.js';
import { LoopbackNode } from './testing/loopback.js';
import { ManualClock } from './testing/manual-clock.js';
import { realClock, until } from './testing/real-clock.js';
import { SharedTicks, type Ticked } from './ticks.js';

const GROUPS = 24;
const ids = ['a', 'b', 'c'];
const numbers = Array.from({ length: GROUPS }, (_, at) => at + 1);

interface Node {
	readonly folder: string;
	readonly log: LogThread;
	readonly loopback: LoopbackNode;
	readonly groups: RaftGroup[];
	readonly machines: LogMachine[];
}

async function start(id: string, addresses: Map<string, string>): Promise<Node> {
	const folder = mkdtempSync(join(tmpdir(), 'infermesh-groups-'));
	const log = await LogThread.open(folder, realClock, {
		...logThreadDefaults,
		log: { ...logThreadDefaults.log, segmentBytes: 16 * 1024 * 1024 },
	});
	const founded = foundedGroup(ids);
	await new Promise<void>((resolve, reject) =>
		log.append(
			numbers.map((group) => foundingWrite(group, founded)),
			resolve,
			reject,
		),
	);
	const loopback = new LoopbackNode(id, addresses);
	await loopback.listen();
	const ticks = new SharedTicks(realClock, raftGroupSettings.tickMs);
	const machines = numbers.map(() => new LogMachine());
	const groups = numbers.map(
		(group, at) =>
			new RaftGroup({
				group,
				id,
				clock: realClock,
				random: new SeededRandom(group, id.charCodeAt(0)),
				log,
				snapshots: log.snapshots,
				transport: loopback.transport,
				stateMachine: machines[at] as LogMachine,
				recovered: founded,
				addressOf: () => undefined,
				defer: setImmediate,
				ticks,
			}),
	);
	return { folder, log, loopback, groups, machines };
}

const stopped = new Set<Node>();

async function stop(node: Node): Promise<void> {
	if (stopped.has(node)) return;
	stopped.add(node);
	const { groups, loopback, log } = node;
	await Promise.all(groups.map((group) => group.close()));
	loopback.close();
	await log.close();
}

/** The leaders there are, in the order of the groups. */
const leaders = (nodes: readonly Node[]): RaftGroup[] =>
	numbers.flatMap((_, at) => nodes.flatMap(({ groups }) => groups.slice(at, at + 1)).filter((group) => group.leads()));

/** One command in each group, at its leader. */
async function writeAll(nodes: readonly Node[], text: string): Promise<void> {
	await until('each group has a leader', () => leaders(nodes).length === GROUPS);
	await Promise.all(leaders(nodes).map((leader, at) => leader.propose(Buffer.from(`${text} ${at}`), 15_000)));
}

test('groups share a log, a timer and the way to each peer, and each is a group of its own', async (t) => {
	const addresses = new Map<string, string>();
	const nodes = await Promise.all(ids.map((id) => start(id, addresses)));
	t.teardown(async () => {
		await Promise.all(nodes.map(stop));
		for (const { folder } of nodes) rmSync(folder, { recursive: true, force: true });
	});
	await writeAll(nodes, 'first');
	for (const [at] of numbers.entries())
		await until(`all have applied group ${at}`, () =>
			nodes.every(({ machines }) => machines[at]?.commands.includes(`first ${at}`) === true),
		);
	const counted = () => nodes.map(({ loopback, log }) => ({ ...loopback.transport.counters, syncs: log.syncs.count }));
	const before = counted();
	const fromMs = realClock.nowMs();
	await until('a second has passed', () => realClock.nowMs() - fromMs > 1000);
	const ticks = (realClock.nowMs() - fromMs) / raftGroupSettings.tickMs;
	for (const [at, now] of counted().entries()) {
		const was = before[at] as (typeof before)[number];
		const batches = now.batchesSent - was.batchesSent;
		// Heartbeats of its own groups and answers to those of the others: two batches to each of two peers a tick at most.
		t.true(batches <= 4 * (ticks + 2), `${batches} batches in ${ticks} ticks`);
		t.true(now.messagesSent - was.messagesSent > GROUPS, 'and they carry the heartbeats of all groups');
		t.is(now.syncs, was.syncs, 'idle groups write nothing');
	}
	await writeAll(nodes, 'second');
	const wrote = counted().reduce((sum, { syncs }, at) => sum + syncs - (before[at]?.syncs ?? 0), 0);
	t.true(wrote < GROUPS * ids.length, `${wrote} syncs for ${GROUPS} writes on ${ids.length} members`);

	const [lost, ...rest] = nodes as [Node, Node, Node];
	await stop(lost);
	await writeAll(rest, 'third');
	for (const [at] of numbers.entries())
		await until(`both have applied group ${at}`, () =>
			rest.every(({ machines }) => machines[at]?.commands.includes(`third ${at}`) === true),
		);
	for (const [at] of numbers.entries())
		t.deepEqual(rest[0]?.machines[at]?.commands, [`first ${at}`, `second ${at}`, `third ${at}`]);
	await Promise.all(rest.map(stop));
	const again = await LogThread.open(rest[0].folder, realClock, {
		...logThreadDefaults,
		log: { ...logThreadDefaults.log, segmentBytes: 16 * 1024 * 1024 },
	});
	t.deepEqual(
		[...again.recovered.keys()].sort((x, y) => x - y),
		numbers,
	);
	await again.close();
});

/** A group that wants every tick, or as it says. */
function member(seen: string[], name: string, idle: () => number = () => 1): Ticked {
	return {
		tick: (count) => void seen.push(`${name} ${count}`),
		pass: (count) => void seen.push(`${name} passes ${count}`),
		idleTicks: idle,
	};
}

test('shared ticks run while somebody wants them, all in one turn', async (t) => {
	const clock = new ManualClock();
	const ticks = new SharedTicks(clock, 10);
	const seen: string[] = [];
	const a = ticks.add(member(seen, 'a'));
	const b = ticks.add(member(seen, 'b'));
	await clock.run(25);
	t.deepEqual(seen, ['a 1', 'b 1', 'a 1', 'b 1']);
	b.cancel();
	await clock.run(10);
	t.deepEqual(seen.slice(4), ['a 1']);
	a.cancel();
	await clock.run(50);
	t.is(seen.length, 5);
	ticks.add(member(seen, 'c'));
	await clock.run(10);
	t.is(seen.at(-1), 'c 1');
});

test('nobody is woken before something is due, and what comes in meanwhile finds the time passed', async (t) => {
	const clock = new ManualClock();
	const ticks = new SharedTicks(clock, 10);
	const seen: string[] = [];
	let idle = 20;
	const ticking = ticks.add(member(seen, 'a', () => idle));
	await clock.run(10);
	t.deepEqual(seen, ['a 1']);
	const fired = clock.fired;
	await clock.run(155);
	t.is(clock.fired, fired);
	ticking.catchUp();
	t.deepEqual(seen.slice(1), ['a passes 15']);
	ticking.plan();
	await clock.run(190);
	t.is(seen.length, 2, 'what came in put it off');
	await clock.run(10);
	t.deepEqual(seen.slice(2), ['a 20']);
	idle = 1;
	ticking.plan();
	await clock.run(20);
	t.deepEqual(seen.slice(3), ['a 1', 'a 1'], 'and what is due sooner sets the timer anew');
});

test('of a standstill half is counted, and nothing is due before what was sent meanwhile is taken in', async (t) => {
	const clock = new ManualClock();
	const ticks = new SharedTicks(clock, 10);
	const seen: string[] = [];
	const idle = { ticks: 20 };
	const ticking = ticks.add(member(seen, 'a', () => idle.ticks));
	await clock.run(10);
	clock.stall(5000);
	ticking.catchUp();
	t.deepEqual(seen, ['a 1', 'a passes 10']);
	await clock.run(90);
	t.is(seen.length, 2);
	await clock.run(20);
	t.is(seen.at(-1), 'a 10');
	clock.stall(5000);
	idle.ticks = 10;
	await clock.run(0);
	t.is(seen.length, 4);
	t.is(seen.at(-1), 'a 10', 'the timer that comes late counts half of the twenty, and says so');
	clock.stall(5000);
	idle.ticks = 1;
	await clock.run(0);
	t.is(seen.at(-1), 'a 5');
	clock.stall(5000);
	await clock.run(0);
	t.is(seen.at(-1), 'a 1', 'on a machine that is always late it comes to an end as well');
});

test('a group whose tick throws keeps no other from its own, and the error comes out of the timer', async (t) => {
	const clock = new ManualClock();
	const ticks = new SharedTicks(clock, 10);
	const seen: string[] = [];
	ticks.add(member(seen, 'before'));
	const broken = ticks.add({
		...member(seen, 'broken'),
		tick: () => {
			throw new Error('broken group');
		},
	});
	ticks.add(member(seen, 'after'));
	await t.throwsAsync(clock.run(10), { message: 'broken group' });
	t.deepEqual(seen, ['before 1', 'after 1']);
	broken.cancel();
	await clock.run(10);
	t.deepEqual(seen, ['before 1', 'after 1', 'before 1', 'after 1']);
});
