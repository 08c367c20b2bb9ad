import test from 'ava';
import { testAuthority, testIdentity } from '../identity/identity-test-support.js';
import { groupSecret, startMember, type TestMember, until } from './membership-test-support.js';

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
	for (const { membership } of rest) {
		const { refused } = membership.transfer;
		t.deepEqual(
			{ ...refused, forged: refused.forged, malformed: refused.malformed },
			{ ...refused, forged: 0, malformed: 0 },
		);
		t.is(membership.core?.counters.claimsForged, 0);
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

test('who holds the group key but no certificate of the mesh is not believed', async (t) => {
	const secret = groupSecret();
	const a = await startMember(await testIdentity(await testAuthority()), { secret });
	t.teardown(() => a.membership.stop());
	const impostor = await startMember(await testIdentity(await testAuthority()), { secret, seeds: [a.address] });
	t.teardown(() => impostor.membership.stop());
	await until('its certificate has been judged', () => a.membership.transfer.credentialsRefused > 0);
	t.is(a.membership.liveMembers, 1);
});
