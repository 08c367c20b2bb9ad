// QUIC under the contract of exchanges, alone and in front of TLS; then what is QUIC's own: kept connections, garbage, silence, falling back.
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { SeededRandom } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import type { Address } from '../../effects/packets.js';
import { realClock, testIdentity } from '../../identity/identity-test-support.js';
import { sealKind } from '../../membership/mesh-codec/seal.js';
import { formatAddress, parseAddress } from '../address.js';
import { TlsExchange } from '../exchange.js';
import {
	answering,
	ask,
	authority,
	type ExchangeSubject,
	one,
	registerExchangeContract,
	reverse,
	until,
} from '../exchange-contract-test-support.js';
import { type TestNode, testNode } from '../transport-test-support.js';
import { loadQuiche, type Quiche, type QuicheConnection } from './binding.js';
import { QuicEndpoint } from './endpoint.js';
import { QuicExchange, type QuicExchangeOptions } from './exchange.js';
import { QuicFirstExchange } from './quic-first.js';
import { quicLimits } from './settings.js';
import { openUdpPort } from './udp-port.js';

const quiche = loadQuiche();
/** Backoff at its longest, so that tests wait for the worst. */
const random = { nextU32: () => 0xff_ff_ff_ff, nextFloat: () => 1 - 2 ** -32 };

/** Calls of quiche that only one who breaks the rules makes. */
interface ResumableConnection extends QuicheConnection {
	session(): Uint8Array | null;
	setSession(session: Uint8Array): void;
}

/** Both ends share a thread here: after it stood still, a peer is not silent because its answer takes another turn. */
const loopback: Partial<QuicExchangeOptions> = { callFrom: '127.0.0.1:0', silenceMs: 8000 };

const quic: ExchangeSubject = {
	name: 'QUIC',
	open: (context, options) => new QuicExchange(quiche, context, random, { ...loopback, ...options }),
	silent: async (t) => {
		const socket = await boundSocket(t);
		return { address: addressOf(socket), code: 'IM_TRANSPORT_UNREACHABLE' };
	},
	sendRaw: async (caller, address, bytes) => {
		const { endpoint, close } = await openEndpoint(caller);
		const { connection } = await endpoint.connect(parseAddress(address), 5000);
		const stream = connection.open();
		const over = new Promise<void>((resolve) => {
			stream.listen({ received: () => {}, ended: resolve, aborted: resolve });
		});
		stream.finish(bytes);
		await over;
		await close();
	},
};

const mixed: ExchangeSubject = {
	...quic,
	name: 'QUIC before TLS',
	/** With time for a connection even on a machine that is busy with something else. */
	open: (context, options) =>
		new QuicFirstExchange(
			new QuicExchange(quiche, context, random, { ...loopback, ...options, links: { backoffMsMin: 60_000 } }),
			new TlsExchange(context, options),
			{ ...context, reachMsMax: 5000 },
		),
};

registerExchangeContract(quic);
registerExchangeContract(mixed);

async function boundSocket(t: ExecutionContext): Promise<Socket> {
	const socket = createSocket('udp4');
	socket.bind(0, '127.0.0.1');
	await once(socket, 'listening');
	t.teardown(() => socket.close());
	return socket;
}

function addressOf(socket: Socket): Address {
	const { address, port } = socket.address();
	return formatAddress(address, port);
}

async function openEndpoint(node: TestNode): Promise<{ endpoint: QuicEndpoint; close: () => Promise<void> }> {
	const endpoint = new QuicEndpoint(quiche, node.context, quicLimits);
	const port = await openUdpPort({ host: '127.0.0.1', port: 0 }, (from, datagram) => endpoint.take(from, datagram));
	endpoint.attach(port);
	return {
		endpoint,
		close: async () => {
			endpoint.close();
			await port.close();
		},
	};
}

/** Passes datagrams of one caller on to `to`, and what comes from there back, until it is cut; `alter` says what becomes of each on its way. */
async function relay(
	t: ExecutionContext,
	to: Address,
	alter: (datagram: Buffer) => readonly Buffer[] = (datagram) => [datagram],
): Promise<{ readonly address: Address; cut: boolean }> {
	const [front, back] = [await boundSocket(t), await boundSocket(t)];
	const state = { address: addressOf(front), cut: false };
	const target = parseAddress(to);
	let callerPort = 0;
	front.on('message', (datagram, { port }) => {
		callerPort = port;
		if (!state.cut) for (const one of alter(datagram)) back.send(one, target.port, target.host);
	});
	back.on('message', (datagram) => {
		if (!state.cut) for (const one of alter(datagram)) front.send(one, callerPort, '127.0.0.1');
	});
	return state;
}

