// What standing still costs in a mesh of three at default settings: a main loop that is blocked for five seconds changes nothing, since gossip and consensus have threads of
// their own; a whole process that stops for as long is suspected and not declared dead.
import process from 'node:process';
import test, { type ExecutionContext } from 'ava';
import { eventually } from '../support/mesh.js';
import { type MeshNode, startNodes } from '../support/mesh-nodes.js';

const standstillMs = 5_000;
/** Long enough after it for any suspicion to end and any election to be over. */
const aftermathMs = 9_000;
const preload = new URL('../support/block-on-signal.js', import.meta.url).href;

interface Member {
	readonly name: string;
	readonly state: string;
	readonly incarnation: number;
	readonly sinceMs: number;
}

interface Raft {
	readonly leaderName: string | null;
	readonly term: number;
	readonly members: readonly { readonly role: string }[];
}

const membersOf = async (node: MeshNode): Promise<readonly Member[]> =>
	(await node.get<{ items: readonly Member[] }>('/members')).items;
const raftOf = (node: MeshNode): Promise<Raft> => node.get('/raft');

/** Three voters with the settings of a node that says nothing of gossip, leases and elections. */
async function meshOfThree(
	t: ExecutionContext,
): Promise<{ readonly leader: MeshNode; readonly others: readonly MeshNode[] }> {
	const env = { NODE_OPTIONS: `--import ${preload}`, BLOCK_MS: String(standstillMs) };
	const fabric = { gossip_profile: 'lan', lease_ttl_ms: 15_000 };
	const nodes = await startNodes(
		t,
		[1, 2, 3].map(() => ({ env, fabric })),
	);
	const [first] = nodes as [MeshNode];
	await eventually(
		'three vote and three are alive for all',
		async () => {
			const raft = await raftOf(first);
			const views = await Promise.all(nodes.map(membersOf));
			return (
				raft.members.filter(({ role }) => role === 'voter').length === 3 &&
				views.every((members) => members.length === 3 && members.every(({ state }) => state === 'alive'))
			);
		},
		{ withinMs: 60_000 },
	);
	const { leaderName } = await raftOf(first);
	const leader = nodes.find(({ name }) => name === leaderName) ?? first;
	return { leader, others: nodes.filter((node) => node !== leader) };
}

/** What `node` has seen `name` to be, looked at until so long is over. */
async function statesOf(node: MeshNode, name: string, forMs: number): Promise<ReadonlySet<string>> {
	const seen = new Set<string>();
	const endMs = performance.now() + forMs;
	await eventually(
		'the time is over',
		async () => {
			for (const member of await membersOf(node)) if (member.name === name) seen.add(member.state);
			return performance.now() >= endMs;
		},
		{ withinMs: forMs + 30_000, everyMs: 100 },
	);
	return seen;
}

test.serial('a leader whose main loop is blocked for five seconds leads on and is not even suspected', async (t) => {
	t.timeout(240_000);
	const { leader, others } = await meshOfThree(t);
	const [witness] = others as [MeshNode];
	const [raft, members] = [await raftOf(witness), await membersOf(witness)];
	t.is(raft.leaderName, leader.name);

	process.kill(leader.pid, 'SIGUSR2');
	const seen = await statesOf(witness, leader.name, standstillMs + aftermathMs);
	const blocked = /the main loop was blocked for (?<ms>\d+) ms/.exec(leader.log())?.groups?.['ms'];
	t.true(Number(blocked) >= standstillMs, `blocked for ${blocked} ms`);

	t.deepEqual([...seen], ['alive']);
	const after = await raftOf(witness);
	t.deepEqual([after.term, after.leaderName], [raft.term, leader.name], 'no election');
	t.deepEqual(await membersOf(witness), members, 'nobody was suspected, and nobody had to refute');
});

test.serial('a process that stops for five seconds is suspected, not declared dead', async (t) => {
	t.timeout(240_000);
	const { leader, others } = await meshOfThree(t);
	const [stopped, witness] = others as [MeshNode, MeshNode];
	const raft = await raftOf(witness);

	process.kill(stopped.pid, 'SIGSTOP');
	const during = await statesOf(witness, stopped.name, standstillMs);
	process.kill(stopped.pid, 'SIGCONT');
	const after = await statesOf(witness, stopped.name, aftermathMs);

	t.true(during.has('suspect'), 'it did stand still');
	t.false(during.has('failed') || after.has('failed'), [...during, ...after].join());
	t.is((await membersOf(witness)).find(({ name }) => name === stopped.name)?.state, 'alive');
	const { term, leaderName } = await raftOf(witness);
	t.deepEqual([term, leaderName], [raft.term, leader.name], 'no election for a follower');
});
