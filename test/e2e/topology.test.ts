// Distances between real processes: what a router is told of the way to each node decides where requests go.
import test from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { infermesh, type MeshNode, startNodes } from '../support/mesh-nodes.js';
import { Relay } from '../support/relay.js';

interface Target {
	readonly id: string;
	readonly rttMs: number;
	readonly rttBasis: string;
	readonly linkClass: string;
	readonly bandwidthMbps: number;
	readonly state: string;
}

interface Probe {
	readonly bytes: number;
	readonly bandwidthBytesPerS: number;
}

interface Pairs {
	readonly pairs: readonly {
		readonly fromName: string;
		readonly name: string;
		readonly zone: string | null;
		readonly region: string | null;
		readonly basis: string;
		readonly reach: string;
	}[];
	readonly unanswered: readonly { readonly name: string }[];
}

const MIB = 1024 * 1024;

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

	// Bandwidth is measured when somebody asks, and is then known to whoever looks.
	const measured = await first.post<Probe>('/topology/probe', { from: 'node-1', to: 'node-2', bytesMax: MIB });
	t.is(measured.bytes, MIB);
	t.log(`bandwidth through the relay: ${(measured.bandwidthBytesPerS / 1e6).toFixed(1)} MB/s`);
	await eventually(
		'the row has the bandwidth',
		async () => ((await targets()).find(({ id }) => id === 'far')?.bandwidthMbps ?? 0) > 0,
	);
	const pairs = async (): Promise<Pairs> => first.get<Pairs>('/topology/pairs');
	t.deepEqual(
		(await pairs()).pairs.map((pair) => [pair.fromName, pair.name, pair.zone, pair.region, pair.reach]),
		[
			['node-1', 'node-2', 'b', 'r', 'reached'],
			['node-2', 'node-1', 'a', 'r', 'reached'],
		],
	);

	const shown = await infermesh('topology', 'show', '--all', '--admin', first.admin);
	t.log(`\n${shown.out}`);
	t.regex(shown.out, /^node-1 +node-2 +b +r +same_region +reached .*MB\/s$/m);
	const again = await infermesh('topology', 'probe', 'node-1', 'node-2', '--bytes', '65536', '--admin', first.admin);
	t.regex(again.out, /^node-1 → node-2: [\d.]+ MB\/s \(65536 bytes in /);

	// Cut off, the node is out of reach and no estimate hides it; who cannot be asked is named.
	if (relay !== undefined) relay.cut = true;
	await eventually(
		'the first sees the second out of reach',
		async () => (await pairs()).pairs.some(({ fromName, reach }) => fromName === 'node-1' && reach === 'unreachable'),
		{ withinMs: 30_000, everyMs: 100 },
	);
	const cut = await pairs();
	t.deepEqual(
		cut.pairs.map(({ fromName, name, basis }) => [fromName, name, basis]),
		[['node-1', 'node-2', 'unreachable']],
	);
	t.deepEqual(
		cut.unanswered.map(({ name }) => name),
		['node-2'],
	);
	await t.throwsAsync(first.post('/topology/probe', { from: 'node-1', to: 'node-2' }), {
		message: /IM_TOPOLOGY_UNREACHABLE/,
	});
	await eventually('its target’s row says so, and is still served because its engine answers', async () =>
		(await targets()).some(
			({ id, rttBasis, state }) => id === 'far' && rttBasis === 'unreachable' && state === 'ready',
		),
	);
});
