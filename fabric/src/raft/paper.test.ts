// The rules of the Raft paper (figure 2 and the sections named), a test for each sentence, on one core whose peers are the test.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { RaftCore } from './core.js';
import { votersOnly } from './membership.js';
import { encodeMembership } from './membership-codec.js';
import { append, askVote, holds, Solo } from './testing/solo.js';

function heartbeat(term: number, commit = 0): Parameters<Solo['step']>[0] {
	return { kind: 'heartbeat', from: 'b', to: 'a', term, commit, readRound: 0 };
}

test('all servers: a higher term in a message is taken over, and the server becomes a follower', (t) => {
	const solo = new Solo();
	solo.lead();
	solo.step(append(9, [1, 1], []));
	t.is(solo.core.term, 9);
	t.is(solo.core.role, 'follower');
	t.is(solo.core.leader, 'b');
});

test('all servers: term, vote and entries are on disk before they are told', (t) => {
	const solo = new Solo();
	solo.core.step(askVote('b', 2, [1, 1]));
	const vote = solo.core.ready();
	t.deepEqual(vote.messages, []);
	t.deepEqual(vote.persist?.hardState, { term: 2, votedFor: 'b', commit: 1 });
	t.deepEqual(
		vote.persist?.messages.map(({ kind }) => kind),
		['voteReply'],
	);
	solo.core.persisted(1);
	solo.core.step(append(2, [1, 1], [2]));
	const written = solo.core.ready();
	t.deepEqual(written.messages, []);
	t.deepEqual(
		written.persist?.entries.map(({ index }) => index),
		[2],
	);
	t.deepEqual(
		written.persist?.messages.map(({ kind }) => kind),
		['appendReply'],
	);
});

test('followers: an election timeout without a leader begins an election; a heartbeat puts it off', (t) => {
	const solo = new Solo();
	solo.step(heartbeat(1));
	for (let round = 0; round < 20; round++) {
		solo.tick(4);
		solo.step(heartbeat(1));
	}
	t.is(solo.core.role, 'follower');
	solo.tick(10);
	t.is(solo.core.role, 'preCandidate');
});

test('followers: a granted vote puts the own election off', (t) => {
	const solo = new Solo({ seed: 3 });
	solo.tick(4);
	solo.step(askVote('b', 2, [1, 1]));
	t.deepEqual(solo.tick(4), []);
});

test('§5.2: election timeouts are drawn anew from one to two times the configured one, all values equally', (t) => {
	const drawn = new Map<number, number>();
	for (let seed = 0; seed < 1000; seed++) {
		const solo = new Solo({ seed });
		let ticks = 0;
		while (solo.core.role === 'follower') {
			solo.tick();
			ticks++;
		}
		drawn.set(ticks, (drawn.get(ticks) ?? 0) + 1);
	}
	t.deepEqual(
		[...drawn.keys()].sort((a, b) => a - b),
		[5, 6, 7, 8, 9],
	);
	for (const count of drawn.values()) t.true(count > 120 && count < 280, String(count));
});

test('candidates: a new election raises the term, votes for oneself and asks all others', (t) => {
	const solo = new Solo();
	solo.core.campaign();
	solo.work();
	const asked = solo.step({ kind: 'preVoteReply', from: 'b', to: 'a', term: 2, granted: true });
	t.is(solo.core.term, 2);
	t.is(solo.core.votedFor, 'a');
	t.deepEqual(
		asked.map(({ kind, to, term }) => [kind, to, term]),
		[
			['vote', 'b', 2],
			['vote', 'c', 2],
		],
	);
});

for (const [voters, granted, role] of [
	[['a'], [], 'leader'],
	[['a', 'b', 'c'], ['b'], 'leader'],
	[['a', 'b', 'c'], [], 'candidate'],
	[['a', 'b', 'c', 'd', 'e'], ['b', 'c'], 'leader'],
	[['a', 'b', 'c', 'd', 'e'], ['b'], 'candidate'],
] as const) {
	test(`candidates: ${granted.length} further votes of ${voters.length} make a ${role}`, (t) => {
		const solo = new Solo({ voters });
		solo.core.campaign();
		solo.work();
		for (const from of voters.slice(1)) solo.step({ kind: 'preVoteReply', from, to: 'a', term: 2, granted: true });
		for (const from of granted) solo.step({ kind: 'voteReply', from, to: 'a', term: 2, granted: true });
		t.is(solo.core.role, role);
	});
}

