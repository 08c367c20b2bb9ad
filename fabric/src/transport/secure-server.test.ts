// Servers and channels over loopback: who gets in, who does not and why, and what happens to open streams when certificates change or nodes are revoked.

import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import {
	type ChannelCredentials,
	credentials,
	makeGenericClientConstructor,
	type ServiceDefinition,
	type ServiceError,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { CertificateAuthority } from '../identity/authority.js';
import { pemOfCertificate } from '../identity/certificate.js';
import { identityErrors } from '../identity/errors.js';
import { ManualClock, testAuthority, testDomain, testIdentity } from '../identity/identity-test-support.js';
import { generateNodeKey } from '../identity/keys.js';
import type { IdentityMutation } from '../identity/svid.js';
import { parseAddress } from './address.js';
import type { RefusalReason } from './counters.js';
import { meshErrorOf } from './grpc-errors.js';
import { PeerChannels, type PeerLease } from './peer-channels.js';
import { SecureServer, type SecureServerOptions } from './secure-server.js';
import { ownContext } from './tls-options.js';
import {
	EchoClient,
	echo,
	echoHandlers,
	echoService,
	openTalk,
	type TestNode,
	testNode,
} from './transport-test-support.js';

const authority = await testAuthority();

/** The echo service under another name. */
function renamed(name: string): ServiceDefinition {
	const { echo: one, talk } = echoService;
	return { echo: { ...one, path: `/${name}/Echo` }, talk: { ...talk, path: `/${name}/Talk` } };
}

interface Pair {
	readonly server: TestNode;
	readonly secure: SecureServer;
	readonly address: string;
	readonly caller: TestNode;
	readonly channels: PeerChannels;
	readonly lease: PeerLease;
	readonly client: EchoClient;
	readonly calls: string[];
}

async function pair(
	t: ExecutionContext,
	options: {
		readonly serverAuthority?: CertificateAuthority;
		readonly callerAuthority?: CertificateAuthority;
		readonly clock?: ManualClock;
		readonly mutation?: IdentityMutation;
		readonly expectedNode?: string;
		readonly server?: Partial<SecureServerOptions>;
	} = {},
): Promise<Pair> {
	const mutations = new Set(options.mutation === undefined ? [] : [options.mutation]);
	const nowMs = options.clock?.wallMs();
	const clock = options.clock === undefined ? {} : { clock: options.clock };
	const server = testNode(await testIdentity(options.serverAuthority ?? authority, nowMs), { mutations, ...clock });
	const caller = testNode(await testIdentity(options.callerAuthority ?? authority, nowMs), { mutations });
	const secure = new SecureServer(server.context, options.server);
	const calls: string[] = [];
	secure.addService(
		echoService,
		echoHandlers((call) => calls.push(secure.peerOf(call)?.id.uri ?? 'nobody')),
	);
	const address = await secure.listen('127.0.0.1:0');
	const channels = new PeerChannels(caller.context);
	const lease = channels.acquire({ address, nodeUuid: options.expectedNode ?? server.nodeUuid });
	const client = lease.client(EchoClient);
	t.teardown(async () => {
		channels.close();
		await secure.close();
	});
	return { server, secure, address, caller, channels, lease, client, calls };
}

/** Resolves when a counter has moved: the other side of a refused handshake learns of it later than the refuser. */
async function refusedFor(node: TestNode, reason: RefusalReason): Promise<void> {
	const deadline = Date.now() + 10_000;
	while (node.counters.refused(reason) === 0) {
		if (Date.now() > deadline)
			throw new Error(`not refused for ${reason}: ${JSON.stringify(node.counters.snapshot())}`);
		await new Promise((resolve) => setImmediate(resolve));
	}
}

async function failure(client: EchoClient): Promise<string> {
	return echo(client, 'hello', 2000).then(
		() => 'answered',
		(error: Error) => error.message,
	);
}

test('two nodes of one mesh speak; the handler knows the caller by its certificate', async (t) => {
	const { client, calls, caller, server } = await pair(t);
	t.is(await echo(client, 'hello'), 'hello');
	t.deepEqual(calls, [`spiffe://mesh.test/node/${caller.nodeUuid}`]);
	t.is(server.counters.accepted, 1);
	t.is(caller.counters.connected, 1);
});

test('a caller of another trust domain is refused, and refuses itself', async (t) => {
	const other = await testAuthority(Date.now(), {}, 'other.test');
	const { client, caller, calls } = await pair(t, { callerAuthority: other });
	t.regex(await failure(client), /UNAVAILABLE|DEADLINE/);
	t.true(caller.counters.failed('IM_IDENTITY_WRONG_TRUST_DOMAIN') > 0);
	t.is(calls.length, 0);
});

test('a caller whose own checks are off is still refused by the server', async (t) => {
	const other = await testAuthority(Date.now(), {}, 'other.test');
	const server = testNode(await testIdentity(authority));
	const secure = new SecureServer(server.context);
	secure.addService(echoService, echoHandlers());
	const address = await secure.listen('127.0.0.1:0');
	t.teardown(() => secure.close());
	const stranger = await testIdentity(other);
	const socket = connectTls({
		...parseAddress(address),
		...ownContext(stranger),
		rejectUnauthorized: false,
		ALPNProtocols: ['h2'],
	});
	socket.on('error', () => {});
	await closed(socket);
	await refusedFor(server, 'IM_IDENTITY_WRONG_TRUST_DOMAIN');
	t.is(secure.load.open, 0);
});

test('same trust domain, another authority: no chain to a root', async (t) => {
	const impostor = await testAuthority();
	const { client, caller, calls } = await pair(t, { callerAuthority: impostor });
	t.regex(await failure(client), /UNAVAILABLE|DEADLINE/);
	t.true(caller.counters.failed('IM_IDENTITY_UNTRUSTED') > 0);
	t.is(calls.length, 0);
});

test('another node at the address than the one expected is refused', async (t) => {
	const { client, caller, calls } = await pair(t, { expectedNode: '00000000-0000-4000-8000-000000000000' });
	t.regex(await failure(client), /UNAVAILABLE|DEADLINE/);
	t.true(caller.counters.failed('IM_IDENTITY_UNEXPECTED_PEER') > 0);
	t.is(calls.length, 0);
	const error = await t.throwsAsync(echo(client, 'again'));
	t.is(
		meshErrorOf(error as ServiceError, identityErrors).code,
		'IM_IDENTITY_UNEXPECTED_PEER',
		'the caller is told why',
	);
});

test('an expired caller is refused until it has renewed, by the injected clock', async (t) => {
	const clock = new ManualClock();
	const short = await testAuthority(clock.wallMs(), { leafMs: 60_000 });
	const { client, caller, server, calls } = await pair(t, { serverAuthority: short, callerAuthority: short, clock });
	clock.advance(61_000);
	t.regex(await failure(client), /UNAVAILABLE|DEADLINE/);
	t.true(server.counters.refused('IM_IDENTITY_EXPIRED') > 0);
	t.is(calls.length, 0);
	caller.holder.set(await testIdentity(short, clock.wallMs(), caller.nodeUuid));
	t.is(await echo(client, 'renewed', 20_000, true), 'renewed');
});

test('known bug accept-expired: the expired caller gets in', async (t) => {
	const clock = new ManualClock();
	const short = await testAuthority(clock.wallMs(), { leafMs: 60_000 });
	const options = { serverAuthority: short, callerAuthority: short, clock, mutation: 'accept-expired' } as const;
	const { client } = await pair(t, options);
	clock.advance(61_000);
	t.is(await echo(client, 'stale'), 'stale');
});

test('a certificate rotates under an open stream: the stream goes on, new connections show the new one', async (t) => {
	const { client, server, caller, address, secure } = await pair(t);
	const talk = openTalk(client);
	t.is(await talk.ask('before'), 'before');
	const before = server.holder.current().svid.leaf.fingerprint;
	server.holder.set(await testIdentity(authority, Date.now(), server.nodeUuid));
	caller.holder.set(await testIdentity(authority, Date.now(), caller.nodeUuid));
	t.is(await talk.ask('after'), 'after');
	const shown = connectTls({
		...parseAddress(address),
		...ownContext(caller.holder.current()),
		rejectUnauthorized: false,
		ALPNProtocols: ['h2'],
	});
	await once(shown, 'secureConnect');
	const seen = shown.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase();
	t.is(seen, server.holder.current().svid.leaf.fingerprint);
	t.not(seen, before);
	shown.destroy();
	t.is(await talk.ask('still'), 'still');
	talk.end();
	t.is(secure.load.handshakes, 0);
});

test('connections are replaced at their age without dropping a stream', async (t) => {
	const { client, server } = await pair(t, { server: { connectionAgeMs: 300 } });
	const talk = openTalk(client);
	t.is(await talk.ask('young'), 'young');
	const deadline = Date.now() + 10_000;
	while (server.counters.accepted < 2 && Date.now() < deadline) await echo(client, 'unary');
	t.true(server.counters.accepted >= 2, 'a second connection was made');
	t.is(await talk.ask('old'), 'old');
	talk.end();
});

/** OpenSSL judges by the system's time: what is issued at a later hour of the test's clock must be valid by that too. */
const hourlyLeaves = { leafMs: 3_600_000, backdateMs: 3_600_000 };

test('no connection outlives the certificate its peer showed; who has renewed is on another one by then and loses no call', async (t) => {
	const clock = new ManualClock();
	const hourly = await testAuthority(clock.wallMs(), hourlyLeaves);
	const replaced = { serverAuthority: hourly, callerAuthority: hourly, clock, server: { connectionAgeMs: 300 } };
	const { client, server, caller } = await pair(t, replaced);
	const talk = openTalk(client);
	t.is(await talk.ask('first certificate'), 'first certificate');
	clock.advance(1_800_000);
	caller.holder.set(await testIdentity(hourly, clock.wallMs(), caller.nodeUuid));
	server.holder.set(await testIdentity(hourly, clock.wallMs(), server.nodeUuid));
	const deadline = Date.now() + 10_000;
	while (server.counters.accepted < 2 && Date.now() < deadline) await echo(client, 'until it is asked to reconnect');
	t.is(await talk.ask('the old connection goes on'), 'the old connection goes on');
	clock.advance(1_799_000);
	t.is(await talk.ask('to its last second'), 'to its last second');
	clock.advance(1_000);
	t.truthy(await talk.ended);
	t.deepEqual(server.counters.expiredClosed, { renewed: 1, lapsed: 0 });
	t.is(await echo(client, 'calls go on'), 'calls go on');
});

for (const [mutation, name] of [
	[undefined, 'a peer that does not renew is cut off when its certificate expires, open stream and all'],
	['keep-expired-connections', 'known bug keep-expired-connections: the stream of an expired peer lives on'],
] as const)
	test(name, async (t) => {
		const clock = new ManualClock();
		const hourly = await testAuthority(clock.wallMs(), hourlyLeaves);
		const given = { serverAuthority: hourly, callerAuthority: hourly, clock };
		const { client, server } = await pair(t, mutation === undefined ? given : { ...given, mutation });
		const talk = openTalk(client);
		t.is(await talk.ask('valid'), 'valid');
		clock.advance(3_600_000);
		if (mutation !== undefined) {
			t.is(await talk.ask('expired'), 'expired');
			talk.end();
			return;
		}
		t.truthy(await talk.ended);
		t.deepEqual(server.counters.expiredClosed, { renewed: 0, lapsed: 1 });
		t.regex(await failure(client), /UNAVAILABLE|DEADLINE/);
		t.true(server.counters.refused('IM_IDENTITY_EXPIRED') > 0);
	});

for (const [mutation, name] of [
	[undefined, 'a revoked node: its open stream closes and it does not come back'],
	['keep-revoked-connections', 'known bug keep-revoked-connections: the stream of a revoked node lives on'],
] as const)
	test(name, async (t) => {
		const { client, server, caller } = await pair(t, mutation === undefined ? {} : { mutation });
		const talk = openTalk(client);
		t.is(await talk.ask('trusted'), 'trusted');
		server.revocations.update([caller.nodeUuid], 1n);
		if (mutation !== undefined) {
			t.is(await talk.ask('revoked'), 'revoked');
			talk.end();
			return;
		}
		const end = await talk.ended;
		t.truthy(end);
		t.is(server.counters.revokedClosed, 1);
		t.regex(await failure(client), /UNAVAILABLE|DEADLINE/);
		t.true(server.counters.refused('IM_IDENTITY_REVOKED') > 0);
		server.revocations.update([], 2n);
		t.is(await echo(client, 'released', 20_000, true), 'released');
	});

test('a caller closes its connections to a revoked node too', async (t) => {
	const { client, server, caller } = await pair(t);
	const talk = openTalk(client);
	t.is(await talk.ask('a'), 'a');
	caller.revocations.update([server.nodeUuid], 1n);
	t.truthy(await talk.ended);
	t.is(caller.counters.revokedClosed, 1);
	t.false(caller.revocations.update([], 0n), 'an older list changes nothing');
	t.false(caller.revocations.update([server.nodeUuid], 1n), 'neither does the same one');
});

test('plaintext and garbage to the port are refused and harm nobody', async (t) => {
	const { client, server, address } = await pair(t);
	t.is(await echo(client, 'one'), 'one');
	const http = await spoken(address, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n');
	t.false(http.includes('HTTP/1.1 200'));
	await refusedFor(server, 'IM_TRANSPORT_PLAINTEXT');
	await spoken(address, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
	await spoken(address, Buffer.alloc(70_000, 0xff));
	await spoken(address, Buffer.from([0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x00]));
	t.is(await echo(client, 'two'), 'two');
	t.is(server.counters.accepted, 1);
});

test('of two connections from one address and port, to two of this node, the second is refused: calls say where they come from, not where to', async (t) => {
	const [server, first, second] = await Promise.all([1, 2, 3].map(async () => testNode(await testIdentity(authority))));
	if (server === undefined || first === undefined || second === undefined) return t.fail();
	const secure = new SecureServer(server.context);
	t.teardown(() => secure.close());
	const { port } = parseAddress(await secure.listen('0.0.0.0:0'));
	const connect = (host: string, node: TestNode, localPort?: number) => {
		const options = { host, port, localAddress: '127.0.0.1', ...(localPort === undefined ? {} : { localPort }) };
		const socket = connectTls({
			socket: connectTcp(options),
			...ownContext(node.holder.current()),
			rejectUnauthorized: false,
			ALPNProtocols: ['h2'],
		});
		socket.on('error', () => {});
		socket.resume();
		return socket;
	};
	const open = connect('127.0.0.1', first);
	await once(open, 'secureConnect');
	await closed(connect('127.0.0.2', second, open.localPort));
	await refusedFor(server, 'IM_TRANSPORT_ADDRESS_TAKEN');
	t.false(open.destroyed);
	open.destroy();
	await closed(open);
	while (secure.load.open > 0) await new Promise((resolve) => setImmediate(resolve));
	const next = connect('127.0.0.2', second);
	await once(next, 'secureConnect');
	next.destroy();
});

test('garbage after a good handshake ends that connection only', async (t) => {
	const { client, caller, address, secure } = await pair(t);
	t.is(await echo(client, 'one'), 'one');
	const bad = connectTls({
		...parseAddress(address),
		...ownContext(caller.holder.current()),
		rejectUnauthorized: false,
		ALPNProtocols: ['h2'],
	});
	bad.on('error', () => {});
	await once(bad, 'secureConnect');
	bad.write(Buffer.alloc(100_000, 0x58));
	bad.resume();
	await closed(bad);
	t.is(await echo(client, 'two'), 'two');
	t.is(secure.load.open, 1);
});

test('a caller without a certificate, an older TLS and another protocol are refused by name', async (t) => {
	const { server, caller, address } = await pair(t);
	const at = parseAddress(address);
	const mine = ownContext(caller.holder.current());
	const attempts = [
		[{ rejectUnauthorized: false, ALPNProtocols: ['h2'] }, 'IM_IDENTITY_NO_CERTIFICATE'],
		[{ ...mine, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', rejectUnauthorized: false }, 'IM_TRANSPORT_HANDSHAKE'],
		[{ ...mine, rejectUnauthorized: false }, 'IM_TRANSPORT_PROTOCOL'],
		[{ ...mine, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] }, 'IM_TRANSPORT_PROTOCOL'],
	] as const;
	for (const [options, reason] of attempts) {
		const socket = connectTls({
			...at,
			...options,
			ALPNProtocols: 'ALPNProtocols' in options ? [...options.ALPNProtocols] : [],
		});
		socket.on('error', () => {});
		socket.resume();
		await closed(socket);
		await refusedFor(server, reason);
	}
	t.pass();
});

test('a handshake that hangs is ended, at the server and at the caller', async (t) => {
	const { server, address, caller } = await pair(t, { server: { limits: { handshakeTimeoutMs: 200 } } });
	const mute = connectTcp(parseAddress(address));
	mute.on('error', () => {});
	await closed(mute);
	await refusedFor(server, 'IM_TRANSPORT_TIMEOUT');

	const sockets: Socket[] = [];
	const silent = createServer((socket) => {
		socket.on('error', () => {});
		sockets.push(socket);
	});
	silent.listen(0, '127.0.0.1');
	await once(silent, 'listening');
	const bound = silent.address();
	const port = typeof bound === 'object' ? (bound?.port ?? 0) : 0;
	const channels = new PeerChannels(caller.context, { handshakeTimeoutMs: 200 });
	t.teardown(() => {
		channels.close();
		silent.close();
		for (const socket of sockets) socket.destroy();
	});
	const lease = channels.acquire({ address: `127.0.0.1:${port}`, nodeUuid: server.nodeUuid });
	t.regex(await failure(lease.client(EchoClient)), /no handshake within 200 ms|UNAVAILABLE|DEADLINE/);
	t.true(caller.counters.failed('IM_TRANSPORT_TIMEOUT') > 0);
});

test('handshakes and connections have a bound; those in keep working', async (t) => {
	const { client, server, address, secure } = await pair(t, {
		server: { limits: { handshakesMax: 3, connectionsMax: 6, handshakeTimeoutMs: 60_000 } },
	});
	t.is(await echo(client, 'in'), 'in');
	const mutes = Array.from({ length: 10 }, () => connectTcp(parseAddress(address)));
	for (const socket of mutes) socket.on('error', () => {});
	t.teardown(() => mutes.map((socket) => socket.destroy()));
	await refusedFor(server, 'IM_TRANSPORT_CONNECTIONS_MAX');
	t.is(await echo(client, 'still in'), 'still in');
	t.true(secure.load.handshakes <= 3);
	for (const socket of mutes) socket.destroy();
	const deadline = Date.now() + 10_000;
	while (secure.load.handshakes > 0 && Date.now() < deadline) await new Promise((resolve) => setImmediate(resolve));
	t.is(secure.load.handshakes, 0, 'nothing leaks');
});

test('channels are shared by node, bounded, and closed when idle', async (t) => {
	const clock = new ManualClock();
	const node = testNode(await testIdentity(authority), { clock });
	const channels = new PeerChannels(node.context, { channelsMax: 2, idleCloseMs: 1000 });
	t.teardown(() => channels.close());
	const peer = (n: number): { address: string; nodeUuid: string } => ({ address: `127.0.0.1:${n}`, nodeUuid: `n${n}` });
	const first = channels.acquire(peer(1));
	t.is(channels.acquire(peer(1)).channel, first.channel);
	const second = channels.acquire(peer(2));
	t.throws(() => channels.acquire(peer(3)), { code: 'IM_TRANSPORT_CHANNELS_MAX' });
	second.release();
	second.release();
	const third = channels.acquire(peer(3));
	t.is(channels.size, 2);
	third.release();
	clock.advance(999);
	t.is(channels.size, 2);
	clock.advance(1);
	t.is(channels.size, 1);
	t.throws(() => channels.acquire({ address: 'nowhere', nodeUuid: 'a' }), { code: 'IM_TRANSPORT_ADDRESS' });
	channels.close();
	t.throws(() => channels.acquire(peer(1)), { code: 'IM_TRANSPORT_CLOSED' });
});

test('a server that closes lets a stream end within the grace, and no longer', async (t) => {
	const { client, secure } = await pair(t);
	const talk = openTalk(client);
	t.is(await talk.ask('a'), 'a');
	const closing = secure.close(10_000);
	t.is(await talk.ask('b'), 'b');
	talk.end();
	await closing;
	t.regex(await failure(client), /UNAVAILABLE|DEADLINE/);
});

/** Connects, sends, and collects what comes back until the other side closes. */
async function spoken(address: string, bytes: string | Buffer): Promise<string> {
	const socket = connectTcp(parseAddress(address));
	let answer = '';
	socket.on('error', () => {});
	socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
	socket.on('connect', () => socket.end(bytes));
	await closed(socket);
	return answer;
}

async function closed(socket: Socket): Promise<void> {
	if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

test('a client reaches the services that are for clients too, and no others; without a certificate neither', async (t) => {
	const server = testNode(await testIdentity(authority));
	const secure = new SecureServer(server.context, { joining: true });
	const forClients = renamed('test.Open');
	secure.addService(echoService, echoHandlers());
	secure.addClientService(forClients, echoHandlers());
	t.deepEqual(secure.services, ['test.Echo', 'test.Open']);
	const address = await secure.listen('127.0.0.1:0');
	const keys = await generateNodeKey();
	const chain = await authority.issueClient('ann', keys.publicKey, Date.now());
	const pem = (certificates: readonly Uint8Array[]) => Buffer.from(certificates.map(pemOfCertificate).join(''));
	const roots = pem(authority.bundle.roots);
	const key = Buffer.from(keys.privateKey.export({ format: 'pem', type: 'pkcs8' }));
	// As any gRPC client would, without a part of ours: whoever answers to the name of the trust domain is a node.
	const ann = credentials.createSsl(roots, key, pem(chain));
	const nobody = credentials.createSsl(roots);
	const call = async (who: ChannelCredentials, service: ServiceDefinition): Promise<string> => {
		const client = new (makeGenericClientConstructor(service, 'Echo') as unknown as typeof EchoClient)(address, who, {
			'grpc.ssl_target_name_override': testDomain,
		});
		try {
			return await echo(client, 'here');
		} catch (error) {
			return String((error as ServiceError).metadata.get('x-infermesh-error')[0]);
		} finally {
			client.close();
		}
	};
	t.is(await call(ann, forClients), 'here');
	t.is(await call(ann, echoService), 'IM_TRANSPORT_NOT_A_NODE');
	t.is(await call(nobody, forClients), 'IM_IDENTITY_NO_CERTIFICATE');
	await secure.close();

	// Ann's certificate, though of this mesh, answers to no name.
	const pretender = createTlsServer({ key, cert: pem(chain) }).listen(0, '127.0.0.1');
	await once(pretender, 'listening');
	const { port } = pretender.address() as AddressInfo;
	const asked = connectTls({ port, host: '127.0.0.1', ca: roots, servername: testDomain });
	const [error] = (await once(asked, 'error')) as [NodeJS.ErrnoException];
	t.is(error.code, 'ERR_TLS_CERT_ALTNAME_INVALID');
	pretender.close();
});
