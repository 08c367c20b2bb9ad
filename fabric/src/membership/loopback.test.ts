import test from 'ava';
import { realClock, testAuthority, testIdentity } from '../identity/identity-test-support.js';
import { TlsExchange } from '../transport/exchange.js';
import { testNode } from '../transport/transport-test-support.js';
import { groupSecret, startMember, type TestMember, until } from './membership-test-support.js';
import { KeyRing } from './mesh-codec/key-ring.js';
import { MeshCodec } from './mesh-codec/mesh-codec.js';
import { emptyBytes } from './messages.js';
import { TcpExchange } from './tcp-exchange.js';

const bounds = { timeoutMs: 5_000, answerMaxBytes: 1_024 * 1_024 };

/** Asks for all records, as a joiner does. */
function sealedQuestion(codec: MeshCodec, from: string): Uint8Array {
	const question = { kind: 'pushPull', from, join: true, records: [], user: emptyBytes } as const;
	return codec.encodeStream(question, { address: '', id: undefined, protocol: emptyBytes });
}

test('five members over UDP and TCP join, notice a death, a leave and a return, and rotate their key', async (t) => {
	const authority = await testAuthority();
	const secret = groupSecret();
	const identities = await Promise.all(Array.from({ length: 5 }, () => testIdentity(authority)));
	const members: TestMember[] = [];
	t.teardown(() => Promise.all(members.map(({ membership }) => membership.stop())));
	for (const identity of identities) {
		const seeds = members.slice(0, 2).map(({ address }) => address);
		members.push(await startMember(identity, { secret, seeds }));
	}
	const [a, b, c, d, e] = members as [TestMember, TestMember, TestMember, TestMember, TestMember];
	await until('all see five', () => members.every(({ membership }) => membership.liveMembers === 5));

	await e.membership.stop();
	const others = [a, b, c, d];
	await until('the stopped one has failed for all', () =>
		others.every(({ membership }) => membership.member(e.id)?.state === 'dead'),
	);
	const failed = a.events.find((event) => event.kind === 'failed');
	t.true(
		failed?.kind === 'failed' && failed.by.length > 0 && failed.by.every((by) => others.some(({ id }) => id === by)),
	);

	const before = e.incarnation ?? 0;
	const identity = identities[4] as (typeof identities)[number];
	const back = await startMember(identity, { secret, seeds: [a.address], incarnation: before });
	members.push(back);
	await until('it is back at another address', () =>
		others.every(({ membership }) => membership.member(e.id)?.state === 'alive'),
	);
	t.is(a.membership.member(e.id)?.claim.address, back.address);
	t.true((back.incarnation ?? 0) > before);

	await d.membership.leave();
	await d.membership.stop();
	const rest = [a, b, c, back];
	await until('the one that left has left for all', () =>
		rest.every(({ membership }) => membership.member(d.id)?.state === 'left'),
	);
	t.false(rest.some(({ events }) => events.some((event) => event.kind === 'failed' && event.member.id === d.id)));

	const next = groupSecret();
	const keyId = a.ring.install(next);
	for (const { ring } of [b, c, back]) ring.install(next);
	for (const { ring } of rest) ring.use(keyId);
	a.membership.broadcast('greeting', new TextEncoder().encode('under the new key'));
	await until('a broadcast under the new key is heard', () =>
		[b, c, back].every(({ events }) => events.some((event) => event.kind === 'user' && event.key === 'greeting')),
	);
	t.true(
		rest.some(({ events }) => events.some(({ kind }) => kind === 'coordinate')),
		'a signed ack was believed',
	);
	for (const { membership } of rest) {
		const { refused } = membership.transfer;
		t.deepEqual(
			{ ...refused, forged: refused.forged, malformed: refused.malformed },
			{ ...refused, forged: 0, malformed: 0 },
		);
		t.is(membership.core?.counters.claimsForged, 0);
		t.is(membership.core?.counters.acksForged, 0);
	}
});

test('a member of another cluster, or without the group key, is not heard and is counted', async (t) => {
	const authority = await testAuthority();
	const secret = groupSecret();
	const a = await startMember(await testIdentity(authority), { secret });
	t.teardown(() => a.membership.stop());
	const stranger = await startMember(await testIdentity(authority), { secret, label: 'other', seeds: [a.address] });
	t.teardown(() => stranger.membership.stop());
	const outsider = await startMember(await testIdentity(authority), { secret: groupSecret(), seeds: [a.address] });
	t.teardown(() => outsider.membership.stop());
	await until(
		'both have tried',
		() => a.membership.transfer.refused.label > 0 && a.membership.transfer.refused.key > 0,
	);
	t.is(a.membership.liveMembers, 1);
	t.is(stranger.membership.liveMembers, 1);
	t.is(outsider.membership.liveMembers, 1);
});

