// Every order of events of a small group, breadth first: three members, two elections beyond the first term, two commands; every message may arrive at
// any time or never. Elections stand without pre-vote and lease, which only make fewer of them. The invariants hold in each state that is reached, and
// a known bug is found.
import test from 'ava';
import type { PeerId } from './messages.js';
import type { RaftMutation } from './mutations.js';
import { describeMessage } from './testing/describe.js';
import { TestGroup } from './testing/group.js';

type Action =
	| { readonly kind: 'campaign' | 'propose'; readonly id: PeerId }
	| { readonly kind: 'deliver'; readonly at: number };

const termMax = 3;
const commandsMax = 2;

/** Works and writes without delay: what varies here is the order of messages. */
function calm(group: TestGroup, id: PeerId): void {
	while (group.work(id) !== undefined || group.persist(id) !== undefined);
}

function apply(group: TestGroup, action: Action): void {
	if (action.kind === 'deliver') {
		const message = group.network[action.at];
		if (message === undefined) throw new Error('no such message');
		group.deliver(message);
		calm(group, message.to);
		return;
	}
	const { core } = group.member(action.id);
	if (action.kind === 'campaign') core.campaign();
	else core.propose([new TextEncoder().encode(`${core.term}`)]);
	calm(group, action.id);
}

/** The state after some actions, from the start. */
function replay(actions: readonly Action[], mutations: ReadonlySet<RaftMutation>): TestGroup {
	const group = new TestGroup({ seed: 1, mutations });
	group.found(['a', 'b', 'c']);
	for (const id of group.members.keys()) calm(group, id);
	for (const action of actions) apply(group, action);
	return group;
}

function possible(group: TestGroup): Action[] {
	const actions: Action[] = group.network.map((_, at) => ({ kind: 'deliver', at }));
	for (const [id, { core }] of group.members) {
		const commands = core.lastIndex - core.term;
		if (core.role === 'leader') {
			if (commands < commandsMax) actions.push({ kind: 'propose', id });
		} else if (core.term < termMax) actions.push({ kind: 'campaign', id });
	}
	return actions;
}

/** What makes two states the same. */
function fingerprint(group: TestGroup): string {
	const parts: string[] = [];
	for (const { core } of group.members.values()) {
		const log = Array.from({ length: core.lastIndex }, (_, at) => core.termAt(at + 1)).join(' ');
		const peers = core.peers().map(({ match, next, state }) => `${match} ${next} ${state}`);
		parts.push(`${core.role} ${core.term} ${core.votedFor} ${core.commitIndex} ${log} ${peers.join()}`);
	}
	return [...parts, ...group.network.map(describeMessage).sort()].join('\n');
}

/** Visits states breadth first until `statesMax`; throws where an invariant breaks. */
function explore(statesMax: number, mutations: ReadonlySet<RaftMutation>): { states: number; commits: number } {
	const seen = new Set<string>();
	let frontier: (readonly Action[])[] = [[]];
	let commits = 0;
	while (frontier.length > 0) {
		const next: (readonly Action[])[] = [];
		for (const actions of frontier) {
			for (const action of possible(replay(actions, mutations))) {
				if (seen.size >= statesMax) return { states: seen.size, commits };
				const path = [...actions, action];
				const group = replay(path, mutations);
				const print = fingerprint(group);
				if (seen.has(print)) continue;
				seen.add(print);
				if (group.checker.appliedMax > 1) commits++;
				next.push(path);
			}
		}
		frontier = next;
	}
	return { states: seen.size, commits };
}

const withoutElectionGuards: readonly RaftMutation[] = ['no-prevote', 'no-leader-stickiness'];

test('no order of messages breaks an invariant', (t) => {
	const { states, commits } = explore(12_000, new Set(withoutElectionGuards));
	t.log(`${states} states, ${commits} with commits`);
	t.true(commits > 100);
});

test('a member that votes twice is found', (t) => {
	t.throws(() => explore(12_000, new Set([...withoutElectionGuards, 'vote-twice'])), { message: /both lead term/ });
});
