// Owns one core whose peers are the test itself: what it sends is collected, its disk answers at once, its log can be given.
import { SeededRandom } from '@infermesh/proto';
import { RaftCore } from '../core.js';
import { votersOnly } from '../membership.js';
import { encodeMembership } from '../membership-codec.js';
import type { Entry, Message, MessageKind, MessageOf, PeerId } from '../messages.js';
import type { RaftMutation } from '../mutations.js';
import type { RaftLimits } from '../options.js';
import type { PersistBatch } from '../ready.js';

export interface SoloOptions {
	readonly voters?: readonly PeerId[];
	/** Terms of the entries after the founding one, which is 1/1. */
	readonly terms?: readonly number[];
	readonly term?: number;
	readonly votedFor?: PeerId;
	readonly limits?: Partial<RaftLimits>;
	readonly mutations?: readonly RaftMutation[];
	readonly seed?: number;
}

export class Solo {
	readonly core: RaftCore;
	sent: Message[] = [];
	applied: Entry[] = [];
	writes: PersistBatch[] = [];

	/** Member `a`. */
	constructor(options: SoloOptions = {}) {
		const { voters = ['a', 'b', 'c'], terms = [], term = Math.max(1, ...terms), votedFor, limits } = options;
		const founding: Entry = { term: 1, index: 1, kind: 'config', data: encodeMembership(votersOnly(voters)) };
		const entries = [founding, ...terms.map((entryTerm, at) => command(at + 2, entryTerm))];
		this.core = new RaftCore({
			id: 'a',
			random: new SeededRandom(options.seed ?? 1),
			restored: { hardState: { term, votedFor, commit: 1 }, snapshot: undefined, entries },
			limits: { electionTicks: 5, ...limits },
			mutations: new Set(options.mutations ?? []),
		});
		this.work();
		this.sent = [];
	}

	/** Does all that is asked, disk included. */
	work(): void {
		while (this.core.hasReady) {
			const ready = this.core.ready();
			this.sent.push(...ready.messages);
			this.applied.push(...ready.committed);
			const last = ready.committed.at(-1);
			if (last !== undefined) this.core.applied(last.index);
			if (ready.persist === undefined) continue;
			this.writes.push(ready.persist);
			this.sent.push(...ready.persist.messages);
			this.core.persisted(ready.persist.token);
		}
	}

	/** Gives it a message and answers what it sends on it. */
	step(message: Message): Message[] {
		this.sent = [];
		this.core.step(message);
		this.work();
		return this.sent;
	}

	/** Lets time pass and answers what it sends. */
	tick(times = 1): Message[] {
		this.sent = [];
		for (let tick = 0; tick < times; tick++) this.core.tick();
		this.work();
		return this.sent;
	}

	/** Makes it the leader of the next term, by the vote of `b`. */
	lead(): Message[] {
		const term = this.core.term + 1;
		this.core.campaign();
		this.work();
		this.step({ kind: 'preVoteReply', from: 'b', to: 'a', term, granted: true });
		return this.step({ kind: 'voteReply', from: 'b', to: 'a', term, granted: true });
	}

	of<K extends MessageKind>(kind: K): MessageOf<K>[] {
		return this.sent.filter((message): message is MessageOf<K> => message.kind === kind);
	}

	/** Terms of its log from index 2. */
	get terms(): (number | undefined)[] {
		return Array.from({ length: this.core.lastIndex - 1 }, (_, at) => this.core.termAt(at + 2));
	}
}

export function command(index: number, term: number, text = `${index}/${term}`): Entry {
	return { term, index, kind: 'command', data: new TextEncoder().encode(text) };
}

/** An append from `b`. */
export function append(
	term: number,
	previous: readonly [index: number, term: number],
	terms: readonly number[],
	commit = 0,
): MessageOf<'append'> {
	const [previousIndex, previousTerm] = previous;
	const entries = terms.map((entryTerm, at) => command(previousIndex + 1 + at, entryTerm));
	return { kind: 'append', from: 'b', to: 'a', term, previousIndex, previousTerm, entries, commit };
}

/** `from` holds everything up to `index`. */
export function holds(from: PeerId, term: number, index: number): MessageOf<'appendReply'> {
	return { kind: 'appendReply', from, to: 'a', term, index, rejected: false, hintIndex: 0, hintTerm: 0 };
}

export function askVote(
	from: PeerId,
	term: number,
	last: readonly [index: number, term: number],
	transfer = false,
): MessageOf<'vote'> {
	const [lastIndex, lastTerm] = last;
	return { kind: 'vote', from, to: 'a', term, lastIndex, lastTerm, transfer };
}
