// Owns what a leader knows of one follower: how far it has matched, what is on its way, and whether appends may be sent (etcd's three states:
// probe one at a time, replicate in a pipeline, or wait for a snapshot).
import { invariant } from './invariant.js';
import type { Entry } from './messages.js';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

/** Bytes an entry counts for in every bound: its data and a fixed share for its head. */
export function entryBytes(entry: Entry): number {
	return entry.data.length + 16;
}

export function entriesBytes(entries: readonly Entry[]): number {
	let sum = 0;
	for (const entry of entries) sum += entryBytes(entry);
	return sum;
}

/** Appends on their way to one follower, oldest first; bounded by count and by bytes. */
class Inflight {
	readonly #messagesMax: number;
	readonly #bytesMax: number;
	#sent: { readonly lastIndex: number; readonly bytes: number }[] = [];
	#bytes = 0;

	constructor(messagesMax: number, bytesMax: number) {
		this.#messagesMax = messagesMax;
		this.#bytesMax = bytesMax;
	}

	get count(): number {
		return this.#sent.length;
	}

	/** Reached when the next message may not go. A message that crosses the byte bound is let through, none after it. */
	get full(): boolean {
		return this.#sent.length >= this.#messagesMax || this.#bytes >= this.#bytesMax;
	}

	add(lastIndex: number, bytes: number): void {
		invariant(!this.full, 'an append was sent beyond the inflight bound');
		this.#sent.push({ lastIndex, bytes });
		this.#bytes += bytes;
	}

	/** Forgets the messages whose last entry is at or before `index`. */
	freeTo(index: number): void {
		let done = 0;
		for (const { lastIndex, bytes } of this.#sent) {
			if (lastIndex > index) break;
			this.#bytes -= bytes;
			done++;
		}
		this.#sent.splice(0, done);
		invariant(this.#bytes >= 0, 'inflight bytes below zero');
	}

	clear(): void {
		this.#sent = [];
		this.#bytes = 0;
	}
}

export interface ProgressBounds {
	/** A follower not heard of for so long does not count for the quorum that keeps a leader. */
	readonly electionTicks: number;
	readonly inflightMessagesMax: number;
	readonly inflightBytesMax: number;
}

export class Progress {
	/** Highest index known to be durable on the follower. */
	match: number;
	/** First index of the next append. */
	next: number;
	state: ProgressState = 'probe';
	/** In the snapshot state: what was sent, and ticks since. */
	snapshotIndex = 0;
	snapshotTicks = 0;
	/** Ticks of the leader since it last heard from the follower. */
	silentTicks = 0;
	/** Whether it was heard of in this term at all: the benefit of the doubt that `recentlyActive` gives at first is no ground for a change. */
	heard = false;
	/** Highest commit index told in an append. */
	sentCommit = 0;
	/** In the probe state: an append is on its way (or was lost: the next heartbeat's reply clears it). */
	probeSent = false;
	readonly #inflight: Inflight;
	readonly #silentTicksMax: number;

	constructor(match: number, next: number, bounds: ProgressBounds) {
		this.#silentTicksMax = bounds.electionTicks;
		this.match = match;
		this.next = next;
		this.#inflight = new Inflight(bounds.inflightMessagesMax, bounds.inflightBytesMax);
	}

	/** Heard of within an election timeout; a new one counts as heard of at first, or it would cost the leader its quorum before it could answer. */
	get recentlyActive(): boolean {
		return this.silentTicks < this.#silentTicksMax;
	}

	/** The leader has heard from the follower. */
	answered(): void {
		this.silentTicks = 0;
		this.heard = true;
	}

	get inflightCount(): number {
		return this.#inflight.count;
	}

	get inflightFull(): boolean {
		return this.#inflight.full;
	}

	/** No append with entries may be sent now. */
	get paused(): boolean {
		if (this.state === 'probe') return this.probeSent;
		return this.state === 'snapshot' || this.#inflight.full;
	}

	#enter(state: ProgressState): void {
		this.state = state;
		this.snapshotIndex = 0;
		this.snapshotTicks = 0;
		this.probeSent = false;
		this.#inflight.clear();
	}

	becomeProbe(): void {
		// After a snapshot that went well the follower stands at its index, not where it was matched before.
		const after = this.state === 'snapshot' ? Math.max(this.match, this.snapshotIndex) : this.match;
		this.#enter('probe');
		this.next = after + 1;
		this.sentCommit = Math.min(this.sentCommit, this.next - 1);
	}

	becomeReplicate(): void {
		this.#enter('replicate');
		this.next = this.match + 1;
	}

	becomeSnapshot(index: number): void {
		this.#enter('snapshot');
		this.snapshotIndex = index;
		this.next = index + 1;
	}

	/** Notes an append that was sent. */
	sent(entries: readonly Entry[], commit: number): void {
		const last = entries.at(-1);
		if (this.state === 'replicate' && last !== undefined) {
			this.next = last.index + 1;
			this.#inflight.add(last.index, entriesBytes(entries));
		} else if (this.state === 'probe') {
			this.probeSent = true;
		}
		this.sentCommit = commit;
	}

	/** The follower holds everything up to `index`. Answers whether that is news. */
	matched(index: number): boolean {
		const news = index > this.match;
		if (news) {
			this.match = index;
			this.probeSent = false;
		}
		this.next = Math.max(this.next, index + 1);
		return news;
	}

	freeInflight(index: number): void {
		this.#inflight.freeTo(index);
	}

	/** An append after `rejected` was refused; `hint` is where the logs may agree. Answers whether it was news (and not a stale refusal). */
	refused(rejected: number, hint: number): boolean {
		if (this.state === 'replicate') {
			if (rejected <= this.match) return false;
			this.next = this.match + 1;
			this.sentCommit = Math.min(this.sentCommit, this.match);
			return true;
		}
		if (this.next - 1 !== rejected) return false;
		this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
		this.sentCommit = Math.min(this.sentCommit, this.next - 1);
		this.probeSent = false;
		return true;
	}
}
