// The driver over a test clock, storage and network: what callers see of elections, failovers, lost quorums, disks that fail and members that come.
import test from 'ava';
import type { PeerId } from '../../raft/messages.js';
import { TestMesh } from './testing/test-mesh.js';

const three = ['a', 'b', 'c'];

function others(mesh: TestMesh, leader: PeerId): PeerId[] {
	return [...mesh.nodes.keys()].filter((id) => id !== leader);
}

test('what the leader or a follower proposes is applied everywhere, in one order', async (t) => {
	const mesh = new TestMesh(1);
	mesh.found(three);
	const leader = await mesh.elected();
	const calls = Array.from({ length: 30 }, (_, at) => mesh.write(three[at % 3] ?? 'a', `write ${at}`));
	const results = await mesh.outcome(Promise.all(calls));
	t.is(new Set(results.value).size, 30);
	await mesh.clock.run(300);
	const [first] = three.map((id) => mesh.node(id).machine.commands);
	for (const id of three) t.deepEqual(mesh.node(id).machine.commands, first);
	t.is(mesh.node(leader).group.status().quorum, true);
});

test('calls of one turn share a write', async (t) => {
	const mesh = new TestMesh(2);
	mesh.found(three);
	const leader = await mesh.elected();
	await mesh.clock.run(200);
	const before = mesh.node(leader).storage.syncs;
	await mesh.outcome(Promise.all(Array.from({ length: 100 }, (_, at) => mesh.write(leader, `write ${at}`))));
	t.true(mesh.node(leader).storage.syncs - before <= 3);
});

test('a write under way survives the death of the leader', async (t) => {
	const mesh = new TestMesh(3);
	mesh.found(three);
	const leader = await mesh.elected();
	const [follower = ''] = others(mesh, leader);
	const call = mesh.write(follower, 'in flight', 10_000);
	mesh.crash(leader);
	t.deepEqual(await mesh.outcome(call), { value: '0' });
	t.not(await mesh.elected(), leader);
	mesh.restart(leader);
	await mesh.clock.until(() => mesh.node(leader).machine.commands.includes('in flight'));
});

test('after a leader dies the next write commits within a second and a half', async (t) => {
	for (let seed = 10; seed < 30; seed++) {
		const mesh = new TestMesh(seed);
		mesh.found(three);
		const leader = await mesh.elected();
		await mesh.clock.run(500);
		mesh.crash(leader);
		const from = mesh.clock.nowMs();
		const [follower = ''] = others(mesh, leader);
		await mesh.outcome(mesh.write(follower, 'after', 10_000));
		t.true(mesh.clock.nowMs() - from <= 1_500, `seed ${seed}: ${mesh.clock.nowMs() - from} ms`);
	}
});

test('without a quorum a write that never left is refused, one in the log is unknown', async (t) => {
	const mesh = new TestMesh(4);
	mesh.found(three);
	const leader = await mesh.elected();
	const followers = others(mesh, leader);
	for (const id of followers) mesh.crash(id);
	t.is((await mesh.outcome(mesh.write(leader, 'taken', 2_000))).code, 'IM_CONSENSUS_TIMEOUT');
	await mesh.clock.until(() => mesh.node(leader).group.core.role !== 'leader');
	t.is((await mesh.outcome(mesh.write(leader, 'refused', 2_000))).code, 'IM_CONSENSUS_NO_QUORUM');
	for (const id of followers) mesh.restart(id);
	await mesh.elected();
	await mesh.outcome(mesh.write(leader, 'later'));
	await mesh.clock.run(500);
	for (const id of three) t.false(mesh.node(id).machine.commands.includes('refused'));
});

