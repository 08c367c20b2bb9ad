// A mesh that has lost its quorum for good is recovered on the coordinator that is left: nothing it held is lost, the old members cannot come back into it.
import { cpSync, rmSync } from 'node:fs';
import test from 'ava';
import { eventually } from '../support/mesh.js';
import { infermesh, joinNodes, type MeshNode, startNodes } from '../support/mesh-nodes.js';

interface RaftRow {
	readonly clusterId: string;
	readonly revision: number;
	readonly leaderName: string | null;
	readonly members: readonly { readonly name: string; readonly role: string }[];
}

interface Recovered {
	readonly clusterId: string;
	readonly lastIndex: number;
	readonly lastTerm: number;
	readonly lost: readonly { readonly name: string }[];
}

const raft = (node: MeshNode): Promise<RaftRow> => node.get<RaftRow>('/raft');
const voters = async (node: MeshNode): Promise<readonly string[]> =>
	(await raft(node)).members.filter(({ role }) => role === 'voter').map(({ name }) => name);
const metric = async (node: MeshNode, name: string): Promise<number> =>
	Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`${node.admin}/metrics`)).text())?.[1] ?? -1);

test.serial('two of three coordinators are gone for good: the third is recovered, and new ones join it', async (t) => {
	t.timeout(300_000);
	const nodes = await startNodes(t, [{}, {}, {}, { roles: ['router'] }]);
	const [first, second, third, router] = nodes as [MeshNode, MeshNode, MeshNode, MeshNode];
	await eventually('three have votes', async () => (await voters(first)).length === 3, { withinMs: 60_000 });
	await second.put('/policies/placement/kept', { value: { models: ['kept-model'], zones: ['a'] } });
	await eventually('the survivor has it', async () =>
		first.get('/policies/placement/kept').then(
			() => true,
			() => false,
		),
	);
	const before = await raft(first);

	const running = await infermesh('raft', 'recover', '--config', first.file, '--yes');
	t.regex(running.err, /IM_LOG_LOCKED/, 'not while the node runs');

	await Promise.all([second.end('SIGKILL'), third.end('SIGKILL')]);
	await first.end('SIGKILL');
	// The second comes back later with the disk it had.
	const old = `${second.state}.old`;
	cpSync(second.state, old, { recursive: true });
	second.wipe();
	third.wipe();

	const dry = await infermesh('raft', 'recover', '--config', first.file);
	t.is(dry.code, 0, dry.err);
	t.regex(dry.out, /dry run: nothing was changed/);
	t.regex(dry.out, /kept +up to index \d+ of term \d+/);
	const done = await infermesh('raft', 'recover', '--config', first.file, '--yes', '--json');
	t.is(done.code, 0, done.err);
	const recovered = JSON.parse(done.out) as Recovered;
	t.true(recovered.lastIndex > 0 && recovered.lastTerm > 0);
	t.deepEqual(recovered.lost.map(({ name }) => name).sort(), ['node-2', 'node-3']);

	await first.start();
	await eventually('it leads alone', async () => (await raft(first)).leaderName === 'node-1', { withinMs: 20_000 });
	t.deepEqual(await voters(first), ['node-1']);
	await joinNodes(first, [second, third]);
	await eventually('three have votes again', async () => (await voters(first)).length === 3, { withinMs: 60_000 });
	for (const node of [first, second, third]) {
		const now = await raft(node);
		t.is(now.clusterId, recovered.clusterId);
		t.true(now.revision > before.revision + 1e11);
		await t.notThrowsAsync(node.get('/policies/placement/kept'));
	}
	// A node that is no coordinator needs nothing: it follows the recovered mesh and hears of the newcomers by gossip.
	await eventually('the router writes through the recovered mesh', async () =>
		router.put('/policies/placement/later', { value: { models: ['later-model'], zones: ['a'] } }).then(
			() => true,
			() => false,
		),
	);
	await eventually(
		'gossip shows four to all',
		async () => (await metric(router, 'infermesh_gossip_live_members')) === 4,
		{
			withinMs: 30_000,
		},
	);

	// Who did it, and from where, is part of the state.
	const events = await infermesh('events', '--admin', first.admin);
	t.is(events.code, 0, events.err);
	t.regex(
		events.out,
		new RegExp(`lineage put ${recovered.clusterId} .*"how":"recovered".*"index":${recovered.lastIndex}`),
	);

	// The old second node comes back with its disk: refused by name, and it ends.
	await second.end('SIGKILL');
	const replaced = `${second.state}.new`;
	cpSync(second.state, replaced, { recursive: true });
	second.wipe();
	cpSync(old, second.state, { recursive: true });
	const refusal = await t.throwsAsync(second.start());
	t.regex(refusal.message, /IM_CONSENSUS_OTHER_CLUSTER/);
	t.true((await metric(first, 'infermesh_consensus_foreign_refused_total')) > 0);
	t.deepEqual((await voters(first)).length, 3, 'nobody was added or removed by it');
	second.wipe();
	cpSync(replaced, second.state, { recursive: true });
	rmSync(old, { recursive: true });
	await second.start();
	t.is((await raft(second)).clusterId, recovered.clusterId);
});
