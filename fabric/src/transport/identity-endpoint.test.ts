// Joining and renewing over real connections.
import { SeededRandom } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import type { CertificateAuthority } from '../identity/authority.js';
import { IdentityService } from '../identity/identity-service.js';
import { ManualClock, realClock, testAuthority, testIdentity } from '../identity/identity-test-support.js';
import { JoinTokens } from '../identity/join-tokens.js';
import { generateNodeKey } from '../identity/keys.js';
import { type IssuanceRecord, type JoinTokenRecord, MemoryRecordStore } from '../identity/ports.js';
import { RevocationList } from '../identity/revocation.js';
import { type IdentityStorage, RotatingIdentity } from '../identity/rotation.js';
import { type Identity, makeIdentity } from '../identity/source.js';
import { anonymousCredentials } from './grpc-credentials.js';
import { joinMesh, remoteRenewer } from './identity-client.js';
import { addIdentityEndpoint } from './identity-endpoint.js';
import { PeerChannels } from './peer-channels.js';
import { SecureServer } from './secure-server.js';
import {
	EchoClient,
	echo,
	echoHandlers,
	echoService,
	openTalk,
	type TestNode,
	testNode,
} from './transport-test-support.js';

const timeoutMs = 10_000;

interface Mesh {
	readonly clock: ManualClock;
	readonly authority: CertificateAuthority;
	readonly service: IdentityService;
	readonly node: TestNode;
	readonly secure: SecureServer;
	readonly address: string;
	readonly tokens: JoinTokens;
	readonly revocations: RevocationList;
}

/** A coordinator with an authority whose leaves live a minute, so that time can be moved past them without leaving OpenSSL's. */
async function mesh(t: ExecutionContext): Promise<Mesh> {
	const clock = new ManualClock();
	const authority = await testAuthority(clock.wallMs(), { leafMs: 60_000 });
	const node = testNode(await testIdentity(authority, clock.wallMs()), { clock });
	// The coordinator's own timers are real: this clock stands for wall time only.
	const context = { ...node.context, clock: { ...realClock, wallMs: () => clock.wallMs() } };
	const secure = new SecureServer(context, { joining: true });
	const tokens = new JoinTokens(new MemoryRecordStore<JoinTokenRecord>());
	const { revocations } = node;
	const issuances = new MemoryRecordStore<IssuanceRecord>();
	const service = new IdentityService({ authority, tokens, issuances, revocations, clock });
	addIdentityEndpoint(secure, service);
	secure.addService(echoService, echoHandlers());
	const address = await secure.listen('127.0.0.1:0');
	t.teardown(() => secure.close());
	return { clock, authority, service, node, secure, address, tokens, revocations };
}

function callClock(clock: ManualClock): typeof realClock {
	return { ...realClock, wallMs: () => clock.wallMs() };
}

async function tokenOf(one: Mesh): Promise<string> {
	return (await one.tokens.create({ ttlMs: 600_000 }, one.authority.fingerprint, one.clock.wallMs())).text;
}

const forgetful: IdentityStorage = {
	loadPendingKey: () => undefined,
	savePendingKey: () => {},
	save: () => {},
	saveBundle: () => {},
};

test('a new node joins with a token and then speaks as itself', async (t) => {
	const one = await mesh(t);
	const options = { clock: callClock(one.clock), timeoutMs };
	const { identity } = await joinMesh(one.address, await tokenOf(one), await generateNodeKey(), options);
	const joined = testNode(identity);
	const channels = new PeerChannels(joined.context);
	t.teardown(() => channels.close());
	const lease = channels.acquire({ address: one.address, nodeUuid: one.node.nodeUuid });
	t.is(await echo(lease.client(EchoClient), 'hello'), 'hello');
	t.is(one.node.counters.anonymous, 1);
});

test('a joiner does not give its token to a server of another mesh, nor to one with a client certificate', async (t) => {
	const [one, other] = [await mesh(t), await mesh(t)];
	const options = { clock: callClock(one.clock), timeoutMs };
	const token = await tokenOf(one);
	await t.throwsAsync(joinMesh(other.address, token, await generateNodeKey(), options), {
		code: 'IM_IDENTITY_PIN_MISMATCH',
	});

	const keys = await generateNodeKey();
	const chain = await one.authority.issueClient('mallory', keys.publicKey, one.clock.wallMs());
	const mallory = testNode(makeIdentity(chain, keys.privateKey, one.authority.bundle, one.clock.wallMs()));
	let asked = 0;
	const false_ = new SecureServer(mallory.context, { joining: true });
	false_.addJoinService(
		echoService,
		echoHandlers(() => asked++),
	);
	const address = await false_.listen('127.0.0.1:0');
	t.teardown(() => false_.close());
	await t.throwsAsync(joinMesh(address, token, keys, options), { code: 'IM_IDENTITY_UNEXPECTED_PEER' });
	t.is(asked, 0);
	await t.notThrowsAsync(joinMesh(one.address, token, await generateNodeKey(), options), 'the token is still good');
});

