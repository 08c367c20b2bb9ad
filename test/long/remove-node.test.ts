// A coordinator that is gone for good is removed from the mesh: out of the Raft group too, whichever node is asked, never below a quorum, and not taken in
// again before it has joined anew.
import test from 'ava';
import { eventually } from '../support/mesh.js';
import { infermesh, joinNodes, type MeshNode, startNodes } from '../support/mesh-nodes.js';

interface RaftRow {
	readonly leaderName: string | null;
	readonly members: readonly { readonly name: string; readonly id: string; readonly role: string }[];
}

const raft = (node: MeshNode): Promise<RaftRow> => node.get<RaftRow>('/raft');
const voters = async (node: MeshNode): Promise<readonly string[]> =>
	(await raft(node)).members.filter(({ role }) => role === 'voter').map(({ id }) => id);
const nodeId = async (of: MeshNode, name: string): Promise<string> =>
	(await of.get<{ id: string }>(`/nodes/${name}`)).id;

test.serial('nodes remove takes a coordinator out of the group for good', async (t) => {
	t.timeout(300_000);
	const nodes = await startNodes(t, [{}, {}, {}]);
	const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];
	await eventually('three have votes', async () => (await voters(first)).length === 3, { withinMs: 60_000 });
	// The one that is removed led: whoever follows takes it out.
	await infermesh('raft', 'transfer', '--to', 'node-3', '--admin', (await leader(nodes)).admin);
	await eventually('the third leads', async () => (await raft(first)).leaderName === 'node-3', { withinMs: 20_000 });
	const gone = await nodeId(first, 'node-3');

	const there = await infermesh('nodes', 'remove', 'node-3', '--admin', first.admin);
	t.regex(there.err, /IM_NODE_STATE/, 'not while it is there');
	await third.end('SIGKILL');
	await eventually(
		'it has no record any more',
		async () => (await first.get<{ record?: unknown }>('/nodes/node-3')).record == null,
		{ withinMs: 30_000 },
	);
	// Asked is one that does not lead.
	const asked = (await leader([first, second])) === first ? second : first;
	const removed = await infermesh('nodes', 'remove', 'node-3', '--admin', asked.admin);
	t.is(removed.code, 0, removed.err);
	t.false((await voters(first)).includes(gone));
	t.is((await voters(first)).length, 2);

	// It comes back as it was: its certificate opens nothing, the authority says why, and the group stays as it is.
	const refusal = await t.throwsAsync(third.start());
	t.regex(refusal.message, /IM_IDENTITY_REMOVED/);
	t.is((await voters(first)).length, 2);

	// It joins anew: another UUID, the same name, a vote.
	third.wipe();
	await joinNodes(first, [third]);
	await eventually('three have votes again', async () => (await voters(first)).length === 3, { withinMs: 60_000 });
	t.not(await nodeId(first, 'node-3'), gone);
});

async function leader(nodes: readonly MeshNode[]): Promise<MeshNode> {
	let found: MeshNode | undefined;
	await eventually('somebody leads', async () => {
		for (const node of nodes) {
			const { leaderName } = await raft(node);
			found = nodes.find(({ name }) => name === leaderName);
			if (found !== undefined) return true;
		}
		return false;
	});
	return found as MeshNode;
}
