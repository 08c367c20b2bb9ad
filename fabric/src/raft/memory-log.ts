// Owns a member's log as the core sees it: entries in memory after the last compaction, and how far they are written, durable, committed and
// handed out. Storage answers later and in order; a batch that was overwritten meanwhile acknowledges only what is still there.

import { invariant } from './invariant.js';
import { emptyMembership } from './membership.js';
import type { Entry, Membership, SnapshotMeta } from './messages.js';
import { entryBytes } from './progress.js';

/** A write on its way to storage. */
interface Outstanding {
	readonly token: number;
	/** Last entry of it that has not been overwritten since. */
	upTo: number;
}

export class MemoryLog {
	#entries: Entry[];
	#baseIndex: number;
	#baseTerm: number;
	#baseMembership: Membership;
	#snapshot: SnapshotMeta | undefined;
	#outstanding: Outstanding[] = [];
	#written: number;
	#durable: number;
	#commit: number;
	#handedOut: number;
	#applied: number;
	readonly #decodeMembership: (data: Uint8Array) => Membership;
	/** Names a known bug: an acknowledgement counts although the entries were overwritten meanwhile. */
	readonly #trustStaleAcknowledgements: boolean;

	constructor(
		snapshot: SnapshotMeta | undefined,
		entries: readonly Entry[],
		decodeMembership: (data: Uint8Array) => Membership,
		trustStaleAcknowledgements: boolean,
	) {
		this.#entries = [...entries];
		this.#baseIndex = snapshot?.index ?? 0;
		this.#baseTerm = snapshot?.term ?? 0;
		this.#baseMembership = snapshot?.membership ?? emptyMembership;
		this.#snapshot = snapshot;
		this.#decodeMembership = decodeMembership;
		this.#trustStaleAcknowledgements = trustStaleAcknowledgements;
		let before = { index: this.#baseIndex, term: this.#baseTerm };
		for (const entry of entries) {
			invariant(
				entry.index === before.index + 1 && entry.term >= before.term,
				'restored log has a gap or falling terms',
			);
			before = entry;
		}
		this.#written = this.lastIndex;
		this.#durable = this.lastIndex;
		this.#commit = this.#baseIndex;
		this.#handedOut = this.#baseIndex;
		this.#applied = this.#baseIndex;
	}

	get firstIndex(): number {
		return this.#baseIndex + 1;
	}

	get lastIndex(): number {
		return this.#baseIndex + this.#entries.length;
	}

	get lastTerm(): number {
		return this.#entries.at(-1)?.term ?? this.#baseTerm;
	}

	get commit(): number {
		return this.#commit;
	}

	get durable(): number {
		return this.#durable;
	}

	get applied(): number {
		return this.#applied;
	}

	/** The newest snapshot that is durable here; what a follower that is too far behind receives. */
	get snapshot(): SnapshotMeta | undefined {
		return this.#snapshot;
	}

	/** Undefined where the log does not reach: compacted away or beyond its end. */
	termAt(index: number): number | undefined {
		if (index === this.#baseIndex) return this.#baseTerm;
		return this.#entries[index - this.#baseIndex - 1]?.term;
	}

	matches(index: number, term: number): boolean {
		return this.termAt(index) === term;
	}

	/** Whether a log that ends so is at least as up to date as this one (paper §5.4.1). */
	isUpToDate(lastIndex: number, lastTerm: number): boolean {
		return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
	}

	/** Entries from `from`, at most `bytesMax` of them but always one when there is one; up to and with `to`. */
	slice(from: number, bytesMax: number, to = this.lastIndex): Entry[] {
		invariant(from > this.#baseIndex, 'entries were wanted that are compacted away');
		const taken: Entry[] = [];
		let bytes = 0;
		for (let at = from - this.#baseIndex - 1; at < to - this.#baseIndex; at++) {
			const entry = this.#entries[at];
			if (entry === undefined) break;
			bytes += entryBytes(entry);
			if (taken.length > 0 && bytes > bytesMax) break;
			taken.push(entry);
		}
		return taken;
	}

	/** First of `entries` that is not in the log with its term; undefined when all are. */
	findConflict(entries: readonly Entry[]): Entry | undefined {
		return entries.find((entry) => !this.matches(entry.index, entry.term));
	}

	/**
	 * The last index at or before `index` whose term is at most `term` (paper §5.3, end: skipping a term at a time), and its term; term 0 when it is
	 * compacted away. Above it the other log, whose entry at `index` has `term`, cannot agree with this one.
	 */
	lastAtMost(index: number, term: number): { readonly index: number; readonly term: number } {
		for (let at = Math.min(index, this.lastIndex); at > this.#baseIndex; at--) {
			const own = this.termAt(at) ?? 0;
			if (own <= term) return { index: at, term: own };
		}
		return { index: Math.min(index, this.#baseIndex), term: index >= this.#baseIndex ? this.#baseTerm : 0 };
	}

	/** Adds entries after the end or over a tail, which is cut off. */
	append(entries: readonly Entry[]): void {
		const first = entries[0];
		if (first === undefined) return;
		invariant(first.index > this.#baseIndex && first.index <= this.lastIndex + 1, 'an append would leave a gap');
		if (first.index <= this.lastIndex) this.#cut(first.index);
		let { lastIndex, lastTerm } = this;
		for (const entry of entries) {
			invariant(entry.index === lastIndex + 1 && entry.term >= lastTerm, 'appended entries are not in order');
			this.#entries.push(entry);
			lastIndex = entry.index;
			lastTerm = entry.term;
		}
	}

	/** Cuts off everything from `index` on. What storage still holds or writes of it no longer counts as durable. */
	#cut(index: number): void {
		this.#entries.length = index - this.#baseIndex - 1;
		this.#written = Math.min(this.#written, index - 1);
		this.#durable = Math.min(this.#durable, index - 1);
		if (this.#trustStaleAcknowledgements) return;
		for (const write of this.#outstanding) write.upTo = Math.min(write.upTo, index - 1);
	}

	/** Entries that storage has not been given yet; afterwards it has, under `token`. Tokens rise. */
	takeUnwritten(token: number): Entry[] {
		invariant(token > (this.#outstanding.at(-1)?.token ?? 0), 'tokens of writes must rise');
		const entries = this.#entries.slice(this.#written - this.#baseIndex);
		this.#written = this.lastIndex;
		this.#outstanding.push({ token, upTo: this.lastIndex });
		return entries;
	}

	get hasUnwritten(): boolean {
		return this.#written < this.lastIndex;
	}

	get hasOutstanding(): boolean {
		return this.#outstanding.length > 0;
	}

	/** All writes up to `token` are durable. */
	acknowledge(token: number): void {
		while (this.#outstanding[0] !== undefined && this.#outstanding[0].token <= token) {
			this.#durable = Math.max(this.#durable, Math.min(this.#outstanding[0].upTo, this.lastIndex));
			this.#outstanding.shift();
		}
		invariant(this.#durable <= this.#written, 'more is durable than was written');
	}

	/** Moves the commit index on and answers the memberships that became committed, oldest first. */
	commitTo(index: number): Membership[] {
		invariant(index <= this.lastIndex, 'commit beyond the end of the log');
		const changes: Membership[] = [];
		for (let at = this.#commit + 1; at <= index; at++) {
			const entry = this.#entries[at - this.#baseIndex - 1];
			if (entry?.kind === 'config') changes.push(this.#decodeMembership(entry.data));
		}
		this.#commit = Math.max(this.#commit, index);
		return changes;
	}

	/** Committed and durable entries to apply next; none while the last ones are not applied. */
	takeCommitted(bytesMax: number): Entry[] {
		if (!this.hasCommitted) return [];
		const entries = this.slice(this.#handedOut + 1, bytesMax, Math.min(this.#commit, this.#durable));
		this.#handedOut = entries.at(-1)?.index ?? this.#handedOut;
		return entries;
	}

	get hasCommitted(): boolean {
		return this.#applied === this.#handedOut && this.#handedOut < Math.min(this.#commit, this.#durable);
	}

	appliedTo(index: number): void {
		invariant(index >= this.#applied && index <= this.#handedOut, 'applied an entry that was not handed out');
		this.#applied = index;
	}

	/** The membership in force once everything up to `index` is applied. */
	membershipAt(index: number): Membership {
		for (let at = index; at > this.#baseIndex; at--) {
			const entry = this.#entries[at - this.#baseIndex - 1];
			if (entry?.kind === 'config') return this.#decodeMembership(entry.data);
		}
		return this.#baseMembership;
	}

	/** The membership that the one in force at `index` has replaced, as far as the log goes back. */
	membershipBefore(index: number): Membership {
		for (let at = index; at > this.#baseIndex; at--) {
			if (this.#entries[at - this.#baseIndex - 1]?.kind === 'config') return this.membershipAt(at - 1);
		}
		return this.#baseMembership;
	}

	/** Indexes of the membership entries after `index`. */
	configIndexesAfter(index: number): number[] {
		return this.#entries.filter((entry) => entry.kind === 'config' && entry.index > index).map(({ index }) => index);
	}

	/** A snapshot of the state at an applied index is durable. */
	snapshotSaved(meta: SnapshotMeta): void {
		invariant(meta.index <= this.#applied, 'a snapshot of what is not applied');
		if (meta.index > (this.#snapshot?.index ?? 0)) this.#snapshot = meta;
	}

	/** The last index to forget so that of those up to `index` at most so many entries and bytes stay. */
	indexToKeep(index: number, entriesMax: number, bytesMax: number): number {
		let bytes = 0;
		let at = index;
		for (; at > this.#baseIndex && index - at < entriesMax; at--) {
			const entry = this.#entries[at - this.#baseIndex - 1];
			bytes += entry === undefined ? 0 : entryBytes(entry);
			if (bytes > bytesMax) break;
		}
		return at;
	}

	/** Forgets entries up to `index`, which a snapshot must cover. */
	compact(index: number): void {
		if (index <= this.#baseIndex) return;
		invariant(index <= (this.#snapshot?.index ?? 0), 'compaction beyond the last snapshot');
		const term = this.termAt(index);
		invariant(term !== undefined, 'compaction beyond the log');
		this.#baseMembership = this.membershipAt(index);
		this.#entries.splice(0, index - this.#baseIndex);
		this.#baseIndex = index;
		this.#baseTerm = term;
	}

	/** Replaces the whole log by a snapshot received from the leader. It is durable once the write that carries its mark is. */
	restore(meta: SnapshotMeta): void {
		invariant(meta.index > this.#commit, 'a snapshot would take back what is committed');
		this.#entries = [];
		for (const write of this.#outstanding) write.upTo = 0;
		this.#baseIndex = meta.index;
		this.#baseTerm = meta.term;
		this.#baseMembership = meta.membership;
		this.#snapshot = meta;
		this.#written = meta.index;
		this.#durable = meta.index;
		this.#commit = meta.index;
		this.#handedOut = meta.index;
		this.#applied = meta.index;
	}
}
