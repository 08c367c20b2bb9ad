import { swimBounds, swimProfiles } from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { agrees, Pool, type PoolNode } from './pool.js';

test('a hundred members that start at once by one seed see each other within seconds', (t) => {
	const pool = new Pool({ seed: 1 });
	const nodes = pool.add(100);
	for (const node of nodes) pool.start(node, [nodes[0] as PoolNode]);
	t.true(
		pool.run(5_000, () => agrees(pool)),
		`took ${pool.nowMs} ms`,
	);
});

test('one more member is seen by a hundred within two seconds, at 10 % loss', (t) => {
	const pool = new Pool({ seed: 2, loss: 0.1 });
	const nodes = pool.startKnown(100);
	pool.run(5_000);
	const [late] = pool.add(1) as [PoolNode];
	pool.start(late, [nodes[0] as PoolNode]);
	t.true(pool.run(pool.nowMs + 2_500, () => agrees(pool)));
});

test('a death among a hundred is seen by all within its suspicion and a few intervals', (t) => {
	const pool = new Pool({ seed: 3 });
	const nodes = pool.startKnown(100);
	pool.run(5_000);
	pool.crash(nodes[50] as PoolNode);
	const atMs = pool.nowMs;
	t.true(pool.run(atMs + 20_000, () => agrees(pool)));
	// Shortest suspicion of 100: 4 · log10(100) · 1 s.
	t.true(pool.nowMs - atMs >= 8_000 && pool.nowMs - atMs < 14_000, `${pool.nowMs - atMs} ms`);
});

test('a mass restart settles although everybody holds everybody dead', (t) => {
	for (const wiped of [false, true]) {
		const pool = new Pool({ seed: 4 });
		const nodes = pool.startKnown(60);
		pool.run(5_000);
		for (const node of nodes.slice(0, 59)) pool.crash(node);
		pool.run(90_000, () => (nodes[59] as PoolNode).core.liveMembers === 1);
		for (const node of nodes.slice(0, 59)) pool.start(node, nodes.slice(57), { wiped });
		t.true(
			pool.run(pool.nowMs + 60_000, () => agrees(pool)),
			wiped ? 'without disks' : 'with disks',
		);
	}
});

test('seeds are retried for ever: a member that starts alone joins when its seed comes', (t) => {
	const pool = new Pool({ seed: 5 });
	const [seed, alone] = pool.add(2) as [PoolNode, PoolNode];
	pool.start(alone, [seed]);
	pool.run(3_600_000);
	t.is(alone.core.liveMembers, 1);
	pool.start(seed);
	t.true(pool.run(pool.nowMs + swimProfiles.lan.seedBackoffMaxMs + 5_000, () => agrees(pool)));
});

test('an observer that stood still for five seconds accuses nobody', (t) => {
	const pool = new Pool({ seed: 6 });
	const nodes = pool.startKnown(20);
	const observer = nodes[0] as PoolNode;
	for (let i = 0; i < 30; i++) {
		pool.run(pool.nowMs + 3_000 + i * 37);
		pool.block(observer, 5_000);
		pool.run(pool.nowMs + 5_000);
	}
	pool.run(pool.nowMs + 30_000);
	t.true(observer.core.counters.stalls >= 30);
	t.is(
		nodes.reduce((deaths, node) => deaths + node.core.counters.deaths, 0),
		0,
	);
	t.is(observer.core.counters.probesFailed, 0);
	t.is(observer.core.healthScore, 0);
});

test('standstill that the owner reports counts like that which the core notices', (t) => {
	const pool = new Pool({ seed: 7 });
	const nodes = pool.startKnown(5);
	const observer = nodes[0] as PoolNode;
	pool.run(5_000);
	pool.give(observer, { kind: 'lag', lagMs: 4_000 });
	t.is(observer.core.counters.stalls, 1);
	t.is(observer.core.counters.stallMs, 4_000);
	t.is(observer.core.healthScore, 4);
	pool.give(observer, { kind: 'lag', lagMs: 4_000 });
	t.is(observer.core.counters.stallMs, 4_000, 'the same time is not forgiven twice');
});

test('starved members do not make the healthy die, where plain SWIM lets many', (t) => {
	const falseDeaths = (plainSwim: boolean): number => {
		let count = 0;
		const pool = new Pool({
			seed: 8,
			plainSwim,
			watch: (_atMs, _node, event) => {
				if (event.kind === 'failed' && !starved.has(event.member.id)) count++;
			},
		});
		const nodes = pool.startKnown(64);
		const random = new SeededRandom(8, 5);
		const starved = new Set(nodes.slice(0, 4).map(({ id }) => id));
		for (const node of nodes.slice(0, 4)) pool.starve(node, () => 10 * 100 ** random.nextFloat());
		pool.run(120_000);
		return count;
	};
	const plain = falseDeaths(true);
	const ours = falseDeaths(false);
	t.true(plain >= 50, `plain SWIM: ${plain}`);
	t.true(ours * 50 <= plain, `${ours} against ${plain}`);
});

