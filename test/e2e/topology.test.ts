// Distances between real processes: what a router is told of the way to each node decides where requests go.
import test from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { type MeshNode, startNodes } from '../support/mesh-nodes.js';
import { Relay } from '../support/relay.js';

interface Target {
	readonly id: string;
	readonly rttMs: number;
	readonly rttBasis: string;
	readonly linkClass: string;
}

const DELAY_MS = 40;
const FAR_FRONT = '127.0.0.2';

async function servedBy(node: MeshNode, prompt: string): Promise<string> {
	const response = await fetch(`${node.data}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: prompt }] }),
	});
	await response.arrayBuffer();
	return response.status === 200 ? (response.headers.get('x-infermesh-target') ?? '') : `status ${response.status}`;
}

test.serial('a node that is far away by the fabric’s measure is avoided while a near one has room', async (t) => {
	t.timeout(240_000);
	const [near, far] = await Promise.all([startTestEngine(t), startTestEngine(t)]);
	let relay: Relay | undefined;
	const nodes = await startNodes(
		t,
		[
			{ targets: [{ id: 'near', url: near.url, models: [MODEL] }], strategy: 'hybrid_mesh' },
			{
				// Its engine answers health checks at once: only gossip, which passes the relay, can tell that the node is far.
				targets: [{ id: 'far', url: far.url, models: [MODEL], zone: 'b' }],
				zone: 'b',
				advertise: FAR_FRONT,
			},
		],
		async ([, second]) => {
			const ports = second?.fabricPorts ?? [];
			relay = await Relay.start(t, { front: FAR_FRONT, back: '127.0.0.1', ports, delayMs: DELAY_MS });
		},
	);
	const [first] = nodes as [MeshNode, MeshNode];
	const targets = async (): Promise<readonly Target[]> =>
		(await first.get<{ items: Target[] }>('/targets')).items.toSorted((a, b) => (a.id < b.id ? -1 : 1));
	await eventually(
		'the far node has been measured',
		async () => (await targets()).find(({ id }) => id === 'far')?.rttBasis === 'measured',
		{ withinMs: 60_000 },
	);
	const [farRow, nearRow] = (await targets()) as [Target, Target];
	t.log(`far ${farRow.rttMs.toFixed(1)} ms, near ${nearRow.rttMs.toFixed(1)} ms`);
	t.true(farRow.rttMs >= 2 * DELAY_MS, `${farRow.rttMs}`);
	t.like(farRow, { linkClass: 'same_region' });
	t.like(nearRow, { rttMs: 0, rttBasis: 'measured', linkClass: 'same_node' });
	t.true((relay?.carried ?? 0) > 0);

	await eventually('it routes', async () => (await servedBy(first, 'first')) !== 'status 503', { withinMs: 30_000 });
	const counts = new Map<string, number>();
	for (let n = 0; n < 40; n++) {
		const id = await servedBy(first, `a prompt of its own, number ${n}`);
		counts.set(id, (counts.get(id) ?? 0) + 1);
	}
	t.log(Object.fromEntries(counts));
	t.is(counts.get('near'), 40);
});