async function quicPair(
	t: ExecutionContext,
	options: Partial<QuicExchangeOptions> = {},
): Promise<{
	readonly address: Address;
	readonly server: TestNode;
	readonly caller: TestNode;
	readonly listening: QuicExchange;
	readonly exchange: QuicExchange;
}> {
	const [server, caller] = [testNode(await testIdentity(authority)), testNode(await testIdentity(authority))];
	const listening = new QuicExchange(quiche, server.context, random, { ...loopback, ...options });
	const exchange = new QuicExchange(quiche, caller.context, random, { ...loopback, ...options });
	t.teardown(() => Promise.all([exchange.close(), listening.close()]));
	const address = await listening.listen('127.0.0.1:0', reverse);
	return { address, server, caller, listening, exchange };
}

test('one connection serves all exchanges with a peer, many at once', async (t) => {
	const { address, server, exchange } = await quicPair(t);
	const questions = Array.from({ length: 40 }, (_, at) => new Uint8Array(at * 1000).fill(at));
	const answers = await Promise.all(questions.map(async (question) => exchange.exchange(address, question, ask)));
	t.deepEqual(
		answers.map(({ bytes }) => bytes.length),
		questions.map(({ length }) => length),
	);
	for (const question of questions) await exchange.exchange(address, question, ask);
	t.is(server.counters.accepted, 1);
	t.is(server.counters.quic.answered, 80);
	t.is(exchange.links, 1);
});

test('a connection that is not used is closed, and the next exchange makes another', async (t) => {
	const { address, server, exchange } = await quicPair(t, { links: { keptMs: 100, keepAliveMs: 20 } });
	await exchange.exchange(address, one, ask);
	await until(() => exchange.links === 0);
	await exchange.exchange(address, one, ask);
	t.is(server.counters.accepted, 2);
});

// By itself: what other tests do at once may hold the thread for as long as the connection lives in silence.
test.serial('a connection that is kept stays open past the time after which a silent one is given up', async (t) => {
	const { address, server, exchange } = await quicPair(t, {
		limits: { idleTimeoutMs: 2500 },
		links: { keepAliveMs: 100 },
	});
	await exchange.exchange(address, one, ask);
	await new Promise((resolve) => realClock.after(4000, () => resolve(undefined)));
	await exchange.exchange(address, one, ask);
	t.is(server.counters.accepted, 1);
});

test('connections to others are bounded: the one idle for longest makes room', async (t) => {
	const { address, exchange } = await quicPair(t, { links: { linksMax: 1 } });
	const other = await quicPair(t);
	await exchange.exchange(address, one, ask);
	await exchange.exchange(other.address, one, ask);
	t.is(exchange.links, 1);
	await exchange.exchange(address, one, ask);
	t.is(exchange.links, 1);
});

test('a connection is replaced at a third of the life of the certificate that its peer showed', async (t) => {
	const { address, server, caller, exchange } = await quicPair(t);
	await exchange.exchange(address, one, ask);
	const { leaf } = server.holder.current().svid;
	let aheadMs = 0;
	const clock = { ...realClock, wallMs: () => Date.now() + aheadMs };
	const later = new QuicExchange(quiche, { ...caller.context, clock }, random, loopback);
	t.teardown(() => later.close());
	await later.exchange(address, one, ask);
	t.is(server.counters.accepted, 2);
	aheadMs = (leaf.notAfterMs - leaf.notBeforeMs) * 0.3;
	await later.exchange(address, one, ask);
	t.is(server.counters.accepted, 2);
	aheadMs = (leaf.notAfterMs - leaf.notBeforeMs) * 0.34;
	await later.exchange(address, one, ask);
	t.is(server.counters.accepted, 3);
});

test('garbage, forged beginnings and strangers on a connection’s ids are dropped and counted, and harm nobody', async (t) => {
	const { address, server, exchange } = await quicPair(t);
	await exchange.exchange(address, one, ask);
	const { host, port } = parseAddress(address);
	const stranger = await boundSocket(t);
	const answers: Buffer[] = [];
	stranger.on('message', (datagram) => answers.push(datagram));
	const initial = (token: Uint8Array, version = 1): Buffer => {
		const head = Buffer.from([0xc3, 0, 0, 0, version, 16, ...randomBytes(16), 16, ...randomBytes(16)]);
		return Buffer.concat([head, Buffer.from([token.length]), token, Buffer.from([0x44, 0xd0]), randomBytes(1300)]);
	};
	const garbage = [
		randomBytes(0),
		Buffer.from([0x11]),
		Buffer.from([0x40]),
		Buffer.concat([Buffer.from([0x40]), randomBytes(60)]),
		Buffer.concat([Buffer.from([0xff]), randomBytes(1300)]),
		initial(new Uint8Array(0), 99),
		initial(randomBytes(40)),
		initial(new Uint8Array(0)).subarray(0, 1100),
	];
	for (const datagram of garbage) stranger.send(datagram, port, host);
	await until(() => server.counters.quic.dropped === garbage.length);
	t.deepEqual(answers, []);
	t.deepEqual((await exchange.exchange(address, one, ask)).bytes, one);
	t.is(server.counters.accepted, 1);
});

