// Measurements over real connections of the mesh: what is counted, and by which name each side refuses.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { TopologyService } from '@infermesh/proto/grpc/topology/v1/topology';
import { TopologyClient } from '@infermesh/proto/grpc/topology/v1/topology-client';
import test, { type ExecutionContext } from 'ava';
import { ManualClock, realClock, testAuthority, testIdentity } from '../identity/identity-test-support.js';
import { PeerChannels } from '../transport/peer-channels.js';
import { SecureServer } from '../transport/secure-server.js';
import { testNode } from '../transport/transport-test-support.js';
import { BandwidthProber, BandwidthSink, bandwidthBounds } from './bandwidth.js';

const authority = await testAuthority();
const ask = { bytesMax: 1024 * 1024, durationMsMax: 5000 };

async function link(t: ExecutionContext, receive = new BandwidthSink(realClock).receive) {
	const [server, caller] = [testNode(await testIdentity(authority)), testNode(await testIdentity(authority))];
	const secure = new SecureServer(server.context);
	// Only receiving is measured here; the other calls are the host's.
	secure.addService(TopologyService, { receive });
	const address = await secure.listen('127.0.0.1:0');
	const channels = new PeerChannels(caller.context);
	t.teardown(async () => {
		channels.close();
		await secure.close();
	});
	return channels.acquire({ address, nodeUuid: server.nodeUuid }).client(TopologyClient);
}

test('every byte asked for is sent and counted, and the time it took is told', async (t) => {
	const { bytes, durationMs } = await new BandwidthProber(realClock).measure(await link(t), ask);
	t.is(bytes, ask.bytesMax);
	t.true(durationMs > 0 && durationMs < 5000);
});

test('sending stops when its time is over', async (t) => {
	const { bytes, durationMs } = await new BandwidthProber(realClock).measure(await link(t), {
		bytesMax: bandwidthBounds.bytesMax,
		durationMsMax: 50,
	});
	t.true(bytes > 0 && bytes < bandwidthBounds.bytesMax, `${bytes} bytes in ${durationMs} ms`);
});

test('neither side takes a second measurement while one runs', async (t) => {
	const client = await link(t);
	const [one, two] = [new BandwidthProber(realClock), new BandwidthProber(realClock)];
	const long = { bytesMax: bandwidthBounds.bytesMax, durationMsMax: 500 };
	const running = one.measure(client, long);
	await t.throwsAsync(one.measure(client, ask), { code: 'IM_TOPOLOGY_PROBE_BUSY' });
	await t.throwsAsync(two.measure(client, ask), { code: 'IM_TOPOLOGY_PROBE_BUSY' });
	await running;
	t.is((await two.measure(client, ask)).bytes, ask.bytesMax, 'the next one is taken');
});

test('more than the bound is refused by whoever would send it, and by whoever gets it', async (t) => {
	const client = await link(t);
	const tooMany = { bytesMax: bandwidthBounds.bytesMax + 1, durationMsMax: 5000 };
	await t.throwsAsync(new BandwidthProber(realClock).measure(client, tooMany), { code: 'IM_TOPOLOGY_PROBE_TOO_LARGE' });
	const refused = await new Promise<string>((resolve) => {
		const call = client.receive((error) => resolve(error?.details ?? 'taken'));
		const data = Buffer.alloc(2 * 1024 * 1024);
		for (let sent = 0; sent <= bandwidthBounds.bytesMax; sent += data.length) call.write({ data });
		call.end();
	});
	t.regex(refused, /^IM_TOPOLOGY_PROBE_TOO_LARGE: /);
});

test('a sender that does not end is refused by name when its time is over, and holds up nobody after it', async (t) => {
	const clock = new ManualClock();
	const started = Promise.withResolvers<void>();
	const sink = new BandwidthSink(clock);
	const client = await link(t, (call, reply) => {
		sink.receive(call, reply);
		call.once('data', () => started.resolve());
	});
	const refused = Promise.withResolvers<string>();
	const call = client.receive((error) => refused.resolve(error?.details ?? 'taken'));
	call.write({ data: Buffer.alloc(1) });
	await started.promise;
	clock.advance(bandwidthBounds.durationMsMax);
	await t.throwsAsync(new BandwidthProber(realClock).measure(client, ask), { code: 'IM_TOPOLOGY_PROBE_BUSY' });
	clock.advance(5000);
	t.regex(await refused.promise, /^IM_TOPOLOGY_PROBE_TIMEOUT: /);
	t.is((await new BandwidthProber(realClock).measure(client, ask)).bytes, ask.bytesMax);
	call.end();
});

test('a node that cannot be connected to is told by that name, one that never answers by another', async (t) => {
	const node = testNode(await testIdentity(authority));
	const channels = new PeerChannels(node.context);
	t.teardown(() => channels.close());
	const closed = createServer();
	closed.listen(0, '127.0.0.1');
	await once(closed, 'listening');
	const { port } = closed.address() as { port: number };
	closed.close();
	await once(closed, 'close');
	const gone = channels.acquire({ address: `127.0.0.1:${port}`, nodeUuid: node.nodeUuid }).client(TopologyClient);
	await t.throwsAsync(new BandwidthProber(realClock).measure(gone, ask), { code: 'IM_TOPOLOGY_UNREACHABLE' });

	const silent = await link(t, (call) => void call.resume());
	const prober = new BandwidthProber({
		...realClock,
		// The deadline, five seconds after the last byte, is brought near.
		wallMs: () => realClock.wallMs() - 5000,
	});
	await t.throwsAsync(prober.measure(silent, { bytesMax: 65_536, durationMsMax: 300 }), {
		code: 'IM_TOPOLOGY_PROBE_TIMEOUT',
	});
});