test('a barrier on a follower sees every acknowledged write; a cut-off leader confirms no read', async (t) => {
	const mesh = new TestMesh(5);
	mesh.found(three);
	const leader = await mesh.elected();
	const [follower = '', other = ''] = others(mesh, leader);
	await mesh.outcome(mesh.write(leader, 'one'));
	await mesh.outcome(mesh.node(follower).group.readBarrier(5_000));
	t.true(mesh.node(follower).machine.commands.includes('one'));
	mesh.network.cut.add(leader);
	t.is((await mesh.outcome(mesh.node(leader).group.readBarrier(400))).code, 'IM_CONSENSUS_NO_QUORUM');
	t.true(mesh.node(leader).group.leads() || mesh.node(leader).group.core.role !== 'leader');
	await mesh.outcome(mesh.write(other, 'two', 10_000));
	await mesh.outcome(mesh.node(follower).group.readBarrier(5_000));
	t.true(mesh.node(follower).machine.commands.includes('two'));
	mesh.network.cut.clear();
	await mesh.outcome(mesh.node(leader).group.readBarrier(10_000));
	t.true(mesh.node(leader).machine.commands.includes('two'));
});

test('a member whose disk fails stops, says so, and the others go on', async (t) => {
	const mesh = new TestMesh(6);
	mesh.found(three);
	const leader = await mesh.elected();
	const [follower = ''] = others(mesh, leader);
	mesh.node(leader).storage.failing = true;
	const lost = mesh.write(leader, 'lost');
	t.is((await mesh.outcome(lost)).code, 'IM_CONSENSUS_TIMEOUT');
	t.regex(String(mesh.node(leader).failure), /input\/output/);
	t.is((await mesh.outcome(mesh.write(leader, 'stopped'))).code, 'IM_CONSENSUS_STOPPED');
	t.is((await mesh.outcome(mesh.write(follower, 'on', 10_000))).code, undefined);
});

test('a leader with a stuck disk hands leadership over', async (t) => {
	const mesh = new TestMesh(7);
	mesh.found(three);
	const leader = await mesh.elected();
	mesh.node(leader).storage.stalled = true;
	const call = mesh.write(leader, 'stuck', 20_000);
	await mesh.clock.until(() => mesh.leader() !== undefined && mesh.leader() !== leader);
	mesh.node(leader).storage.stalled = false;
	mesh.node(leader).storage.drain();
	t.is((await mesh.outcome(call)).code, undefined);
});

test('a newcomer gets a snapshot, catches up as a learner, and is promoted', async (t) => {
	const mesh = new TestMesh(8, { snapshotEntries: 50, keepEntries: 10 });
	mesh.found(three);
	const leader = await mesh.elected();
	for (let at = 0; at < 120; at++) await mesh.outcome(mesh.write(leader, `write ${at}`));
	mesh.join('d');
	const { admin } = mesh.node(leader);
	t.is((await mesh.outcome(admin.promote('d'))).code, 'IM_CONSENSUS_CHANGE_REFUSED');
	t.deepEqual(await mesh.outcome(admin.addLearner('d')), { value: undefined });
	await mesh.clock.until(() => mesh.node('d').machine.commands.length === 120);
	t.true(mesh.network.snapshotsSent >= 1);
	t.true(mesh.node(leader).group.core.firstIndex > 50);
	t.deepEqual(await mesh.outcome(admin.promote('d')), { value: undefined });
	t.is(
		mesh
			.node(leader)
			.group.status()
			.members.filter(({ role }) => role === 'voter').length,
		4,
	);
	mesh.restart('d');
	await mesh.clock.until(() => mesh.node('d').machine.commands.length === 120);
	t.is(mesh.node('d').machine.appliedHash, mesh.node(leader).machine.appliedHash);
});

test('a member without room for a snapshot goes on, and takes it when there is room', async (t) => {
	const mesh = new TestMesh(12, { snapshotEntries: 50, keepEntries: 10, snapshotRetryMs: 1_000 });
	mesh.found(three);
	const leader = await mesh.elected();
	const { storage, group } = mesh.node(leader);
	storage.full = true;
	for (let at = 0; at < 120; at++) await mesh.outcome(mesh.write(leader, `write ${at}`));
	t.is(group.failed, undefined);
	t.is(group.status().snapshotIndex, 0);
	storage.full = false;
	await mesh.clock.run(1_000);
	await mesh.outcome(mesh.write(leader, 'with room'));
	await mesh.clock.until(() => group.status().snapshotIndex > 120);
	mesh.restart(leader);
	await mesh.clock.until(() => mesh.node(leader).machine.commands.length === 121);
});