test('whoever begins without proof of its address is asked for it, in fewer bytes than it sent, and nothing is kept for it', async (t) => {
	const { address, server, listening } = await quicPair(t);
	const { host, port } = parseAddress(address);
	const stranger = await boundSocket(t);
	const answers: Buffer[] = [];
	stranger.on('message', (datagram) => answers.push(datagram));
	for (let at = 0; at < 50; at++) {
		const head = Buffer.from([0xc3, 0, 0, 0, 1, 16, ...randomBytes(16), 16, ...randomBytes(16), 0, 0x44, 0xd0]);
		stranger.send(Buffer.concat([head, randomBytes(1300)]), port, host);
	}
	await until(() => answers.length === 50);
	t.true(answers.every(({ length }) => length < 300));
	t.deepEqual(listening.datagrams.load, { connections: 0, handshakes: 0 });
	t.is(server.counters.accepted, 0);
});

test('no datagram makes it throw', async (t) => {
	const { endpoint, close } = await openEndpoint(testNode(await testIdentity(authority)));
	t.teardown(close);
	endpoint.accept(() => t.fail('nobody can have proven anything'));
	const from = { host: '127.0.0.1', port: 9 };
	const numRuns = Number(process.env['FUZZ_RUNS'] ?? 300);
	const first = fc.constantFrom(0x40, 0xc0, 0xc3, 0xd0, 0xe0, 0xf0, 0xff);
	const body = fc.uint8Array({ maxLength: 1500, size: 'max' });
	fc.assert(
		fc.property(first, body, (byte, rest) => {
			t.true(endpoint.take(from, Buffer.from([byte, ...rest])));
			t.true(endpoint.take(from, Buffer.from([byte, 0, 0, 0, 1, ...rest])));
		}),
		{ numRuns },
	);
	for (const kind of Object.values(sealKind))
		t.false(endpoint.take(from, Buffer.from([kind, 1, 2])), 'a packet of gossip');
	t.deepEqual(endpoint.load, { connections: 0, handshakes: 0 });
});

test('who comes back with the session of an earlier connection is refused: it would not prove its key', async (t) => {
	const { address, server, caller } = await quicPair(t);
	let session: Uint8Array | null = null;
	const natives: ResumableConnection[] = [];
	const resuming: Quiche = {
		...quiche,
		Connection: {
			...quiche.Connection,
			connect: (...given) => {
				const native = quiche.Connection.connect(...given) as ResumableConnection;
				if (session !== null) native.setSession(session);
				natives.push(native);
				return native;
			},
		},
	};
	const first = new QuicExchange(resuming, caller.context, random, loopback);
	await first.exchange(address, one, ask);
	await until(() => (natives[0]?.session() ?? null) !== null);
	session = natives[0]?.session() ?? null;
	await first.close();
	t.is(server.counters.accepted, 1);
	const second = new QuicExchange(resuming, caller.context, random, loopback);
	t.teardown(() => second.close());
	await t.throwsAsync(second.exchange(address, one, ask), { code: 'IM_TRANSPORT_CLOSED' });
	t.true(natives[1]?.isResumed());
	t.is(server.counters.accepted, 1);
	t.is(server.counters.refused('IM_TRANSPORT_HANDSHAKE'), 1);
});

test('as many connections as there may be: one more is refused by name', async (t) => {
	const { address, server, exchange } = await quicPair(t, { limits: { connectionsMax: 1 } });
	await exchange.exchange(address, one, ask);
	const second = new QuicExchange(quiche, testNode(await testIdentity(authority)).context, random, loopback);
	t.teardown(() => second.close());
	const refused = second.exchange(address, one, { ...ask, timeoutMs: 1000 });
	await until(() => server.counters.refused('IM_TRANSPORT_CONNECTIONS_MAX') > 0);
	await t.throwsAsync(refused, { code: 'IM_TRANSPORT_UNREACHABLE' });
	t.is(server.counters.accepted, 1);
});

