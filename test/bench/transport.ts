// Owns the bench of transport: unary calls and bytes over mTLS on loopback, each end in a process of its own, beside the same gRPC without TLS in the same
// rounds.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Channel, credentials } from '@grpc/grpc-js';
import { CertificateAuthority, generateNodeKey, PeerChannels } from '@infermesh/fabric';
import type { Bench, BenchContext, Table } from './bench.js';
import { median, quantile } from './stats.js';
import { contextOf, EchoClient, type EchoReady, identityFrom, type WireIdentity } from './transport-echo.js';
import { exchangeTable } from './transport-exchanges.js';

interface Figures {
	readonly unaryMs: readonly number[];
	readonly callsPerS: number;
	readonly mibPerS: number;
}

const MESSAGE_BYTES = 1024;
const CHUNK_BYTES = 64 * 1024;
const CONCURRENCY = 16;

/** One call after the other, then many at once, then a stream of chunks one way. */
async function measure(client: EchoClient, quick: boolean): Promise<Figures> {
	const message = Buffer.alloc(MESSAGE_BYTES, 1);
	const calls = quick ? 200 : 2000;
	const unaryMs: number[] = [];
	for (let i = 0; i < calls; i++) {
		const sinceMs = performance.now();
		await client.ask(message);
		unaryMs.push(performance.now() - sinceMs);
	}
	const manySinceMs = performance.now();
	await Promise.all(
		Array.from({ length: CONCURRENCY }, async () => {
			for (let i = 0; i < calls / CONCURRENCY; i++) await client.ask(message);
		}),
	);
	const callsPerS = (calls * 1000) / (performance.now() - manySinceMs);
	const chunks = quick ? 400 : 4000;
	const bytesSinceMs = performance.now();
	await client.pour(Buffer.alloc(CHUNK_BYTES, 2), chunks);
	const mibPerS = (chunks * CHUNK_BYTES * 1000) / (1024 * 1024) / (performance.now() - bytesSinceMs);
	return { unaryMs, callsPerS, mibPerS };
}

async function handshakes(
	open: () => PeerChannels,
	peer: { address: string; nodeUuid: string },
	count: number,
): Promise<number[]> {
	const ms: number[] = [];
	for (let i = 0; i < count; i++) {
		const channels = open();
		const sinceMs = performance.now();
		await new EchoClient(channels.acquire(peer).channel).ask(Buffer.alloc(1));
		ms.push(performance.now() - sinceMs);
		channels.close();
	}
	return ms;
}

async function identityOf(authority: CertificateAuthority, nodeUuid: string): Promise<WireIdentity> {
	const keys = await generateNodeKey();
	const chain = await authority.issueNode(nodeUuid, keys.publicKey, Date.now());
	return {
		chain: chain.map((der) => Buffer.from(der).toString('base64')),
		key: keys.privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64'),
		trustDomain: authority.trustDomain,
		roots: authority.bundle.roots.map((der) => Buffer.from(der).toString('base64')),
	};
}

async function runTransport({ quick, progress }: BenchContext): Promise<readonly Table[]> {
	const authority = await CertificateAuthority.create('bench.mesh', Date.now());
	const nodeUuid = '00000000-0000-4000-8000-000000000001';
	const child = fork(new URL('transport-server.js', import.meta.url), {
		stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
	});
	const announced = once(child, 'message');
	child.send(await identityOf(authority, nodeUuid));
	const [ready] = (await announced) as [EchoReady];
	const context = contextOf(identityFrom(await identityOf(authority, '00000000-0000-4000-8000-000000000002')));
	const peer = { address: ready.secure, nodeUuid };
	const channels = new PeerChannels(context);
	const secure = new EchoClient(channels.acquire(peer).channel);
	const plain = new EchoClient(new Channel(ready.plain, credentials.createInsecure(), {}));
	const rounds = quick ? 1 : 5;
	const figures: { readonly tls: Figures[]; readonly plain: Figures[] } = { tls: [], plain: [] };
	await measure(secure, true);
	await measure(plain, true);
	for (let round = 0; round < rounds; round++) {
		progress(`round ${round + 1} of ${rounds}`);
		figures.tls.push(await measure(secure, quick));
		figures.plain.push(await measure(plain, quick));
	}
	const shaken = await handshakes(() => new PeerChannels(context), peer, quick ? 20 : 200);
	channels.close();
	child.kill('SIGTERM');
	await once(child, 'exit');
	const row = (name: string, all: readonly Figures[]): (string | number)[] => [
		name,
		...[0.5, 0.99].map((share) => median(all.map(({ unaryMs }) => quantile(unaryMs, share))).toFixed(3)),
		Math.round(median(all.map(({ callsPerS }) => callsPerS))),
		Math.round(median(all.map(({ mibPerS }) => mibPerS))),
	];
	const p50Ms = median(figures.tls.map(({ unaryMs }) => quantile(unaryMs, 0.5)));
	const mibPerS = median(figures.tls.map((one) => one.mibPerS));
	const answering = contextOf(identityFrom(await identityOf(authority, nodeUuid)));
	return [
		await exchangeTable(answering, context, { quick }),
		{
			title: 'gRPC between two processes over loopback',
			columns: ['connection', 'unary p50 ms', 'unary p99 ms', `calls/s at ${CONCURRENCY}`, 'MiB/s one way'],
			rows: [row('mTLS 1.3', figures.tls), row('without TLS', figures.plain)],
			notes: [
				`unary: ${MESSAGE_BYTES} bytes there and back, one after the other; stream: chunks of ${CHUNK_BYTES / 1024} KiB; medians of ${rounds} rounds`,
				`new connection with handshake, peer check and first call: p50 ${quantile(shaken, 0.5).toFixed(1)} ms, p99 ${quantile(shaken, 0.99).toFixed(1)} ms`,
				'reference: bare HTTP/2 over mTLS within one process gave 0.33 to 0.41 ms and 107 to 231 MiB/s',
			],
			aims: [
				{ what: 'unary p50 over mTLS', figure: p50Ms, atMost: 1, unit: 'ms' },
				{ what: 'ms to move a MiB over mTLS', figure: 1000 / mibPerS, atMost: 10, unit: 'ms' },
			],
		},
	];
}

export const transportBench: Bench = {
	name: 'transport',
	summary:
		'unary latency and throughput of gRPC over mTLS, beside gRPC without TLS; exchanges of gossip over mTLS, QUIC and TCP',
	run: runTransport,
};