test('candidates: the same vote twice is one vote', (t) => {
	const solo = new Solo({ voters: ['a', 'b', 'c', 'd', 'e'] });
	solo.core.campaign();
	solo.work();
	for (const from of ['b', 'c']) solo.step({ kind: 'preVoteReply', from, to: 'a', term: 2, granted: true });
	for (let times = 0; times < 3; times++) solo.step({ kind: 'voteReply', from: 'b', to: 'a', term: 2, granted: true });
	t.is(solo.core.role, 'candidate');
});

function staleVote(mutations: ConstructorParameters<typeof Solo>[0]): Solo {
	const solo = new Solo(mutations);
	solo.core.campaign();
	solo.work();
	solo.step({ kind: 'preVoteReply', from: 'b', to: 'a', term: 2, granted: true });
	solo.tick(10);
	solo.step({ kind: 'preVoteReply', from: 'b', to: 'a', term: 3, granted: true });
	// A vote of the last election comes late.
	solo.step({ kind: 'voteReply', from: 'c', to: 'a', term: 2, granted: true });
	return solo;
}

test('candidates: a vote of an earlier term does not count', (t) => {
	t.is(staleVote({}).core.role, 'candidate');
	t.is(staleVote({ mutations: ['stale-vote-reply-counted'] }).core.role, 'leader');
});

test('candidates: an append of a leader of the same term makes a follower', (t) => {
	const solo = new Solo();
	solo.core.campaign();
	solo.work();
	solo.step({ kind: 'preVoteReply', from: 'b', to: 'a', term: 2, granted: true });
	solo.step(append(2, [1, 1], [2]));
	t.is(solo.core.role, 'follower');
	t.is(solo.core.leader, 'b');
});

test('candidates: an election without result is begun again in a higher term', (t) => {
	const solo = new Solo();
	solo.core.campaign();
	solo.work();
	solo.step({ kind: 'preVoteReply', from: 'b', to: 'a', term: 2, granted: true });
	t.is(solo.core.role, 'candidate');
	solo.tick(10);
	solo.step({ kind: 'preVoteReply', from: 'b', to: 'a', term: 3, granted: true });
	t.is(solo.core.term, 3);
	t.is(solo.core.role, 'candidate');
});

test('leaders: an election is followed at once by an append to everyone (§8: a no-op)', (t) => {
	const solo = new Solo();
	const sent = solo.lead();
	t.deepEqual(
		sent.map(({ kind, to }) => [kind, to]),
		[
			['append', 'b'],
			['append', 'c'],
		],
	);
	t.deepEqual(
		solo.of('append')[0]?.entries.map(({ kind, index, term }) => [kind, index, term]),
		[['noop', 2, 2]],
	);
});

test('leaders: heartbeats go to all followers in every heartbeat time', (t) => {
	const solo = new Solo();
	solo.lead();
	t.deepEqual(
		solo.tick().map(({ kind, to }) => [kind, to]),
		[
			['heartbeat', 'b'],
			['heartbeat', 'c'],
		],
	);
});

test('leaders: a command is appended to the own log, sent, and applied once a majority holds it', (t) => {
	const solo = new Solo();
	solo.lead();
	solo.step(holds('b', 2, 2));
	solo.sent = [];
	t.deepEqual(solo.core.propose([new TextEncoder().encode('x')]), { kind: 'accepted', term: 2, index: 3 });
	solo.work();
	t.is(solo.of('append')[0]?.entries.length, 1);
	t.is(solo.core.commitIndex, 2);
	solo.step(holds('b', 2, 3));
	t.is(solo.core.commitIndex, 3);
	t.is(solo.applied.at(-1)?.index, 3);
});

test('leaders: a refused append is sent again from further back, until the logs agree', (t) => {
	const solo = new Solo({ terms: [1, 1, 1] });
	solo.lead();
	const refusal = { kind: 'appendReply', from: 'b', to: 'a', term: 2, index: 4, rejected: true } as const;
	solo.step({ ...refusal, hintIndex: 2, hintTerm: 1 });
	t.deepEqual(
		solo.of('append').map(({ previousIndex, entries }) => [previousIndex, entries.length]),
		[[2, 3]],
	);
	// The same refusal once more, late: nothing goes back further.
	t.deepEqual(solo.step({ ...refusal, hintIndex: 1, hintTerm: 1 }), []);
});