test('datagrams that are lost, doubled, held back or broken on their way: every exchange arrives whole, over one connection', async (t) => {
	const seed = randomBytes(4).readUInt32BE(0);
	t.log(`seed ${seed}`);
	const chance = new SeededRandom(seed);
	const happened = { lost: 0, doubled: 0, late: 0, broken: 0 };
	const late: Buffer[] = [];
	const alter = (datagram: Buffer): readonly Buffer[] => {
		const draw = chance.nextFloat();
		if (draw < 0.04) {
			happened.lost++;
			return [];
		}
		if (draw < 0.08) {
			happened.doubled++;
			return [datagram, Buffer.from(datagram)];
		}
		if (draw < 0.12) {
			happened.late++;
			late.push(datagram);
			return [];
		}
		if (draw < 0.16) {
			happened.broken++;
			const at = Math.floor(chance.nextFloat() * datagram.length);
			datagram[at] = (datagram[at] ?? 0) ^ 0x10;
		}
		return [datagram, ...late.splice(0)];
	};
	const { address, server, exchange } = await quicPair(t, { silenceMs: 10_000 });
	const between = await relay(t, address, alter);
	const askAndCompare = async (): Promise<void> => {
		const question = randomBytes(8_000);
		const { bytes } = await exchange.exchange(between.address, question, { ...ask, timeoutMs: 30_000 });
		t.true(Buffer.from(bytes).equals(Buffer.from(question.toReversed())));
	};
	for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 12 }, askAndCompare));
	t.true(
		Object.values(happened).every((count) => count > 0),
		JSON.stringify(happened),
	);
	t.is(server.counters.accepted, 1);
});

test('a peer that vanishes behind an open connection is noticed, left alone for a while, and found again', async (t) => {
	const { address, server, exchange } = await quicPair(t, {
		silenceMs: 1000,
		links: { backoffMsMin: 300 },
	});
	const between = await relay(t, address);
	await exchange.exchange(between.address, one, ask);
	between.cut = true;
	const silent = await t.throwsAsync(exchange.exchange(between.address, one, ask), {
		code: 'IM_TRANSPORT_UNREACHABLE',
	});
	t.regex(silent.message, /silent/);
	const short = { ...ask, timeoutMs: 200 };
	const unanswered = await t.throwsAsync(exchange.exchange(between.address, one, short));
	t.regex(unanswered.message, /no answer over QUIC/);
	const alone = await t.throwsAsync(exchange.exchange(between.address, one, ask), { code: 'IM_TRANSPORT_UNREACHABLE' });
	t.regex(alone.message, /lately/);
	between.cut = false;
	for (let answered = false; !answered; ) {
		const asked = exchange.exchange(between.address, one, ask);
		answered = await asked.then(
			() => true,
			() => false,
		);
		await new Promise((resolve) => realClock.after(20, () => resolve(undefined)));
	}
	t.is(server.counters.accepted, 2);
});

test('in a mixed pool whoever has QUIC asks over TLS where QUIC is not answered, and answers both', async (t) => {
	const old = testNode(await testIdentity(authority));
	const tls = new TlsExchange(old.context);
	const tlsAddress = await tls.listen('127.0.0.1:0', reverse);
	t.teardown(() => tls.close());
	const { address, server, caller, exchange } = await answering(t, mixed, reverse);
	t.is((await exchange.exchange(address, one, ask)).node, server.nodeUuid);
	t.deepEqual(caller.counters.quic, { answered: 0, asked: 1, fellBack: 0, dropped: 0 });
	t.is((await tls.exchange(address, one, ask)).node, server.nodeUuid, 'TLS asks it');
	t.is((await exchange.exchange(tlsAddress, one, ask)).node, old.nodeUuid, 'it asks TLS');
	const unanswered = caller.counters.failed('IM_TRANSPORT_UNREACHABLE');
	t.is((await exchange.exchange(tlsAddress, one, ask)).node, old.nodeUuid);
	t.is(caller.counters.failed('IM_TRANSPORT_UNREACHABLE'), unanswered, 'the second time without trying QUIC');
	t.deepEqual(caller.counters.quic, { answered: 0, asked: 1, fellBack: 2, dropped: 0 });
	t.is(server.counters.quic.answered, 1);
});

test('what cannot be loaded is told by name, with what to do', (t) => {
	const error = t.throws(() => loadQuiche('file:///nowhere/'), { code: 'IM_TRANSPORT_QUIC_MISSING' });
	t.regex(error.message, /@infisical\/quic/);
});
