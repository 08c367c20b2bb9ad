// The steps by which the group of coordinators follows the nodes that are there: one at a time, newcomers as learners first, removed ones out and kept
// out.
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { HandClock } from '../../fleet/testing.js';
import { Autopilot } from './autopilot.js';
import type { GroupCall, GroupState } from './consensus-protocol.js';

const still: GroupState = {
	clusterId: 'mesh',
	foreignRefused: 0,
	leader: 'a',
	role: 'leader',
	term: 1,
	commitIndex: 1,
	appliedIndex: 1,
	voters: ['a', 'b', 'c'],
	learners: [],
	syncP99Ms: 0,
	queuedBytes: 0,
	diskFull: false,
};

/** What the member `a` does in one round. */
async function step(
	group: Partial<GroupState>,
	{ there = ['a', 'b', 'c'], removed = [] as readonly string[], shutOut = [] as readonly string[], votersMax = 5 },
): Promise<GroupCall | undefined> {
	const clock = new HandClock();
	const calls: GroupCall[] = [];
	const autopilot = new Autopilot({
		clock,
		self: 'a',
		votersMax,
		state: () => ({ ...still, ...group }),
		coordinators: () => there,
		removed: () => new Set(removed),
		shutOut: (id) => shutOut.includes(id),
		call: (call) => {
			calls.push(call);
			return Promise.resolve();
		},
		log: () => undefined,
	});
	clock.advance(1000);
	await turn();
	autopilot.close();
	return calls[0];
}

test('a newcomer becomes a learner, and gets a vote while there are votes to give', async (t) => {
	t.deepEqual(await step({}, { there: ['a', 'b', 'c', 'd'] }), { call: 'addLearner', id: 'd' });
	const learning = { learners: ['d'] };
	t.deepEqual(await step(learning, { there: ['a', 'b', 'c', 'd'] }), { call: 'promote', id: 'd' });
	t.is(await step(learning, { there: ['a', 'b', 'c', 'd'], votersMax: 3 }), undefined);
});

test('a member that is away stays; one that was removed is taken out and not taken in again', async (t) => {
	t.is(await step({}, { there: ['a'] }), undefined);
	t.deepEqual(await step({}, { there: ['a', 'b'], removed: ['c'] }), { call: 'remove', id: 'c' });
	t.deepEqual(await step({ learners: ['d'] }, { removed: ['d'] }), { call: 'remove', id: 'd' });
	const without = { voters: ['a', 'b'] };
	t.is(await step(without, { there: ['a', 'b', 'c'], removed: ['c'] }), undefined, 'it came back as it was');
	t.deepEqual(await step(without, { there: ['a', 'b', 'e'], removed: ['c'] }), { call: 'addLearner', id: 'e' });
});

test('a leader that is quarantined hands over; whoever is quarantined keeps its place and gets no other', async (t) => {
	t.deepEqual(await step({}, { shutOut: ['a'] }), { call: 'transfer', id: undefined });
	t.is(await step({ leader: 'b' }, { shutOut: ['a'] }), undefined);
	t.is(await step({}, { shutOut: ['c'] }), undefined);
	t.is(await step({}, { there: ['a', 'b', 'c', 'd'], shutOut: ['d'] }), undefined);
	t.is(await step({ learners: ['d'] }, { there: ['a', 'b', 'c', 'd'], shutOut: ['d'] }), undefined);
});

test('a leader that was removed hands over, and whoever does not lead does nothing', async (t) => {
	t.deepEqual(await step({}, { removed: ['a'] }), { call: 'transfer', id: undefined });
	t.is(await step({ leader: 'b' }, { removed: ['c'] }), undefined);
});
