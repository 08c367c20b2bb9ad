// Random schedules of a small group: loss, reordering, duplicates, restarts, slow disks, membership changes. The invariants hold at every step, and
// once the network heals a leader is found and everything it takes commits. Each switchable bug that shows in such runs is noticed.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import type { Message, PeerId } from './messages.js';
import type { RaftMutation } from './mutations.js';
import { TestGroup } from './testing/group.js';

const everyone = ['a', 'b', 'c', 'd', 'e'];
const text = new TextEncoder();

function pick<T>(random: SeededRandom, from: readonly T[]): T | undefined {
	return from[Math.floor(random.nextFloat() * from.length)];
}

function changeSomething(group: TestGroup, random: SeededRandom, id: PeerId): void {
	const steps = everyone
		.filter(() => random.nextFloat() < 0.35)
		.map((member) => ({
			action: pick(random, ['add-voter', 'add-learner', 'remove'] as const) ?? 'remove',
			id: member,
		}));
	group.core(id).proposeMembership(steps);
}

/** For a while messages pass only inside one part of the group. */
function partition(group: TestGroup, random: SeededRandom): void {
	const inside = new Set(everyone.filter(() => random.nextFloat() < 0.5));
	const held: Message[] = [];
	const cut = (message: Message): boolean => {
		const lost = inside.has(message.from) !== inside.has(message.to);
		// Some of what does not pass is only late.
		if (lost && random.nextFloat() < 0.3) held.push(message);
		return lost;
	};
	for (let round = 0; round < 8; round++) {
		for (const id of everyone) if (random.nextFloat() < 0.8) group.core(id).tick();
		if (round === 5) for (const id of everyone) group.core(id).propose([text.encode(`${id}${random.nextU32()}`)]);
		group.settle(cut, 6);
	}
	group.network.push(...held);
}

function act(group: TestGroup, random: SeededRandom, step: number): void {
	const id = pick(random, everyone) ?? 'a';
	const member = group.member(id);
	const dice = random.nextFloat();
	if (dice < 0.3) group.work(id);
	else if (dice < 0.45) group.persist(id);
	else if (dice < 0.8) {
		const message = pick(random, group.network);
		if (message === undefined) return;
		if (random.nextFloat() < 0.1) group.network = group.network.filter((other) => other !== message);
		else {
			group.deliver(message);
			if (random.nextFloat() < 0.1) group.network.push(message);
		}
	} else if (dice < 0.88) member.core.tick();
	else if (dice < 0.94) member.core.propose([text.encode(`${id}${step}`)]);
	else if (dice < 0.955) changeSomething(group, random, id);
	else if (dice < 0.965) member.core.transferLeadership(pick(random, everyone) ?? 'a');
	else if (dice < 0.98) group.restart(id);
	else if (dice < 0.99) partition(group, random);
	else if (member.core.appliedIndex > 0) {
		const meta = group.snapshot(id, member.core.appliedIndex - 1);
		if (meta.index === 0) throw new Error('a snapshot of nothing');
	}
	// The network holds only so much: the oldest are lost.
	if (group.network.length > 200) group.network.splice(0, group.network.length - 200);
}

function run(seed: number, steps: number, mutations: ReadonlySet<RaftMutation> = new Set()): TestGroup {
	const limits = { electionTicks: 3, inflightMessagesMax: 3, appendBytesMax: 64, snapshotTicksMax: 20 };
	const group = new TestGroup({ seed, limits, mutations });
	const random = new SeededRandom(seed, 1);
	group.found(['a', 'b', 'c']);
	group.add('d');
	group.add('e');
	for (let step = 0; step < steps; step++) act(group, random, step);
	return group;
}

/** Whether the group commits again once nothing is lost any more. */
function heals(group: TestGroup): boolean {
	for (let round = 0; round < 200; round++) {
		if (!group.settle()) return false;
		for (const { core } of group.members.values()) core.tick();
		const leader = [...group.members.values()].find(({ core }) => core.role === 'leader' && core.committedInOwnTerm);
		if (round > 60 && leader !== undefined) {
			const result = leader.core.propose([text.encode('healed')]);
			if (result.kind !== 'accepted') continue;
			if (!group.settle()) return false;
			return leader.core.commitIndex >= result.index;
		}
	}
	return false;
}

test('random runs keep every invariant and heal', (t) => {
	const seeds = 60;
	let applied = 0;
	for (let seed = 1; seed <= seeds; seed++) {
		try {
			const group = run(seed, 2000);
			applied += group.checker.appliedMax;
			t.true(heals(group), `seed ${seed} does not heal`);
		} catch (cause) {
			throw new Error(`seed ${seed}`, { cause });
		}
	}
	t.log(`${applied} entries applied in ${seeds} runs`);
	t.true(applied > seeds * 20, 'the runs do too little to show anything');
});

const noticed: readonly RaftMutation[] = [
	'accept-append-without-previous-check',
	'acknowledge-overwritten',
	'commit-before-own-persist',
	'forget-vote-on-restart',
	'heartbeat-commit-beyond-match',
	'ignore-outgoing-quorum',
	'learner-counts',
	'reply-before-persist',
	'skip-joint',
	'change-while-pending',
	'truncate-committed',
	'vote-twice',
	'vote-without-log-check',
];

const seedsMax = 2000;

for (const mutation of noticed) {
	test(`random runs notice ${mutation}`, (t) => {
		for (let seed = 1; seed <= seedsMax; seed++) {
			try {
				run(seed, 2000, new Set([mutation]));
			} catch (error) {
				t.log(`seed ${seed}: ${(error as Error).message}`);
				t.pass();
				return;
			}
		}
		t.fail(`not noticed in ${seedsMax} seeds`);
	});
}

test('the same seed gives the same messages', (t) => {
	const trace = (): readonly Message[] => run(7, 1000).network;
	t.deepEqual(trace(), trace());
});