test('leaders: never overwrite or delete entries of their own log (§5.3)', (t) => {
	const solo = new Solo({ terms: [1, 1] });
	solo.lead();
	solo.step(append(1, [1, 1], [1]));
	t.deepEqual(solo.terms, [1, 1, 2]);
	t.throws(() => solo.step(append(2, [1, 1], [2])), { message: /two leaders/ });
});

test('leaders: entries of earlier terms are committed only with one of the own term (§5.4.2)', (t) => {
	const solo = new Solo({ terms: [1, 1] });
	solo.lead();
	solo.step(holds('b', 2, 3));
	t.is(solo.core.commitIndex, 1);
	solo.step(holds('b', 2, 4));
	t.is(solo.core.commitIndex, 4);
	const wrong = new Solo({ terms: [1, 1], mutations: ['commit-old-term-by-counting'] });
	wrong.lead();
	wrong.step(holds('b', 2, 3));
	t.is(wrong.core.commitIndex, 3, 'the known bug no longer shows');
});

test('append 1: refused when its term is older', (t) => {
	const solo = new Solo({ term: 3 });
	const [reply] = solo.step(append(2, [1, 1], [2]));
	t.like(reply, { kind: 'appendReply', term: 3, rejected: true });
	t.deepEqual(solo.terms, []);
});

test('append 2: refused when the entry before is not there with its term', (t) => {
	for (const previous of [
		[3, 3],
		[4, 2],
	] as const) {
		const solo = new Solo({ terms: [1, 2] });
		const [reply] = solo.step(append(4, previous, [4]));
		t.like(reply, { kind: 'appendReply', rejected: true, index: previous[0] });
		t.deepEqual(solo.terms, [1, 2]);
	}
});