test('refusals of the authority reach the joiner by name', async (t) => {
	const one = await mesh(t);
	const options = { clock: callClock(one.clock), timeoutMs };
	const token = await tokenOf(one);
	const keys = await generateNodeKey();
	await joinMesh(one.address, token, keys, options);
	await t.notThrowsAsync(joinMesh(one.address, token, keys, options), 'the same key again');
	await t.throwsAsync(joinMesh(one.address, token, await generateNodeKey(), options), {
		code: 'IM_IDENTITY_TOKEN_USED',
	});
	await t.throwsAsync(joinMesh('127.0.0.1:1', token, keys, options), { code: 'IM_TRANSPORT_UNREACHABLE' });
});

test('without a certificate nothing but joining and renewing is reached', async (t) => {
	const one = await mesh(t);
	const credentials = anonymousCredentials(() => ({ ok: true, svid: one.node.holder.current().svid }), {
		clock: realClock,
		timeoutMs,
	});
	const client = new EchoClient(one.address, credentials, {});
	t.teardown(() => client.close());
	await t.throwsAsync(echo(client, 'hello'), { message: /UNIMPLEMENTED/ });
});

test('certificates expire everywhere; the authority renews itself, the node is cut off, renews over the wire and is back', async (t) => {
	const one = await mesh(t);
	const options = { clock: callClock(one.clock), timeoutMs };
	const { identity } = await joinMesh(one.address, await tokenOf(one), await generateNodeKey(), options);
	const joined = testNode(identity);
	const channels = new PeerChannels({ ...joined.context, clock: options.clock });
	t.teardown(() => channels.close());
	const peer = { address: one.address, nodeUuid: one.node.nodeUuid };
	const talk = openTalk(channels.acquire(peer).client(EchoClient));
	t.is(await talk.ask('fresh'), 'fresh');

	one.clock.advance(90_000);
	// The coordinator holds the authority: it needs nobody to renew.
	one.node.holder.set(await testIdentity(one.authority, one.clock.wallMs(), one.node.nodeUuid));
	t.truthy(await talk.ended, 'no connection outlives the certificate it was opened with');
	const rotating = new RotatingIdentity({
		identity,
		renew: remoteRenewer(() => [one.address], options),
		storage: forgetful,
		clock: options.clock,
		random: new SeededRandom(3),
	});
	t.teardown(() => rotating.close());
	t.is(rotating.health().state, 'expired');
	const renewed = await new Promise<Identity>((resolve) => rotating.onChange(resolve));
	t.is(renewed.svid.nodeUuid, identity.svid.nodeUuid);
	t.is(rotating.health().state, 'fresh');
	joined.holder.set(renewed);
	const fresh = new PeerChannels({ ...joined.context, clock: options.clock });
	t.teardown(() => fresh.close());
	t.is(await echo(fresh.acquire(peer).client(EchoClient), 'new connection'), 'new connection');
});

test('a renewal is refused for a revoked node, and told so', async (t) => {
	const one = await mesh(t);
	const options = { clock: callClock(one.clock), timeoutMs };
	const { identity } = await joinMesh(one.address, await tokenOf(one), await generateNodeKey(), options);
	one.revocations.update([identity.svid.nodeUuid ?? ''], 1n);
	const renew = remoteRenewer(() => [one.address], options);
	await t.throwsAsync(renew(identity, await generateNodeKey()), { code: 'IM_IDENTITY_REVOKED' });
	await t.throwsAsync(remoteRenewer(() => [], options)(identity, await generateNodeKey()), {
		code: 'IM_IDENTITY_RENEWAL_FAILED',
	});
});

test('roots that the authority has prepared come with a renewal; those that a node adds to the answer do not', async (t) => {
	const one = await mesh(t);
	const options = { clock: callClock(one.clock), timeoutMs };
	const { identity } = await joinMesh(one.address, await tokenOf(one), await generateNodeKey(), options);
	t.is(identity.bundle.roots.length, 1);
	await one.authority.prepareRoot(one.clock.wallMs());
	const renewed = await remoteRenewer(() => [one.address], options)(identity, await generateNodeKey());
	t.is(renewed.bundle.roots.length, 2);
	const joined = await joinMesh(one.address, await tokenOf(one), await generateNodeKey(), options);
	t.is(joined.identity.bundle.roots.length, 2);

	// A node of the mesh that passes requests on, and adds a root of its own to what comes back.
	const [extra] = (await testAuthority(one.clock.wallMs())).bundle.roots;
	const crooked = new SecureServer(testNode(await testIdentity(one.authority, one.clock.wallMs())).context, {
		joining: true,
	});
	addIdentityEndpoint(
		crooked,
		new Proxy(one.service, {
			get: (service, name) => {
				if (name !== 'join' && name !== 'renew') return undefined;
				return async (request: never) => {
					const reply = await service[name](request);
					const rootsDer = [...(reply.trust?.rootsDer ?? []), extra];
					return { ...reply, trust: { ...reply.trust, rootsDer } };
				};
			},
		}),
	);
	const address = await crooked.listen('127.0.0.1:0');
	t.teardown(() => crooked.close());
	const unsigned = { code: 'IM_IDENTITY_TRUST_UNSIGNED' };
	const renew = remoteRenewer(() => [address], options);
	await t.throwsAsync(renew(joined.identity, await generateNodeKey()), unsigned);
	await t.throwsAsync(joinMesh(address, await tokenOf(one), await generateNodeKey(), options), unsigned);
});
