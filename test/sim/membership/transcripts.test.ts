import { LinkTable, swimProfiles, Vivaldi } from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { agrees, type Pool, type PoolNode, type PoolOptions } from './pool.js';
import { Story } from './transcript.js';

type Four = [PoolNode, PoolNode, PoolNode, PoolNode];

/** Four members that know each other, with nothing left to say. */
function settled(seed: number, options: Pick<PoolOptions, 'watch'> = {}): { story: Story; nodes: Four; pool: Pool } {
	const story = new Story({ seed, ...options });
	story.quiet = true;
	const nodes = story.pool.startKnown(4) as Four;
	story.pool.run(3_000);
	story.quiet = false;
	return { story, nodes, pool: story.pool };
}

test('a member joins by a seed', (t) => {
	const story = new Story({ seed: 1 });
	const [a, b, c] = story.pool.add(3) as [PoolNode, PoolNode, PoolNode];
	story.say('A and B are a pool; C joins by A');
	story.quiet = true;
	story.pool.start(a);
	story.pool.start(b, [a]);
	story.pool.run(3_000);
	story.quiet = false;
	story.pool.start(c, [a]);
	t.true(story.pool.run(5_000, () => agrees(story.pool)));
	story.compare(t, 'join');
});

test('a member dies: probe, helpers and stream, suspicion, confirmation, death', (t) => {
	const { story, nodes, pool } = settled(2);
	const [, , , d] = nodes;
	story.about = d;
	story.say('D is killed');
	pool.crash(d);
	t.true(pool.run(20_000, () => nodes.slice(0, 3).every((node) => node.core.member(d.id)?.state === 'dead')));
	story.compare(t, 'death');
});

test('a suspect that can hear refutes, told by its prober (buddy)', (t) => {
	const { story, nodes, pool } = settled(3);
	const [a, , , d] = nodes;
	story.about = d;
	story.say('nothing from D arrives for two seconds, then the path is whole again');
	pool.reaches = (from) => from !== d;
	t.true(pool.run(8_000, () => a.core.member(d.id)?.state === 'suspect'));
	story.say('A suspects D; the path is whole');
	pool.reaches = () => true;
	t.true(pool.run(20_000, () => agrees(pool)));
	t.true(d.core.counters.refutations > 0);
	story.compare(t, 'refutation');
});

test('a helper that cannot reach the target either says so (nack), so that the prober does not doubt itself', (t) => {
	const { story, nodes, pool } = settled(4);
	const [, , , d] = nodes;
	story.say('D is killed, until one has probed it in vain');
	pool.crash(d);
	const prober = (): PoolNode | undefined => nodes.find((node) => node.core.counters.probesFailed > 0);
	t.true(pool.run(15_000, () => prober() !== undefined));
	t.is(prober()?.core.counters.nacksReceived, 2);
	t.is(prober()?.core.healthScore, 0);
	story.compare(t, 'nack');
});

test('packets are blocked and connections are not: alive, with a warning', (t) => {
	const { story, nodes, pool } = settled(5);
	const [a, , , d] = nodes;
	story.about = a;
	story.say('packets between A and D, and between helpers and D, are lost; connections pass');
	pool.packetLost = (from, to) => from === d || to === d;
	t.true(pool.run(10_000, () => a.core.counters.streamProbesAnswered > 0));
	t.is(a.core.member(d.id)?.state, 'alive');
	story.compare(t, 'packets-blocked');
});

test('two members do not get through to each other, others do to both: alive, and told to be out of reach', (t) => {
	const own = new Vivaldi(new SeededRandom(1)).coordinate;
	const links = new LinkTable('A', { zone: '', region: '' });
	const tables = new Map<PoolNode, LinkTable>();
	const { story, nodes, pool } = settled(7, {
		watch(_atMs, node, event) {
			if (event.kind === 'unreached') tables.get(node)?.failed(event.id);
		},
	});
	const [a, , , d] = nodes;
	tables.set(a, links);
	links.coordinate(d.id, own, 0);
	story.about = a;
	story.say('nothing passes between A and D; B and C hear both');
	pool.reaches = (from, to) => !((from === a && to === d) || (from === d && to === a));
	const estimate = () => links.estimate(d.id, own, 1);
	t.is(estimate().basis, 'estimated');
	t.true(pool.run(30_000, () => estimate().reach === 'unreachable'));
	t.is(estimate().basis, 'unreachable');
	t.is(a.core.member(d.id)?.state, 'alive');
	story.compare(t, 'out-of-reach');
});

test('a member leaves', (t) => {
	const { story, nodes, pool } = settled(6);
	const [, , , d] = nodes;
	story.about = d;
	pool.give(d, { kind: 'leave' });
	t.true(pool.run(5_000, () => nodes.slice(0, 3).every((node) => node.core.member(d.id)?.state === 'left')));
	pool.crash(d);
	pool.run(20_000);
	t.true(nodes.slice(0, 3).every((node) => node.core.member(d.id)?.state === 'left'));
	story.compare(t, 'leave');
});

test('a member restarts with the incarnation it had made durable', (t) => {
	const { story, nodes, pool } = settled(7);
	const [a, , , d] = nodes;
	story.about = d;
	pool.crash(d);
	story.quiet = true;
	t.true(pool.run(20_000, () => nodes.slice(0, 3).every((node) => node.core.member(d.id)?.state === 'dead')));
	story.quiet = false;
	story.say('D is dead for all; it starts again');
	pool.start(d, [a]);
	t.true(pool.run(25_000, () => agrees(pool)));
	story.compare(t, 'restart');
});

test('a member restarts without its disk, hears what is held against it, and refutes', (t) => {
	const { story, nodes, pool } = settled(8);
	const [a, , , d] = nodes;
	story.about = d;
	for (let i = 0; i < 3; i++) pool.give(d, { kind: 'update', meta: Uint8Array.of(i) });
	story.quiet = true;
	pool.run(5_000);
	pool.crash(d);
	t.true(pool.run(30_000, () => nodes.slice(0, 3).every((node) => node.core.member(d.id)?.state === 'dead')));
	story.quiet = false;
	story.say('D died at incarnation 4; it starts again with nothing');
	pool.start(d, [a], { wiped: true });
	t.true(pool.run(40_000, () => agrees(pool)));
	t.true(d.core.self.incarnation > 4);
	story.compare(t, 'restart-wiped');
});

test('a partition heals by the attempts to reach the failed', (t) => {
	const story = new Story({ seed: 9, settings: { ...swimProfiles.lan, reconnectIntervalMs: 5_000 } });
	story.quiet = true;
	const nodes = story.pool.startKnown(4) as Four;
	const [a, b] = nodes;
	const side = (node: PoolNode): boolean => node === a || node === b;
	story.pool.run(3_000);
	story.pool.reaches = (from, to) => side(from) === side(to);
	t.true(story.pool.run(60_000, () => nodes.every((node) => node.core.liveMembers === 2)));
	story.quiet = false;
	story.say('A B and C D believe each other dead; the partition ends');
	story.pool.reaches = () => true;
	t.true(story.pool.run(story.pool.nowMs + 60_000, () => agrees(story.pool)));
	story.compare(t, 'partition-heal');
});