// Paper figure 7, cases a to f: whatever the follower holds, it ends up with the leader's log.
for (const [name, terms] of [
	['a', [1, 1, 1, 4, 4, 5, 5, 6, 6]],
	['b', [1, 1, 1, 4]],
	['c', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
	['d', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
	['e', [1, 1, 1, 4, 4, 4, 4]],
	['f', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
] as const) {
	test(`append 3 and 4: figure 7 ${name}: conflicts are cut off, what is missing is added`, (t) => {
		const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
		const solo = new Solo({ terms, term: 7 });
		let next = leader.length + 2;
		for (let tries = 0; tries < 20; tries++) {
			const previousTerm = leader[next - 3] ?? 1;
			const [reply] = solo.step(append(8, [next - 1, previousTerm], leader.slice(next - 2), 0));
			if (reply?.kind !== 'appendReply') throw new Error('no reply');
			if (!reply.rejected) break;
			next = Math.min(next - 1, reply.hintIndex + 1);
		}
		t.deepEqual(solo.terms.slice(0, leader.length), leader);
	});
}

test('append 3: an older append that comes late takes nothing back', (t) => {
	const solo = new Solo();
	solo.step(append(2, [1, 1], [2, 2, 2]));
	solo.step(append(2, [1, 1], [2]));
	t.deepEqual(solo.terms, [2, 2, 2]);
	const wrong = new Solo({ mutations: ['truncate-committed'] });
	wrong.step(append(2, [1, 1], [2, 2, 2]));
	wrong.step(append(2, [1, 1], [2]));
	t.deepEqual(wrong.terms, [2], 'the known bug no longer shows');
});

test('append 5: the commit index follows the leader, but not beyond what this append is known to bring', (t) => {
	const solo = new Solo({ terms: [1, 1, 1] });
	solo.step(append(2, [2, 1], [], 9));
	t.is(solo.core.commitIndex, 2);
	solo.step(append(2, [2, 1], [2], 9));
	t.is(solo.core.commitIndex, 3);
	t.deepEqual(
		solo.applied.map(({ index }) => index),
		[1, 2, 3],
	);
});

test('vote 1: refused when the term is older', (t) => {
	const solo = new Solo({ term: 3 });
	t.like(solo.step(askVote('b', 2, [9, 9]))[0], { kind: 'voteReply', granted: false, term: 3 });
});

test('vote 2: one vote a term, to the first who asks; the same one may ask again', (t) => {
	const solo = new Solo();
	t.like(solo.step(askVote('b', 2, [1, 1]))[0], { granted: true });
	t.like(solo.step(askVote('c', 2, [1, 1]))[0], { granted: false });
	t.like(solo.step(askVote('b', 2, [1, 1]))[0], { granted: true });
	const again = new Solo({ term: 2, votedFor: 'b' });
	t.like(again.step(askVote('c', 2, [1, 1]))[0], { granted: false }, 'forgotten over a restart');
});

for (const [last, granted] of [
	[[3, 2], true],
	[[2, 3], true],
	[[4, 2], true],
	[[2, 2], false],
	[[9, 1], false],
] as const) {
	test(`vote 2, §5.4.1: against a log that ends 3/2, one that ends ${last.join('/')} is ${granted ? '' : 'not '}up to date`, (t) => {
		const solo = new Solo({ terms: [1, 2], term: 3 });
		t.like(solo.step(askVote('b', 4, last))[0], { kind: 'voteReply', granted });
	});
}

test('dissertation §4.2.3: a voter that hears a leader refuses to vote, unless leadership is handed over', (t) => {
	const solo = new Solo();
	solo.step(heartbeat(1));
	t.deepEqual(solo.step(askVote('c', 2, [1, 1])), []);
	t.is(solo.core.term, 1);
	t.like(solo.step(askVote('c', 2, [1, 1], true))[0], { granted: true });
	const later = new Solo();
	later.step(heartbeat(1));
	later.tick(5);
	t.like(later.step(askVote('c', 2, [1, 1])).at(-1), { granted: true });
});

test('dissertation §9.6: a pre-vote changes neither term nor vote, and is lost when the log is behind', (t) => {
	const solo = new Solo({ terms: [1] });
	const preVote = { kind: 'preVote', from: 'b', to: 'a', term: 2, lastTerm: 1, transfer: false } as const;
	t.like(solo.step({ ...preVote, lastIndex: 2 })[0], { kind: 'preVoteReply', granted: true, term: 2 });
	t.like(solo.step({ ...preVote, lastIndex: 1 })[0], { kind: 'preVoteReply', granted: false, term: 1 });
	t.is(solo.core.term, 1);
	t.is(solo.core.votedFor, undefined);
});

test('a pre-vote that was not granted is asked for again each heartbeat, by a voter that was silent or refused', (t) => {
	const solo = new Solo({ limits: { heartbeatTicks: 2 } });
	solo.core.campaign();
	solo.work();
	solo.sent = [];
	solo.step({ kind: 'preVoteReply', from: 'b', to: 'a', term: 1, granted: false });
	t.deepEqual(solo.tick(1), []);
	const asked = solo.tick(1);
	t.deepEqual(
		asked.map(({ kind, to }) => `${kind} ${to}`),
		['preVote b', 'preVote c'],
	);
	solo.step({ kind: 'preVoteReply', from: 'b', to: 'a', term: 2, granted: true });
	t.is(solo.core.term, 2, 'the second answer counts');
});

test('of two that ask for pre-votes at once, the lower id waits while the other is young; a longer log is granted at once', (t) => {
	const standing = (): Solo => {
		const solo = new Solo({ limits: { heartbeatTicks: 2 } });
		solo.core.campaign();
		solo.work();
		solo.sent = [];
		return solo;
	};
	const lower = { kind: 'preVote', from: 'A', to: 'a', term: 2, lastTerm: 1, lastIndex: 1, transfer: false } as const;
	const young = standing();
	t.deepEqual(young.step(lower), []);
	t.like(young.step({ ...lower, from: 'b' })[0], { kind: 'preVoteReply', granted: true });
	t.like(young.step({ ...lower, lastIndex: 2 })[0], { kind: 'preVoteReply', granted: true });
	const older = standing();
	older.tick(2);
	t.like(older.step(lower).at(-1), { kind: 'preVoteReply', granted: true });
});

test('dissertation §6.2: a leader that does not hear of a quorum for an election timeout steps down', (t) => {
	const solo = new Solo();
	solo.lead();
	solo.tick(5);
	solo.tick(5);
	t.is(solo.core.role, 'follower');
	const heard = new Solo();
	heard.lead();
	for (let round = 0; round < 20; round++) {
		heard.tick(4);
		heard.step({ kind: 'heartbeatReply', from: 'c', to: 'a', term: 2, readRound: 0 });
	}
	t.is(heard.core.role, 'leader');
});

test('dissertation §6.4: a read is answered by a round begun after it, in this term, after a commit in this term', (t) => {
	const solo = new Solo();
	solo.lead();
	t.is(solo.core.readIndex(7), 'accepted');
	solo.work();
	t.deepEqual(solo.of('heartbeat'), [], 'nothing is committed in this term yet');
	solo.step(holds('b', 2, 2));
	t.deepEqual(
		solo.of('heartbeat').map(({ readRound }) => readRound),
		[1, 1],
	);
	solo.core.step({ kind: 'heartbeatReply', from: 'b', to: 'a', term: 2, readRound: 0 });
	t.deepEqual(solo.core.ready().readStates, [], 'a reply to an earlier heartbeat');
	solo.core.step({ kind: 'heartbeatReply', from: 'b', to: 'a', term: 2, readRound: 1 });
	t.deepEqual(solo.core.ready().readStates, [{ context: 7, index: 2 }]);
});

test('dissertation §3.10: no proposals while leadership is handed over, and again after an election timeout', (t) => {
	const solo = new Solo();
	solo.lead();
	solo.step(holds('b', 2, 2));
	solo.sent = [];
	t.is(solo.core.transferLeadership('b'), 'accepted');
	solo.work();
	t.deepEqual(
		solo.sent.map(({ kind, to }) => [kind, to]),
		[['timeoutNow', 'b']],
	);
	t.is(solo.core.propose([new Uint8Array(1)]).kind, 'transferring');
	for (let tick = 0; tick < 5; tick++) {
		solo.tick();
		solo.step({ kind: 'heartbeatReply', from: 'b', to: 'a', term: 2, readRound: 0 });
	}
	t.is(solo.core.propose([new Uint8Array(1)]).kind, 'accepted');
});

test('a restart keeps term, vote and log', (t) => {
	const solo = new Solo({ terms: [1, 2], term: 4, votedFor: 'c' });
	t.is(solo.core.term, 4);
	t.is(solo.core.votedFor, 'c');
	t.is(solo.core.lastIndex, 3);
	t.is(solo.core.role, 'follower');
});

test('a log with a later change of members proves the earlier one committed, whatever the hard state says', (t) => {
	const configs = [['a'], ['a', 'b'], ['a', 'b', 'c']].map((voters, at) => ({
		term: 1,
		index: at + 1,
		kind: 'config' as const,
		data: encodeMembership(votersOnly(voters)),
	}));
	const hardState = { term: 1, votedFor: undefined, commit: 0 };
	const restored = { hardState, snapshot: undefined, entries: configs };
	const core = new RaftCore({ id: 'a', random: new SeededRandom(1), restored });
	t.is(core.commitIndex, 2);
	t.deepEqual(core.membership.voters, ['a', 'b']);
});

test('a leader whose disk hangs takes on only so much, although the others commit it', (t) => {
	const solo = new Solo({ limits: { uncommittedBytesMax: 100 } });
	solo.lead();
	solo.step(holds('b', 2, 2));
	t.is(solo.core.propose([new Uint8Array(90)]).kind, 'accepted');
	const { persist } = solo.core.ready();
	for (const from of ['b', 'c']) solo.core.step(holds(from, 2, 3));
	t.is(solo.core.commitIndex, 3);
	t.is(solo.core.propose([new Uint8Array(90)]).kind, 'too-much-uncommitted');
	solo.core.persisted(persist?.token ?? 0);
	t.is(solo.core.propose([new Uint8Array(90)]).kind, 'accepted');
});

test('known bugs of elections and reads show when they are switched on', (t) => {
	const silent = new Solo({ mutations: ['no-check-quorum'] });
	silent.lead();
	silent.tick(20);
	t.is(silent.core.role, 'leader');
	const eager = new Solo({ mutations: ['no-prevote'] });
	eager.tick(10);
	t.is(eager.core.term, 2);
	const disloyal = new Solo({ mutations: ['no-leader-stickiness'] });
	disloyal.step(heartbeat(1));
	t.like(disloyal.step(askVote('c', 2, [1, 1])).at(-1), { granted: true });
	const early = new Solo({ mutations: ['read-before-own-term-commit'] });
	early.lead();
	early.core.readIndex(1);
	early.core.step({ kind: 'heartbeatReply', from: 'b', to: 'a', term: 2, readRound: 1 });
	t.is(early.core.ready().readStates[0]?.index, 1);
	const stale = new Solo({ mutations: ['stale-read-without-round'] });
	stale.lead();
	stale.step(holds('b', 2, 2));
	stale.core.readIndex(1);
	t.is(stale.core.ready().readStates[0]?.index, 2);
});