test('members are removed only while those heard of stay a quorum; a removed leader steps down', async (t) => {
	const mesh = new TestMesh(9);
	mesh.found(three);
	const leader = await mesh.elected();
	const [follower = '', other = ''] = others(mesh, leader);
	mesh.crash(other);
	await mesh.clock.run(1_200);
	const { admin } = mesh.node(leader);
	t.is((await mesh.outcome(admin.remove(follower))).code, 'IM_CONSENSUS_CHANGE_REFUSED');
	t.is((await mesh.outcome(mesh.node(follower).admin.remove(other))).code, 'IM_CONSENSUS_NOT_LEADER');
	mesh.restart(other);
	await mesh.clock.run(1_200);
	t.deepEqual(await mesh.outcome(admin.remove(leader)), { value: undefined });
	t.not(mesh.node(leader).group.core.role, 'leader');
	const next = await mesh.elected();
	t.not(next, leader);
	t.is((await mesh.outcome(mesh.write(next, 'two of two', 10_000))).code, undefined);
});

test('leadership goes to the asked member in under 200 ms, and no write is lost on the way', async (t) => {
	const mesh = new TestMesh(31);
	mesh.found(three);
	const leader = await mesh.elected();
	const [follower = ''] = others(mesh, leader);
	const before = mesh.write(leader, 'before');
	const from = mesh.clock.nowMs();
	const transfer = mesh.node(leader).admin.transfer(follower);
	const during = mesh.write(leader, 'during', 10_000);
	t.deepEqual(await mesh.outcome(transfer), { value: undefined });
	t.true(mesh.clock.nowMs() - from < 200);
	t.is(await mesh.elected(), follower);
	t.is((await mesh.outcome(before)).code, undefined);
	t.is((await mesh.outcome(during)).code, undefined);
});

test('acknowledged writes survive any mix of crashes, cuts and loss', async (t) => {
	for (let seed = 40; seed < 60; seed++) {
		const mesh = new TestMesh(seed, { snapshotEntries: 30, keepEntries: 5 });
		mesh.found(three);
		mesh.network.loss = 0.05;
		const acknowledged: string[] = [];
		for (let at = 0; at < 60; at++) {
			const id = three[(at * 7 + seed) % 3] ?? 'a';
			if (at % 9 === 4) mesh.restart(id);
			if (at % 9 === 6) mesh.network.cut.add(id);
			if (at % 9 === 8) mesh.network.cut.clear();
			const text = `write ${at}`;
			const { code } = await mesh.outcome(mesh.write(id, text, 1_500));
			if (code === undefined) acknowledged.push(text);
		}
		mesh.network.cut.clear();
		mesh.network.loss = 0;
		const leader = await mesh.elected();
		await mesh.outcome(mesh.write(leader, 'last', 20_000));
		await mesh.clock.run(1_000);
		for (const id of three) {
			const { commands } = mesh.node(id).machine;
			t.deepEqual(
				acknowledged.filter((text) => !commands.includes(text)),
				[],
				`seed ${seed}, ${id}`,
			);
			t.is(mesh.node(id).failure, undefined);
		}
		t.true(acknowledged.length > 20, `seed ${seed}: only ${acknowledged.length} acknowledged`);
	}
});

test('a group of one is woken seldom once it leads, and for each heartbeat from the moment somebody is added', async (t) => {
	const mesh = new TestMesh(40);
	mesh.found(['a']);
	await mesh.elected();
	const ticks = (): number => mesh.clock.fired;
	const during = async (ms: number): Promise<number> => {
		const before = ticks();
		await mesh.clock.run(ms);
		return ticks() - before;
	};
	await mesh.clock.run(1000);
	t.true((await during(2000)) <= 3);
	t.is((await mesh.outcome(mesh.write('a', 'alone'))).code, undefined);
	mesh.join('b');
	await mesh.outcome(mesh.node('a').admin.addLearner('b'));
	await mesh.clock.until(() => mesh.node('b').machine.commands.includes('alone'));
	const woken = await during(1000);
	t.true(woken >= 10, `${woken}: heartbeats`);
	t.true(woken <= 60, `${woken}: nothing else wakes an idle group`);
});