test('who holds the group key but no certificate of the mesh reads nothing and is not believed', async (t) => {
	const secret = groupSecret();
	const { bundle, ...known } = await testIdentity(await testAuthority());
	const a = await startMember({ bundle, ...known }, { secret });
	t.teardown(() => a.membership.stop());
	// It trusts those whom it deceives, so that it is they who refuse it.
	const identity = { ...(await testIdentity(await testAuthority())), bundle };
	const impostor = await startMember(identity, { secret, seeds: [a.address] });
	t.teardown(() => impostor.membership.stop());
	await until('its certificate has been judged', () => a.node.counters.refused('IM_IDENTITY_UNTRUSTED') > 0);
	t.is(a.membership.liveMembers, 1);
	t.deepEqual(impostor.membership.members(), []);

	const codec = new MeshCodec({ label: 'test', self: impostor.id, ring: new KeyRing('test', secret), session: 1 });
	const { framing, streamMaxBytes: requestMaxBytes } = codec;
	const plain = new TcpExchange({ clock: realClock, framing, requestMaxBytes });
	await t.throwsAsync(plain.exchange(a.address, sealedQuestion(codec, impostor.id), bounds), {
		code: 'IM_MEMBERSHIP_EXCHANGE',
	});
	t.is(a.node.counters.refused('IM_TRANSPORT_PLAINTEXT'), 1);
});

test('a certificate speaks for its own node only, and no more once it is revoked', async (t) => {
	const authority = await testAuthority();
	const secret = groupSecret();
	const [a, b] = [
		await startMember(await testIdentity(authority), { secret }),
		await startMember(await testIdentity(authority), { secret }),
	];
	t.teardown(() => Promise.all([a.membership.stop(), b.membership.stop()]));
	const insider = testNode(await testIdentity(authority));
	const exchange = new TlsExchange(insider.context);
	t.teardown(() => exchange.close());
	const ring = new KeyRing('test', secret);
	const codecOf = (self: string): MeshCodec => new MeshCodec({ label: 'test', self, ring, session: 1 });
	const asked = exchange.exchange(a.address, sealedQuestion(codecOf(b.id), b.id), bounds);
	await t.throwsAsync(asked, { code: 'IM_TRANSPORT_CLOSED' }, 'in the name of another');
	t.is(a.membership.transfer.refused.certificate, 1);
	const own = sealedQuestion(codecOf(insider.nodeUuid), insider.nodeUuid);
	const { bytes, node } = await exchange.exchange(a.address, own, bounds);
	t.is(node, a.id);
	t.true(codecOf(insider.nodeUuid).decodeStream(bytes, a.address, 0).ok);
	const another = { ...bounds, expectedNode: b.id };
	await t.throwsAsync(exchange.exchange(a.address, own, another), { code: 'IM_IDENTITY_UNEXPECTED_PEER' });

	a.node.revocations.update([insider.nodeUuid], 1n);
	await t.throwsAsync(exchange.exchange(a.address, own, bounds), { code: 'IM_TRANSPORT_CLOSED' });
	t.is(a.node.counters.refused('IM_IDENTITY_REVOKED'), 1);
});

test('a new certificate is shown from the next connection on, and the pool stays whole', async (t) => {
	const authority = await testAuthority();
	const secret = groupSecret();
	const a = await startMember(await testIdentity(authority), { secret });
	const b = await startMember(await testIdentity(authority), { secret, seeds: [a.address] });
	t.teardown(() => Promise.all([a.membership.stop(), b.membership.stop()]));
	await until('both see two', () => [a, b].every(({ membership }) => membership.liveMembers === 2));
	const renewed = await testIdentity(authority, Date.now(), a.id);
	a.node.holder.set(renewed);
	a.authority.setIdentity(renewed);
	a.membership.update({ credential: a.authority.credential });
	const joiner = await startMember(await testIdentity(authority), { secret, seeds: [a.address] });
	t.teardown(() => joiner.membership.stop());
	const all = [a, b, joiner];
	await until('all see three', () => all.every(({ membership }) => membership.liveMembers === 3));
	await until('all know the new certificate', () =>
		[b, joiner].every(
			({ membership }) => membership.member(a.id)?.claim.credential.toString() === a.authority.credential.toString(),
		),
	);
	t.false(all.some(({ events }) => events.some(({ kind }) => kind === 'failed')));
});
