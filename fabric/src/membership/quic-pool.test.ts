// Pools whose connections are QUIC, on the UDP socket that gossip itself uses, and pools in which not all have it.
import test, { type ExecutionContext } from 'ava';
import { testAuthority, testIdentity } from '../identity/identity-test-support.js';
import { groupSecret, startMember, type TestMember, until } from './membership-test-support.js';

async function threeMembers(
	t: ExecutionContext,
	transports: readonly ('tls' | 'quic')[],
): Promise<readonly TestMember[]> {
	const authority = await testAuthority();
	const secret = groupSecret();
	const members: TestMember[] = [];
	for (const transport of transports) {
		const seeds = members.map(({ address }) => address);
		const member = await startMember(await testIdentity(authority), { secret, seeds, transport });
		t.teardown(() => member.membership.stop());
		members.push(member);
	}
	return members;
}

test('three members over QUIC join, exchange and notice a death', async (t) => {
	const members = await threeMembers(t, ['quic', 'quic', 'quic']);
	const [a, b, c] = members as [TestMember, TestMember, TestMember];
	await until('all see three', () => members.every(({ membership }) => membership.liveMembers === 3));
	await until('exchanges went both ways', () => members.every(({ node }) => node.counters.quic.asked > 0));

	await c.membership.stop();
	await until('the stopped one has failed for both', () =>
		[a, b].every(({ membership }) => membership.member(c.id)?.state === 'dead'),
	);
	t.is(a.membership.liveMembers, 2);
	t.deepEqual(
		[a, b].map(({ membership }) => membership.transfer.refused.malformed),
		[0, 0],
		'no datagram of QUIC is taken for gossip',
	);
});

test('a member without QUIC joins those with it, and they it', async (t) => {
	const members = await threeMembers(t, ['quic', 'tls', 'quic']);
	const [first, old, last] = members as [TestMember, TestMember, TestMember];
	await until('all see three', () => members.every(({ membership }) => membership.liveMembers === 3));
	await until('those with QUIC used it', () => last.node.counters.quic.asked > 0);
	await until('and TLS with the one without', () => [first, last].some(({ node }) => node.counters.quic.fellBack > 0));
	t.is(old.node.counters.quic.answered + old.node.counters.quic.asked, 0);
	t.true(old.node.counters.accepted > 0);
	t.false(members.some(({ events }) => events.some(({ kind }) => kind === 'failed')));
});
