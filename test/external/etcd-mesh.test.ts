// A mesh of real nodes over a real three-member etcd: everything the embedded consensus gives, with no consensus thread; a member that is killed, history
// that is compacted, a node that sleeps past its lease and a spent quota are seen, named and left behind.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { type EtcdCluster, makeEtcdTls, startEtcd } from '../support/etcd.js';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { infermesh, joinToken, type MeshNode, prepareNodes, startNodes } from '../support/mesh-nodes.js';
import { shipped } from '../support/strategies.js';

const over = ({ addresses }: EtcdCluster, more: Readonly<Record<string, unknown>> = {}) => ({
	consensus: { engine: 'etcd', endpoints: addresses.map((address) => `http://${address}`), ...more },
});

async function metric(node: MeshNode, name: string): Promise<number | undefined> {
	const text = await (await fetch(`${node.admin}/metrics`)).text();
	const line = text.split('\n').find((one) => one.startsWith(`${name} `));
	return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

const degraded = async (node: MeshNode): Promise<readonly string[]> =>
	((await (await fetch(`${node.admin}/readyz`)).json()) as { degraded: string[] }).degraded;
const activeOn = async (node: MeshNode): Promise<string> =>
	(await node.get<{ activeStrategy: string }>('/status')).activeStrategy;
const has = (node: MeshNode, policy: string): Promise<boolean> =>
	node.get(`/policies/placement/${policy}`).then(
		() => true,
		() => false,
	);
const set = (node: MeshNode, policy: string): Promise<unknown> =>
	node.put(`/policies/placement/${policy}`, { value: { models: [`model-${policy}`], zones: ['a'] } });

interface NodeRow {
	readonly name: string;
	readonly present: boolean;
}

async function ask(node: MeshNode): Promise<number> {
	const response = await fetch(`${node.data}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hello' }] }),
	});
	await response.arrayBuffer();
	return response.status;
}

test.serial(
	'two nodes over etcd decide together, through deaths of members, compaction, a long sleep and a quarantine',
	async (t) => {
		t.timeout(300_000);
		const cluster = await startEtcd(t, 3);
		const engine = await startTestEngine(t);
		const targets = [{ id: 'engine-1', url: engine.url, models: [MODEL] }];
		const nodes = await startNodes(t, [{ targets, ...over(cluster) }, over(cluster)]);
		const [first, second] = nodes as [MeshNode, MeshNode];
		for (const node of nodes) {
			t.false(existsSync(path.join(node.state, 'raft')), 'no log of its own');
			await eventually(`${node.name} routes`, async () => (await ask(node)) === 200, { withinMs: 30_000 });
			await eventually('gossip shows both', async () => (await metric(node, 'infermesh_gossip_live_members')) === 2, {
				withinMs: 30_000,
			});
		}
		const status = await infermesh('raft', 'status', '--admin', second.admin);
		t.regex(status.out, /engine +etcd/);

		await second.post('/strategies', {
			module: Buffer.from(shipped('baseline_rr')).toString('base64'),
			activate: true,
		});
		for (const node of nodes) t.regex(await activeOn(node), /^baseline_rr@/);

		// A member dies: seen by name, and nothing stops.
		const victim = cluster.members[0];
		if (victim === undefined) throw new Error('no member');
		await victim.kill();
		const down = `infermesh_etcd_member_up{member="${victim.address}"}`;
		await eventually('the death is seen', async () => (await metric(first, down)) === 0, { withinMs: 20_000 });
		t.true((await degraded(first)).some((reason) => reason.includes(`do not answer: ${victim.address}`)));
		await set(first, 'one-down');
		await eventually('the other follows', () => has(second, 'one-down'));
		t.is(await ask(second), 200);
		victim.start();
		await eventually('it is back', async () => (await metric(first, down)) === 1, { withinMs: 30_000 });
		await eventually('nothing is degraded', async () => (await degraded(first)).length === 0, { withinMs: 20_000 });

		// Two die: no quorum. Writes are refused by name, the last configuration serves on.
		const lost = cluster.members.slice(1);
		for (const member of lost) await member.kill();
		await eventually(
			'readiness knows',
			async () => (await degraded(second)).some((why) => why.startsWith('no quorum')),
			{
				withinMs: 30_000,
			},
		);
		t.regex(String(await t.throwsAsync(set(second, 'never'))), /IM_CONSENSUS_(NO_QUORUM|UNAVAILABLE|TIMEOUT)/);
		t.is(await ask(second), 200);
		for (const member of lost) member.start();
		await eventually('a quorum again', async () => (await degraded(second)).length === 0, { withinMs: 60_000 });
		await set(second, 'again');

		// Compacted history: who was behind reads anew.
		const { revision } = await first.get<{ revision: number }>('/raft');
		process.kill(second.pid, 'SIGSTOP');
		await set(first, 'before-compaction');
		await cluster.etcdctl('compact', String(revision + 1));

		// Past its lease: the others see it gone; awake, it has a new lease and follows.
		const there = async (name: string): Promise<boolean> =>
			(await first.get<{ items: NodeRow[] }>('/nodes')).items.some((node) => node.name === name && node.present);
		await eventually('its lease has ended', async () => !(await there('node-2')), { withinMs: 30_000 });
		await set(first, 'while-asleep');
		process.kill(second.pid, 'SIGCONT');
		await eventually('it is there again', () => there('node-2'), { withinMs: 30_000 });
		await eventually(
			'it has followed',
			async () => (await has(second, 'before-compaction')) && has(second, 'while-asleep'),
		);

		// All down and up again: each finds etcd and the other by what it remembers.
		await Promise.all(nodes.map((node) => node.end('SIGKILL')));
		await Promise.all(nodes.map((node) => node.start()));
		for (const node of nodes) t.regex(await activeOn(node), /^baseline_rr@/, `${node.name} has the module`);

		// Whoever is quarantined is shut out: the gossip key it knows opens nothing any more.
		const keys = (): number =>
			(JSON.parse(readFileSync(path.join(first.state, 'node', 'mesh.json'), 'utf8')) as { gossipKeys: string[] })
				.gossipKeys.length;
		t.is(keys(), 1);
		await first.post('/nodes/node-2/quarantine', { reason: 'stolen' });
		await eventually('the key is rotated', () => Promise.resolve(keys() === 2), { withinMs: 20_000 });
		await eventually('gossip is alone', async () => (await metric(first, 'infermesh_gossip_live_members')) === 1, {
			withinMs: 60_000,
		});

		// What belongs to etcd is left to its own tools, by name.
		const save = await infermesh('snapshot', 'save', path.join(first.state, 'x.snap'), '--admin', first.admin);
		t.regex(save.err, /IM_CONSENSUS_NOT_MEMBER/);
	},
);

test.serial(
	'an etcd without space: writes refused by name, seen in readiness and metrics, and back by itself',
	async (t) => {
		t.timeout(240_000);
		const cluster = await startEtcd(t, 3, ['--quota-backend-bytes', `${8 << 20}`]);
		const engine = await startTestEngine(t);
		const targets = [{ id: 'engine-1', url: engine.url, models: [MODEL] }];
		const [node] = (await startNodes(t, [{ targets, ...over(cluster, { prefix: 'mesh-a/' }) }])) as [MeshNode];
		await eventually('it routes', async () => (await ask(node)) === 200, { withinMs: 30_000 });
		await set(node, 'before');

		const [stray] = (await prepareNodes(t, [{ name: 'stray' }])) as [MeshNode];
		const token = await joinToken(node, 1);
		const refusal = await t.throwsAsync(stray.start('--join', node.agent, '--join-token', token));
		t.regex(refusal.message, /IM_FABRIC_ENGINE/, 'a node that would keep the state itself has no place here');

		const neighbour = cluster.engine({ prefix: 'neighbour/' });
		const value = new Uint8Array(500_000).fill(7);
		for (let n = 0; n < 60; n++) {
			const full = await neighbour.transact({ when: [], then: [{ put: `big/${n % 4}`, value }] }).then(
				() => false,
				() => true,
			);
			if (full) break;
		}
		t.true((await cluster.etcdctl('alarm', 'list')).includes('NOSPACE'));
		t.regex(String(await t.throwsAsync(set(node, 'during'))), /IM_STORE_NO_SPACE/);
		t.is(await metric(node, 'infermesh_fabric_no_space'), 1);
		t.true((await degraded(node)).some((reason) => reason.startsWith('no space')));
		t.true(await has(node, 'before'), 'reads go on');
		t.is(await ask(node), 200, 'and so does the data plane');

		const { revision } = await neighbour.transact({ when: [], then: [{ delete: { prefix: 'big/' } }] });
		await neighbour.compact(revision);
		await cluster.etcdctl('defrag');
		await cluster.etcdctl('alarm', 'disarm');
		await eventually(
			'writes go through again',
			() =>
				set(node, 'after').then(
					() => true,
					() => false,
				),
			{ withinMs: 30_000 },
		);
		await eventually('it says so', async () => (await metric(node, 'infermesh_fabric_no_space')) === 0);
		t.deepEqual(await degraded(node), []);
	},
);

test.serial(
	'an etcd that asks for certificates and a login: with both a node works, without either it is refused',
	async (t) => {
		t.timeout(240_000);
		const tls = await makeEtcdTls(t);
		const cluster = await startEtcd(t, 3, [], tls);
		await cluster.etcdctl('user', 'add', 'root:secret');
		await cluster.etcdctl('user', 'grant-role', 'root', 'root');
		await cluster.etcdctl('user', 'add', 'mesh:password');
		await cluster.etcdctl('role', 'add', 'mesh');
		await cluster.etcdctl('role', 'grant-permission', 'mesh', 'readwrite', 'ours/', '--prefix=true');
		await cluster.etcdctl('user', 'grant-role', 'mesh', 'mesh');
		await cluster.etcdctl('auth', 'enable');
		const files = { ca_file: tls.caFile, cert_file: tls.certFile, key_file: tls.keyFile };
		const endpoints = cluster.addresses.map((address) => `https://${address}`);
		const login = { user: 'mesh', password: 'password' };
		const secured = { engine: 'etcd', endpoints, prefix: 'ours/', ...files, ...login };
		const [node] = (await startNodes(t, [{ consensus: secured }])) as [MeshNode];
		await set(node, 'secured');
		t.true(await has(node, 'secured'));
		t.deepEqual(
			(await degraded(node)).filter((reason) => reason.includes('etcd')),
			[],
		);
		t.regex((await infermesh('raft', 'status', '--admin', node.admin)).out, /engine +etcd/);

		const refused = async (consensus: Readonly<Record<string, unknown>>, why: RegExp): Promise<void> => {
			const [one] = (await prepareNodes(t, [{ name: 'refused', consensus }])) as [MeshNode];
			t.regex((await t.throwsAsync(one.start())).message, why);
		};
		await refused({ ...secured, password: 'wrong' }, /IM_CONSENSUS_DENIED: .*authentication failed/);
		await refused({ ...secured, prefix: 'theirs/' }, /IM_CONSENSUS_DENIED: .*permission denied/);
		await refused({ ...secured, ca_file: `${tls.caFile}.none` }, /IM_FABRIC_ETCD_TLS/);
	},
);
