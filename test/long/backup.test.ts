// A mesh that is lost with all its disks begins again from a backup: everything is there, no revision is given twice, and the strategies decide as before.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { infermesh, joinNodes, type MeshNode, startNodes } from '../support/mesh-nodes.js';
import { shipped } from '../support/strategies.js';

interface RaftRow {
	readonly clusterId: string;
	readonly revision: number;
	readonly members: readonly { readonly name: string; readonly role: string }[];
}

const raft = (node: MeshNode): Promise<RaftRow> => node.get<RaftRow>('/raft');
const voters = async (node: MeshNode): Promise<number> =>
	(await raft(node)).members.filter(({ role }) => role === 'voter').length;
const activeOn = async (node: MeshNode): Promise<string> =>
	(await node.get<{ activeStrategy: string }>('/status')).activeStrategy;
const policy = async (node: MeshNode): Promise<unknown> =>
	(await node.get<{ value: unknown }>('/policies/placement/pinned')).value;

test.serial('a mesh whose disks are all lost begins again from a backup', async (t) => {
	t.timeout(300_000);
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-backup-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	const engine = await startTestEngine(t);
	const nodes = await startNodes(t, [{ targets: [{ id: 'engine-1', url: engine.url, models: [MODEL] }] }, {}, {}]);
	const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];
	await eventually('three have votes', async () => (await voters(first)) === 3, { withinMs: 60_000 });
	await second.post('/strategies', {
		module: Buffer.from(shipped('baseline_rr')).toString('base64'),
		activate: true,
	});
	await third.put('/policies/placement/pinned', { value: { models: ['pinned-model'], zones: ['a'] } });
	await first.put('/tenants/team-a', { policyMask: 5 });
	await first.post('/nodes/node-3/cordon', { reason: 'looked at' });
	const before = await raft(first);

	const file = path.join(folder, 'mesh.snap');
	const saved = await infermesh('snapshot', 'save', file, '--admin', second.admin, '--json');
	t.is(saved.code, 0, saved.err);
	const { sha256, missing } = JSON.parse(saved.out) as { sha256: string; missing: string[] };
	t.deepEqual(missing, []);

	const inspected = await infermesh('snapshot', 'inspect', file, '--json');
	t.is(inspected.code, 0, inspected.err);
	const inside = JSON.parse(inspected.out) as {
		meshId: string;
		revision: number;
		sha256: string;
		keys: Record<string, number>;
		blobs: unknown[];
	};
	t.is(inside.meshId, before.clusterId);
	t.true(inside.revision >= before.revision);
	t.is(inside.sha256, sha256);
	t.like(inside.keys, { nodes: 3, placements: 1, tenants: 1, strategies: 2, lifecycle: 1 });
	t.true(inside.blobs.length >= 2, 'the modules of both strategies are in it');
	t.regex((await infermesh('snapshot', 'inspect', file)).out, /strategies +2/);

	// What is not whole is refused by name, before anything is written.
	const bytes = readFileSync(file);
	const cut = path.join(folder, 'cut.snap');
	writeFileSync(cut, bytes.subarray(0, bytes.length - 10));
	const flipped = path.join(folder, 'flipped.snap');
	const wrong = Buffer.from(bytes);
	wrong[Math.floor(bytes.length / 2)] = (wrong[Math.floor(bytes.length / 2)] as number) ^ 4;
	writeFileSync(flipped, wrong);
	t.regex((await infermesh('snapshot', 'inspect', cut)).err, /IM_SNAPSHOT_FILE_CUT/);
	t.regex((await infermesh('snapshot', 'inspect', flipped)).err, /IM_SNAPSHOT_FILE_DAMAGED/);

	// Not while the node runs, and not over a group without being told to.
	const running = await infermesh('snapshot', 'restore', file, '--config', first.file);
	t.regex(running.err, /IM_LOG_LOCKED/);
	await Promise.all(nodes.map((node) => node.end('SIGKILL')));
	const present = await infermesh('snapshot', 'restore', file, '--config', first.file);
	t.regex(present.err, /IM_SNAPSHOT_GROUP_EXISTS/);
	// The authority is in no backup: it is kept beside it.
	const authority = path.join(folder, 'ca');
	cpSync(path.join(first.state, 'ca'), authority, { recursive: true });
	for (const node of nodes) node.wipe();
	t.regex((await infermesh('snapshot', 'restore', cut, '--config', first.file)).err, /IM_SNAPSHOT_FILE_CUT/);

	const restored = await infermesh('snapshot', 'restore', file, '--config', first.file, '--json');
	t.is(restored.code, 0, restored.err);
	const { clusterId, revision } = JSON.parse(restored.out) as { clusterId: string; revision: number };
	t.not(clusterId, before.clusterId);
	t.true(revision > before.revision + 1e11, 'revisions have moved on');

	cpSync(authority, path.join(first.state, 'ca'), { recursive: true });
	await first.start();
	t.regex(await activeOn(first), /^baseline_rr@/, 'it decides as before from its first request on');
	await joinNodes(first, [second]);
	// node-3 was cordoned: its name is bound to the node that is gone.
	await first.delete('/nodes/node-3');
	await joinNodes(first, [third]);
	await eventually('three have votes again', async () => (await voters(first)) === 3, { withinMs: 60_000 });
	for (const node of nodes) {
		const now = await raft(node);
		t.is(now.clusterId, clusterId);
		t.true(now.revision > before.revision + 1e11);
		t.regex(await activeOn(node), /^baseline_rr@/);
		t.deepEqual(await policy(node), { models: ['pinned-model'], zones: ['a'] });
	}
	const tenants = await second.get<{ items: { name: string; value: unknown }[] }>('/tenants');
	t.true(tenants.items.some(({ name }) => name === 'team-a'));
	// The blobs came with it: a node that joined afresh has the module, and a version loaded now is written above every old one.
	const strategies = await third.get<{ items: { name: string; stage: string }[] }>('/strategies');
	t.true(strategies.items.some(({ name, stage }) => name === 'baseline_rr' && stage === 'active'));

	// With --replace what is there is put aside and kept.
	await Promise.all(nodes.map((node) => node.end('SIGKILL')));
	const replaced = await infermesh('snapshot', 'restore', file, '--config', first.file, '--replace', '--json');
	t.is(replaced.code, 0, replaced.err);
	t.regex((JSON.parse(replaced.out) as { aside: string }).aside, /raft\.before-/);
});
