// The engine on a real three-member etcd: the contract that every engine passes, and what happens when members are killed or stopped, leases are
// lost, history is compacted and the disk quota is spent.
import { readFileSync } from 'node:fs';
import { type ConsensusEngine, Election, hasCode, Session } from '@infermesh/fabric';
import { eventually, put, registerContract, WatchRecord } from '@infermesh/fabric/contract';
import { systemClock, systemRandom } from '@infermesh/host';
import test from 'ava';
import { type EtcdCluster, startEtcd } from '../support/etcd.js';
import type { Teardown } from '../support/mesh.js';

/** etcd grants no lease shorter than one and a half election timeouts, in whole seconds. */
const leaseMinMs = 2_000;
const teardowns: (() => unknown)[] = [];
const wholeFile: Teardown = { teardown: (work) => void teardowns.push(work) };
let shared: Promise<EtcdCluster> | undefined;
let prefixes = 0;

function sharedCluster(): Promise<EtcdCluster> {
	shared ??= startEtcd(wholeFile, 3);
	return shared;
}

test.after.always(async () => {
	for (const work of teardowns.toReversed()) await work();
});

registerContract(
	'etcd',
	(title, run) =>
		test.serial(title, async (t) => {
			t.timeout(60_000);
			await run(t);
		}),
	async () => {
		const cluster = await sharedCluster();
		const prefix = `contract-${++prefixes}/`;
		const engines = [
			cluster.engine({ prefix }),
			cluster.engine({ prefix, addresses: cluster.addresses.toReversed() }),
		] as const;
		return {
			engines,
			leaseMinMs,
			// A member that is killed breaks its connections; two of three keep the quorum.
			breakConnections: async () => {
				for (const member of cluster.members.slice(0, 1)) {
					await member.kill();
					member.start();
				}
			},
			cutQuorum: async () => {
				const [, ...rest] = cluster.members;
				for (const member of rest) await member.kill();
				return async () => {
					for (const member of rest) member.start();
				};
			},
			close: async () => {
				for (const engine of engines) await engine.close();
				for (const member of cluster.members) member.start();
				await eventually('all members are well', () =>
					cluster.etcdctl('endpoint', 'health').then(
						() => true,
						() => false,
					),
				);
			},
		};
	},
);

async function text(engine: ConsensusEngine, key: string): Promise<string | undefined> {
	const [item] = (await engine.read({ key })).items;
	return item === undefined ? undefined : new TextDecoder().decode(item.value);
}

/** The state letter of a process, as the kernel shows it: T when it is stopped. */
function stateOf(pid: number): string {
	return readFileSync(`/proc/${pid}/stat`, 'utf8')
		.replace(/^.*\) /, '')
		.charAt(0);
}

async function leaderOf(cluster: EtcdCluster, engine: ConsensusEngine) {
	const { leader, members } = await engine.status();
	const address = members.find(({ id }) => id === leader)?.address;
	const found = cluster.members.find((member) => address?.endsWith(member.address));
	if (found === undefined) throw new Error(`no process of leader ${leader}`);
	return found;
}

test.serial('keys of others in the same cluster are neither seen nor touched', async (t) => {
	const cluster = await sharedCluster();
	const [mine, others] = [cluster.engine({ prefix: 'mine/' }), cluster.engine({ prefix: 'mine0' })];
	await cluster.etcdctl('put', 'mine', 'a neighbour');
	await put(others, 'k', 'theirs');
	const revision = await put(mine, 'k', 'ours');
	const record = new WatchRecord(mine, { prefix: '' }, revision);
	await put(others, 'k', 'again');
	await mine.transact({ when: [], then: [{ delete: { prefix: '' } }] });
	await eventually('the deletion', () => record.told.length > 0);
	t.is(record.told.length, 1);
	t.is(await text(others, 'k'), 'again');
	t.true((await cluster.etcdctl('get', 'mine')).includes('a neighbour'));
	record.cancel();
});

test.serial('the leader is killed: writes go on through the others, watches miss and repeat nothing', async (t) => {
	t.timeout(90_000);
	const cluster = await sharedCluster();
	const engine = cluster.engine();
	const from = await put(engine, 'n', '0');
	const record = new WatchRecord(engine, { key: 'n' }, from);
	const victim = await leaderOf(cluster, engine);
	const certain: number[] = [];
	const unknown = new Set<number>();
	for (let n = 1; n <= 60; n++) {
		if (n === 20) await victim.kill();
		if (n === 50) victim.start();
		try {
			await put(engine, 'n', `${n}`);
			certain.push(n);
		} catch (error) {
			if (hasCode(error, 'IM_CONSENSUS_TIMEOUT')) unknown.add(n);
			else t.true(hasCode(error, 'IM_CONSENSUS_NO_QUORUM'), String(error));
		}
	}
	t.true(certain.length > 45, `${certain.length} writes`);
	const toldNumbers = () => record.told.map((told) => Number(told.replace(/^n=([0-9]+)@.*$/, '$1')));
	await eventually(
		'every acknowledged write',
		() => toldNumbers().filter((n) => !unknown.has(n)).length >= certain.length,
	);
	t.deepEqual(
		toldNumbers().filter((n) => !unknown.has(n)),
		certain,
	);
	t.is(new Set(record.told).size, record.told.length);
	record.cancel();
});

