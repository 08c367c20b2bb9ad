import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import type { OnExchange } from '../effects/packets.js';
import { testAuthority, testIdentity } from '../identity/identity-test-support.js';
import { parseAddress } from './address.js';
import { protocolNames } from './connector.js';
import { TlsExchange, type TlsExchangeOptions } from './exchange.js';
import { ownContext } from './tls-options.js';
import { type TestNode, testNode } from './transport-test-support.js';

const authority = await testAuthority();
const ask = { timeoutMs: 10_000, answerMaxBytes: 1024 * 1024 };

async function answering(
	t: ExecutionContext,
	onExchange: OnExchange,
	options: Partial<TlsExchangeOptions> = {},
): Promise<{
	readonly address: string;
	readonly server: TestNode;
	readonly caller: TestNode;
	readonly exchange: TlsExchange;
}> {
	const server = testNode(await testIdentity(authority));
	const caller = testNode(await testIdentity(authority));
	const listening = new TlsExchange(server.context, options);
	const address = await listening.listen('127.0.0.1:0', onExchange);
	const exchange = new TlsExchange(caller.context);
	t.teardown(() => {
		void exchange.close();
		void listening.close();
	});
	return { address, server, caller, exchange };
}

const reverse: OnExchange = async (_from, request) => request.toReversed();

test('a question gets its answer, of any size up to the bound; each side knows the other', async (t) => {
	const peers: string[] = [];
	const { address, caller, server, exchange } = await answering(t, async (from, request, peer) => {
		peers.push(peer ?? '');
		t.regex(from, /^127\.0\.0\.1:\d+$/);
		return request.toReversed();
	});
	const node = server.nodeUuid;
	t.deepEqual(await exchange.exchange(address, Uint8Array.of(1, 2, 3), ask), { bytes: Uint8Array.of(3, 2, 1), node });
	t.deepEqual(await exchange.exchange(address, new Uint8Array(0), ask), { bytes: new Uint8Array(0), node });
	const large = new Uint8Array(1024 * 1024).map((_, at) => at & 0xff);
	const { bytes } = await exchange.exchange(address, large, { ...ask, expectedNode: node });
	t.deepEqual(bytes, large.toReversed());
	t.deepEqual(peers, [caller.nodeUuid, caller.nodeUuid, caller.nodeUuid]);
});

test('an answer over the bound, a question over the bound and another node are refused by name', async (t) => {
	const { address, server, exchange } = await answering(t, reverse, { requestBytesMax: 1000 });
	const small = { ...ask, answerMaxBytes: 10 };
	await t.throwsAsync(exchange.exchange(address, new Uint8Array(11), small), {
		code: 'IM_TRANSPORT_MESSAGE_TOO_LARGE',
	});
	await t.throwsAsync(exchange.exchange(address, new Uint8Array(1001), ask), { code: 'IM_TRANSPORT_CLOSED' });
	t.is(server.counters.refused('IM_TRANSPORT_MESSAGE_TOO_LARGE'), 1);
	const other = { ...ask, expectedNode: '00000000-0000-4000-8000-000000000000' };
	await t.throwsAsync(exchange.exchange(address, new Uint8Array(1), other), { code: 'IM_IDENTITY_UNEXPECTED_PEER' });
	await t.throwsAsync(exchange.exchange('127.0.0.1:1', new Uint8Array(1), ask), { code: 'IM_TRANSPORT_UNREACHABLE' });
	await t.throwsAsync(exchange.exchange('nonsense', new Uint8Array(1), ask), { code: 'IM_TRANSPORT_ADDRESS' });
});

test('time bounds the whole exchange: no connection, no handshake, no answer', async (t) => {
	const { promise: never } = Promise.withResolvers<Uint8Array>();
	const { address, exchange } = await answering(t, async () => never);
	const short = { ...ask, timeoutMs: 300 };
	await t.throwsAsync(exchange.exchange(address, Uint8Array.of(1), short), { code: 'IM_TRANSPORT_TIMEOUT' });
	const sockets: Socket[] = [];
	const silent = createServer((socket) => sockets.push(socket.on('error', () => {})));
	silent.listen(0, '127.0.0.1');
	await once(silent, 'listening');
	const bound = silent.address();
	const to = `127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`;
	await t.throwsAsync(exchange.exchange(to, Uint8Array.of(1), short), { code: 'IM_TRANSPORT_TIMEOUT' });
	silent.close();
	for (const socket of sockets) socket.destroy();
});

test('a handler that fails gives no answer; the next exchange works', async (t) => {
	let first = true;
	const { address, exchange } = await answering(t, async (_from, request) => {
		if (!first) return request;
		first = false;
		throw new Error('not today');
	});
	await t.throwsAsync(exchange.exchange(address, Uint8Array.of(1), ask), { code: 'IM_TRANSPORT_CLOSED' });
	t.deepEqual((await exchange.exchange(address, Uint8Array.of(1), ask)).bytes, Uint8Array.of(1));
});

test('a peer that sends half a frame, or more than one, or nothing, is ended and harms nobody', async (t) => {
	let seen = 0;
	const counting: OnExchange = async (_from, request) => {
		seen++;
		return request;
	};
	const { address, caller, exchange } = await answering(t, counting, { answerTimeoutMs: 300 });
	for (const bytes of [[], [0, 0], [0, 0, 0, 9, 1], [0, 0, 0, 1, 7, 8], [0xff, 0xff, 0xff, 0xff, 1]]) {
		const socket = connectTls({
			...parseAddress(address),
			...ownContext(caller.holder.current()),
			rejectUnauthorized: false,
			ALPNProtocols: [protocolNames.exchange],
		});
		socket.on('error', () => {});
		socket.resume();
		socket.write(Buffer.from(bytes));
		await new Promise((resolve) => socket.once('close', resolve));
	}
	t.is(seen, 0);
	t.deepEqual((await exchange.exchange(address, Uint8Array.of(1), ask)).bytes, Uint8Array.of(1));
});

test('plaintext is refused, and so is gRPC on this port', async (t) => {
	const { address, server, caller } = await answering(t, reverse);
	const plain = connectTcp(parseAddress(address));
	plain.on('error', () => {});
	plain.write('hello there, friend');
	await new Promise((resolve) => plain.once('close', resolve));
	t.is(server.counters.refused('IM_TRANSPORT_PLAINTEXT'), 1);
	const grpc = connectTls({
		...parseAddress(address),
		...ownContext(caller.holder.current()),
		rejectUnauthorized: false,
		ALPNProtocols: ['h2'],
	});
	grpc.on('error', () => {});
	await new Promise((resolve) => grpc.once('close', resolve));
	t.is(server.counters.accepted, 0);
});

test('what is closed refuses', async (t) => {
	const { address, exchange } = await answering(t, reverse);
	await exchange.close();
	await t.throwsAsync(exchange.exchange(address, Uint8Array.of(1), ask), { code: 'IM_TRANSPORT_CLOSED' });
});