test('messages of a member do not grow with the pool', (t) => {
	const perSecond = (members: number): number => {
		const pool = new Pool({ seed: 9 });
		const nodes = pool.startKnown(members);
		pool.run(10_000);
		const before = nodes.reduce((sum, node) => sum + node.packetsSent, 0);
		pool.run(20_000);
		return (nodes.reduce((sum, node) => sum + node.packetsSent, 0) - before) / members / 10;
	};
	const [small, large] = [perSecond(50), perSecond(800)];
	t.true(large <= small * 1.1, `${small} and ${large} packets a second`);
});

test('a flood of broadcasts stays within its bound, and an oversized one goes by stream', (t) => {
	const heard = new Set<string>();
	const pool = new Pool({
		seed: 10,
		watch: (_atMs, node, event) => {
			if (event.kind === 'user' && event.key === 'big') heard.add(node.id);
		},
	});
	const nodes = pool.startKnown(10);
	const [a] = nodes as [PoolNode];
	for (let i = 0; i < swimBounds.broadcastsMax + 500; i++)
		pool.give(a, { kind: 'broadcast', key: `k${i}`, payload: new Uint8Array(10) });
	t.is(a.core.queuedBroadcasts, swimBounds.broadcastsMax);
	t.true(a.core.evictedBroadcasts >= 500);
	pool.give(a, { kind: 'broadcast', key: 'big', payload: new Uint8Array(20_000) });
	t.is(a.core.counters.broadcastsOversized, 1);
	pool.run(pool.nowMs + 1_000);
	t.is(heard.size, 9);
	t.throws(
		() => pool.give(a, { kind: 'broadcast', key: 'k', payload: new Uint8Array(swimBounds.userStreamMaxBytes + 1) }),
		{
			code: 'IM_MEMBERSHIP_OVERSIZED',
		},
	);
});

test('a newer address of a member is taken at once, and an update reaches all', (t) => {
	const pool = new Pool({ seed: 11 });
	const nodes = pool.startKnown(30);
	pool.run(3_000);
	const moved = nodes[4] as PoolNode;
	pool.give(moved, { kind: 'update', address: '10.200.0.1:8946', meta: Uint8Array.of(9) });
	const knows = (node: PoolNode): boolean => node.core.member(moved.id)?.claim.address === '10.200.0.1:8946';
	t.true(pool.run(6_000, () => nodes.every((node) => node === moved || knows(node))));
});

test('the dead are forgotten after their time, and by an operator at once', (t) => {
	const reaped: string[] = [];
	const pool = new Pool({
		seed: 12,
		settings: { ...swimProfiles.lan, reapMs: 60_000 },
		watch: (_atMs, node, event) => {
			if (event.kind === 'reaped') reaped.push(`${node.number} ${event.id}`);
		},
	});
	const nodes = pool.startKnown(4);
	const [a, b, c, d] = nodes as [PoolNode, PoolNode, PoolNode, PoolNode];
	pool.crash(d);
	pool.run(20_000, () => agrees(pool));
	pool.give(a, { kind: 'forget', id: d.id });
	pool.give(a, { kind: 'forget', id: b.id });
	t.deepEqual(reaped, [`0 ${d.id}`], 'only the dead can be forgotten');
	pool.run(120_000);
	t.is(b.core.member(d.id), undefined);
	t.is(c.core.member(d.id), undefined);
	t.is(a.core.liveMembers, 3);
});

test("under memberlist's rules an unsigned pool joins, sees a death and a leave", (t) => {
	const pool = new Pool({ seed: 13, unsigned: true });
	const nodes = pool.add(10);
	for (const node of nodes) pool.start(node, [nodes[0] as PoolNode]);
	t.true(pool.run(20_000, () => agrees(pool)));
	pool.crash(nodes[3] as PoolNode);
	t.true(pool.run(pool.nowMs + 20_000, () => agrees(pool)));
	const leaver = nodes[4] as PoolNode;
	pool.give(leaver, { kind: 'leave' });
	pool.run(pool.nowMs + 3_000);
	pool.crash(leaver);
	pool.run(pool.nowMs + 20_000);
	for (const node of nodes) if (node.up) t.is(node.core.member(leaver.id)?.state, 'left');
});

test('a member that stands still for five seconds is not declared dead, however small the pool; three declare it within ten', (t) => {
	for (const members of [3, 5, 9, 16])
		for (let seed = 1; seed <= 30; seed++)
			for (const standstillMs of members === 3 ? [5_000, 10_000] : [5_000]) {
				let deaths = 0;
				const pool = new Pool({
					seed,
					watch: (_atMs, _node, event) => {
						if (event.kind === 'failed') deaths++;
					},
				});
				const nodes = pool.startKnown(members);
				pool.run(10_000 + seed * 137);
				pool.block(nodes[0] as PoolNode, standstillMs);
				pool.run(pool.nowMs + standstillMs + 15_000);
				t.is(
					deaths > 0,
					standstillMs > 5_000,
					`${members} members, seed ${seed}, ${standstillMs} ms: ${deaths} deaths`,
				);
			}
});