test.serial(
	'a stopped member (SIGSTOP) is left for others; its watches go on; its lease is not believed in',
	async (t) => {
		t.timeout(90_000);
		const cluster = await sharedCluster();
		const [stopped, ...others] = cluster.members;
		if (stopped === undefined) throw new Error('no member');
		// This one prefers the member that is going to hang.
		const engine = cluster.engine({ prefix: 'stop/' });
		const free = cluster.engine({ prefix: 'stop/', addresses: others.map(({ address }) => address) });
		const from = await put(engine, 'k', 'before');
		const record = new WatchRecord(engine, { key: 'k' }, from);
		await eventually('the watch is up', () => record.progress.length > 0);
		// A session whose only way to the cluster hangs with it.
		const captive = cluster.engine({ prefix: 'stop/', addresses: [stopped.address] });
		const session = await Session.open({ engine: captive, clock: systemClock, ttlMs: leaseMinMs });
		const election = new Election({ engine: captive, clock: systemClock, random: systemRandom(), key: 'lead' });
		const leadership = await election.campaign(session, new Uint8Array(0));
		stopped.signal('SIGSTOP');
		await eventually('it is stopped', () => stateOf(stopped.pid) === 'T');
		try {
			const revision = await eventuallyPut(free, 'k', 'meanwhile');
			t.is(await text(engine, 'k'), 'meanwhile');
			await eventually('the watch has moved on', () => record.told.length > 0);
			t.deepEqual(record.told, [`k=meanwhile@${revision}`]);
			await eventually('the session is lost by its own clock', () => !session.alive);
			t.false(leadership.holds);
			const next = await Session.open({ engine: free, clock: systemClock, ttlMs: leaseMinMs });
			const successor = await new Election({
				engine: free,
				clock: systemClock,
				random: systemRandom(),
				key: 'lead',
			}).campaign(next, new Uint8Array(0));
			t.true(successor.token > leadership.token);
			const guarded = { when: [leadership.guard], then: [{ put: 'work', value: new Uint8Array(0) }] };
			t.false((await free.transact(guarded)).held, 'what the former leader does is fenced');
			await next.close();
		} finally {
			stopped.signal('SIGCONT');
		}
		t.false(session.alive);
		record.cancel();
	},
);

async function eventuallyPut(engine: ConsensusEngine, key: string, value: string): Promise<number> {
	let revision = 0;
	await eventually(`${key} is written`, async () => {
		revision = await put(engine, key, value).catch(() => 0);
		return revision > 0;
	});
	return revision;
}

test.serial('a user and a password are used, and a wrong one is refused by name', async (t) => {
	t.timeout(60_000);
	const cluster = await startEtcd(t, 1);
	await cluster.etcdctl('user', 'add', 'root:secret');
	await cluster.etcdctl('user', 'grant-role', 'root', 'root');
	await cluster.etcdctl('user', 'add', 'mesh:password');
	await cluster.etcdctl('role', 'add', 'mesh');
	await cluster.etcdctl('role', 'grant-permission', 'mesh', 'readwrite', 'ours/', '--prefix=true');
	await cluster.etcdctl('user', 'grant-role', 'mesh', 'mesh');
	await cluster.etcdctl('auth', 'enable');
	const login = { user: 'mesh', password: 'password' };
	const mesh = cluster.engine({ prefix: 'ours/', login });
	const from = await put(mesh, 'k', 'value');
	const record = new WatchRecord(mesh, { key: 'k' }, from);
	await put(mesh, 'k', 'again');
	await eventually('the watch', () => record.told.length === 1);
	record.cancel();
	const outside = cluster.engine({ prefix: 'theirs/', login });
	const denied = async (call: Promise<unknown>) => t.true(hasCode(await t.throwsAsync(call), 'IM_CONSENSUS_DENIED'));
	await denied(put(outside, 'k'));
	await denied(outside.read({ key: 'k' }));
	await denied(put(cluster.engine({ prefix: 'ours/', login: { ...login, password: 'wrong' } }), 'k'));
	await denied(put(cluster.engine({ prefix: 'ours/' }), 'k'));
});

test.serial(
	'out of space: refused by name at once, reads and deletes go on, and writes again when etcd has room',
	async (t) => {
		t.timeout(90_000);
		const cluster = await startEtcd(t, 3, ['--quota-backend-bytes', `${8 << 20}`]);
		const engine = cluster.engine();
		const value = new Uint8Array(500_000).fill(7);
		let refused: unknown;
		let written = 0;
		for (; written < 60; written++) {
			try {
				await engine.transact({ when: [], then: [{ put: `big/${written % 4}`, value }] });
			} catch (error) {
				refused = error;
				break;
			}
		}
		t.true(hasCode(refused, 'IM_STORE_NO_SPACE'), String(refused));
		t.true(written > 4, `${written} writes`);
		t.true((await cluster.etcdctl('alarm', 'list')).includes('NOSPACE'));
		const beganMs = systemClock.nowMs();
		t.true(hasCode(await t.throwsAsync(put(engine, 'small')), 'IM_STORE_NO_SPACE'));
		t.true(systemClock.nowMs() - beganMs < 1_000, 'not tried again');
		const status = await engine.status();
		t.true(status.noSpace);
		t.true(status.quorum);
		t.is((await engine.read({ prefix: 'big/' }, { keysOnly: true })).items.length, 4);
		const { revision } = await engine.transact({ when: [], then: [{ delete: { prefix: 'big/' } }] });
		await engine.compact(revision);
		await cluster.etcdctl('defrag');
		await cluster.etcdctl('alarm', 'disarm');
		await eventuallyPut(engine, 'small', 'fits');
		t.false((await engine.status()).noSpace);
	},
);
