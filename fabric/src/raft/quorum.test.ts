// Quorum arithmetic against an oracle that tries every subset.

import test from 'ava';
import * as fc from 'fast-check';
import type { Membership } from './messages.js';
import { jointIndex, jointVote, majorityIndex } from './quorum.js';

const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const rule = { ignoreOutgoing: false, learnersCount: false };
const voters = fc.uniqueArray(fc.constantFrom(...ids), { minLength: 1, maxLength: 7 });
const matches = fc.array(fc.nat(6), { minLength: 7, maxLength: 7 });

function matchOf(held: readonly number[]): (id: string) => number {
	return (id) => held[ids.indexOf(id)] ?? 0;
}

/** Whether a majority of `set` is among `holders`. */
function agrees(set: readonly string[], holders: readonly string[]): boolean {
	return set.length === 0 || set.filter((id) => holders.includes(id)).length * 2 > set.length;
}

/** The highest index such that those who hold it are a quorum: tried one by one. */
function oracle(sets: readonly (readonly string[])[], held: readonly number[]): number {
	let best = 0;
	for (let index = 1; index <= 6; index++) {
		const holders = ids.filter((id) => matchOf(held)(id) >= index);
		if (sets.every((set) => agrees(set, holders))) best = index;
	}
	return best;
}

function membership(now: readonly string[], before: readonly string[]): Membership {
	return {
		voters: now,
		outgoing: before,
		learners: ids.filter((id) => !now.includes(id) && !before.includes(id)),
		learnersNext: [],
	};
}

test('a majority holds the index, and no higher one', (t) => {
	fc.assert(
		fc.property(voters, matches, (set, held) => majorityIndex(set, matchOf(held)) === oracle([set], held)),
		{ numRuns: 2000 },
	);
	t.is(
		majorityIndex([], () => 0),
		Number.POSITIVE_INFINITY,
	);
});

test('joint: both majorities hold the index, and no higher one', (t) => {
	fc.assert(
		fc.property(voters, fc.uniqueArray(fc.constantFrom(...ids)), matches, (now, before, held) => {
			return jointIndex(membership(now, before), matchOf(held), rule) === oracle([now, before], held);
		}),
		{ numRuns: 5000 },
	);
	t.is(
		jointIndex(membership([], []), () => 5, rule),
		0,
	);
});

test('a vote is won, lost or open exactly as every way to go on says', (t) => {
	const votes = fc.array(fc.constantFrom(true, false, undefined), { minLength: 7, maxLength: 7 });
	fc.assert(
		fc.property(voters, fc.uniqueArray(fc.constantFrom(...ids)), votes, (now, before, cast) => {
			const granted = ids.filter((_, at) => cast[at] === true);
			const possible = ids.filter((_, at) => cast[at] !== false);
			const won = agrees(now, granted) && agrees(before, granted);
			const open = agrees(now, possible) && agrees(before, possible);
			const result = jointVote(membership(now, before), (id) => cast[ids.indexOf(id)], rule);
			return result === (won ? 'won' : open ? 'pending' : 'lost');
		}),
		{ numRuns: 5000 },
	);
	t.is(
		jointVote(membership([], []), () => true, rule),
		'lost',
	);
});

test('two quorums of one joint membership always share a voter', (t) => {
	fc.assert(
		fc.property(voters, fc.uniqueArray(fc.constantFrom(...ids)), fc.nat(127), fc.nat(127), (now, before, x, y) => {
			const [one, other] = [x, y].map((mask) => ids.filter((_, at) => (mask >> at) % 2 === 1));
			const wins = (set: readonly string[] = []): boolean =>
				jointVote(membership(now, before), (id) => (set.includes(id) ? true : undefined), rule) === 'won';
			return !wins(one) || !wins(other) || (one ?? []).some((id) => other?.includes(id));
		}),
		{ numRuns: 5000 },
	);
	t.pass();
});
