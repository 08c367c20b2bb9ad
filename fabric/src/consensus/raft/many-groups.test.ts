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
import { SharedTicks } from './ticks.js';

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

test('shared ticks run while somebody wants them, all in one turn', async (t) => {
	const clock = new ManualClock();
	const ticks = new SharedTicks(clock, 10);
	const seen: string[] = [];
	const a = ticks.add(() => seen.push('a'));
	const b = ticks.add(() => {
		seen.push('b');
		if (seen.length > 3) b.cancel();
	});
	await clock.run(25);
	t.deepEqual(seen, ['a', 'b', 'a', 'b']);
	await clock.run(10);
	t.deepEqual(seen.slice(4), ['a']);
	a.cancel();
	await clock.run(50);
	t.is(seen.length, 5);
	ticks.add(() => seen.push('c'));
	await clock.run(10);
	t.is(seen.at(-1), 'c');
});

test('a group whose tick throws keeps no other from its own, and the error comes out of the timer', async (t) => {
	const clock = new ManualClock();
	const ticks = new SharedTicks(clock, 10);
	const seen: string[] = [];
	ticks.add(() => seen.push('before'));
	const broken = ticks.add(() => {
		throw new Error('broken group');
	});
	ticks.add(() => seen.push('after'));
	await t.throwsAsync(clock.run(10), { message: 'broken group' });
	t.deepEqual(seen, ['before', 'after']);
	broken.cancel();
	await clock.run(10);
	t.deepEqual(seen, ['before', 'after', 'before', 'after']);
});
