// Distances asked of other nodes over real gRPC: what is told arrives as it was, and what cannot be asked has a name.
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import type { LinkEstimate, Peer, PeerLease } from '@infermesh/fabric';
import { type GetLinksReply, TopologyService } from '@infermesh/proto/grpc/topology/v1/topology';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../clock.js';
import type { TopologyView } from '../fabric.js';
import { NodeCalls } from './node-calls.js';
import { TopologyPart } from './topology-part.js';

const estimate: LinkEstimate = {
	basis: 'estimated',
	reach: 'untried',
	rttMs: 12.5,
	ageMs: 300,
	error: 0.25,
	bandwidthBytesPerS: undefined,
	linkClass: 'same_region',
};
const view: TopologyView = {
	links: [
		{ nodeId: 'b', estimate },
		{ nodeId: 'c', estimate: { ...estimate, basis: 'unknown', rttMs: undefined, ageMs: undefined, error: undefined } },
	],
	vector: [0.25, -0.5],
	heightS: 0.001,
	error: 0.5,
};

/** A connection of its own for each share: who may call whom is the transport's to test. */
function acquire({ address }: Peer): PeerLease {
	const clients: { close(): void }[] = [];
	return {
		channel: undefined as never,
		client(constructor) {
			const client = new constructor(address, credentials.createInsecure(), {} as never);
			clients.push(client);
			return client;
		},
		release: () => {
			for (const client of clients) client.close();
		},
	};
}

/** Nodes that reach each other by id, each on a port of its own. */
async function nodes(t: ExecutionContext, ...ids: readonly string[]) {
	const addresses = new Map<string, string>();
	const transfers: string[] = [];
	const parts = new Map<string, TopologyPart>();
	for (const id of ids) {
		const part = new TopologyPart({
			clock: systemClock,
			nodeId: id,
			view: () => view,
			calls: new NodeCalls({ agentOf: (other) => addresses.get(other), acquire }),
			transferred: (to, { bytes }) => transfers.push(`${id} → ${to}: ${bytes}`),
		});
		parts.set(id, part);
		addresses.set(id, await serve(t, part.handlers()));
	}
	return { part: (id: string) => parts.get(id) as TopologyPart, addresses, transfers };
}

async function serve(t: ExecutionContext, handlers: object): Promise<string> {
	const server = new Server();
	server.addService(TopologyService, { ...handlers });
	const port = await new Promise<number>((resolve, reject) => {
		server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
			error === null ? resolve(bound) : reject(error),
		);
	});
	t.teardown(() => server.forceShutdown());
	return `127.0.0.1:${port}`;
}

test('links of another node arrive as that node has them, what it does not know included', async (t) => {
	const { part } = await nodes(t, 'a', 'b');
	t.deepEqual(await part('a').linksOf('b'), view);
	t.deepEqual(await part('a').linksOf('a'), view);
});

test('words of a newer node that are not known here count as not known', async (t) => {
	const { part, addresses } = await nodes(t, 'a');
	const reply: GetLinksReply = {
		links: [{ nodeId: 'x', basis: 'divined', reach: 'maybe', linkClass: 'orbit' }],
		vector: [],
		heightS: 0,
		error: 0,
	};
	addresses.set(
		'newer',
		await serve(t, {
			getLinks: (_call: unknown, done: (error: null, reply: GetLinksReply) => void) => done(null, reply),
		}),
	);
	const { links } = await part('a').linksOf('newer');
	t.like(links[0]?.estimate, { basis: 'unknown', reach: 'untried', linkClass: 'wan', rttMs: undefined });
});

test('bandwidth is measured by the node it is measured from, which keeps it', async (t) => {
	const { part, transfers } = await nodes(t, 'a', 'b', 'c');
	const ask = { bytesMax: 1024 * 1024, durationMsMax: 5000 };
	t.is((await part('a').measure('a', 'b', ask)).bytes, ask.bytesMax);
	t.is((await part('a').measure('b', 'c', ask)).bytes, ask.bytesMax);
	t.deepEqual(transfers, [`a → b: ${ask.bytesMax}`, `b → c: ${ask.bytesMax}`]);
});

test('what cannot be asked or measured has a name, and nothing is kept of it', async (t) => {
	const { part, addresses, transfers } = await nodes(t, 'a', 'b');
	const ask = { bytesMax: 65_536, durationMsMax: 1000 };
	await t.throwsAsync(part('a').linksOf('away'), { code: 'IM_TOPOLOGY_UNREACHABLE' });
	await t.throwsAsync(part('a').measure('a', 'a', ask), { code: 'IM_TOPOLOGY_PROBE_SELF' });
	await t.throwsAsync(
		part('a').measure('b', 'away', ask),
		{ code: 'IM_TOPOLOGY_UNREACHABLE' },
		'told by the node asked',
	);
	const tooMuch = { ...ask, bytesMax: 2 ** 31 };
	await t.throwsAsync(part('a').measure('b', 'a', tooMuch), { code: 'IM_TOPOLOGY_PROBE_TOO_LARGE' });
	addresses.set('gone', '127.0.0.1:1');
	await t.throwsAsync(part('a').measure('a', 'gone', ask), { code: 'IM_TOPOLOGY_UNREACHABLE' });
	await t.throwsAsync(part('a').linksOf('gone'), { code: 'IM_TRANSPORT_UNREACHABLE' });
	t.deepEqual(transfers, []);
});
