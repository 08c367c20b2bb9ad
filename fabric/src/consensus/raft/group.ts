// Owns one member of a Raft group as it runs: joins the core to clock, log, snapshots, transport and state machine, and answers the engine above
// (Replicator). All of it happens in callbacks of these, so it runs the same in a simulation. When the disk fails or a bug shows it stops for good.
import type { AnnouncedSnapshot, SnapshotWriter } from '../../log/ports.js';
import { RaftCore } from '../../raft/core.js';
import type { Entry, Message, MessageOf, PeerId, SnapshotMeta } from '../../raft/messages.js';
import { raftLimits } from '../../raft/options.js';
import type { PersistBatch, Ready } from '../../raft/ready.js';
import { consensusError } from '../errors.js';
import type { Replicator } from '../replicator.js';
import { Barriers } from './barriers.js';
import { drawOrigin, envelopeBytesMax, seal, unseal } from './envelope.js';
import { type RaftGroupOptions, type RaftGroupSettings, raftGroupSettings } from './options.js';
import { batches, Proposals } from './proposals.js';
import { SnapshotKeeper } from './snapshot-keeper.js';
import { groupStatus, type RaftGroupStatus } from './status.js';
import { SharedTicks, type Ticking } from './ticks.js';
import { WriteQueue } from './write-queue.js';

export class RaftGroup implements Replicator {
	readonly core: RaftCore;
	readonly #options: RaftGroupOptions;
	readonly #settings: RaftGroupSettings;
	readonly #writes: WriteQueue;
	readonly #snapshots: SnapshotKeeper;
	readonly #proposals: Proposals;
	readonly #barriers: Barriers;
	readonly #origin: number;
	readonly #ticking: Ticking;
	/** Called when what was asked of the group may have come true: a commit, a change of leader. */
	readonly #watchers = new Set<() => void>();
	#snapshotIndex: number;
	#snapshotNotBeforeMs = 0;
	/** Of commands since the last snapshot was begun. */
	#appliedBytes = 0;
	/** Handed out while a snapshot is being restored; one batch of the core at most. */
	#held: readonly Entry[] = [];
	#onApplied: () => void = () => {};
	#flushDue = false;
	#leaderChanged = false;
	#working = false;
	#failed: Error | undefined;
	#closed = false;

	constructor(options: RaftGroupOptions) {
		const { id, random, recovered, mutations, log, clock, group } = options;
		this.#options = options;
		const limits = { ...raftGroupSettings.limits, ...options.settings?.limits };
		this.#settings = { ...raftGroupSettings, ...options.settings, limits };
		this.core = new RaftCore({
			id,
			random,
			restored: recovered,
			limits: this.#settings.limits,
			...(mutations === undefined ? {} : { mutations }),
		});
		this.#origin = drawOrigin(random);
		this.#proposals = new Proposals(this.#settings);
		this.#barriers = new Barriers(this.#settings, drawOrigin(random));
		const failed = (error: Error): void => this.#fail(error);
		this.#writes = new WriteQueue(log, failed);
		this.#snapshots = new SnapshotKeeper({
			group,
			store: options.snapshots,
			stateMachine: options.stateMachine,
			pieceBytes: this.#settings.snapshotPieceBytes,
			failed,
		});
		this.#snapshotIndex = recovered.snapshot?.index ?? 0;
		this.#ticking = (options.ticks ?? new SharedTicks(clock, this.#settings.tickMs)).add({
			tick: (count) => this.#tick(count),
			pass: (count) => this.#passTicks(count),
			idleTicks: () => this.#idleTicks(),
		});
		options.transport.listen(group, {
			onMessage: (message) => this.#enter(() => this.core.step(message)),
			onUnreachable: (peer) => this.#enter(() => this.core.reportUnreachable(peer)),
			onSnapshotOffered: (message, announced) => this.#offered(message, announced),
			onSnapshotReceived: (message) => this.#enter(() => this.core.step(message)),
		});
		if (recovered.snapshot !== undefined) this.#restore(recovered.snapshot);
		this.#enter(() => {});
	}

	get id(): PeerId {
		return this.core.id;
	}

	get failed(): Error | undefined {
		return this.#failed;
	}

	/** Runs one event: into the core, then everything it asks for. */
	#enter(event: () => void): void {
		if (this.ended) return;
		try {
			this.#ticking.catchUp();
			event();
			this.#work();
			this.#ticking.plan();
		} catch (error) {
			this.#fail(error instanceof Error ? error : new Error(String(error)));
		}
	}

	/** While calls, watchers or writes wait, every tick is looked at; otherwise the core says when something will happen by itself. */
	#idleTicks(): number {
		const waiting = this.#proposals.size + this.#barriers.size + this.#watchers.size > 0;
		if (waiting || this.#writes.oldestMs !== undefined || this.#snapshots.restoring) return 1;
		const { idleMsMax, tickMs } = this.#settings;
		return Math.min(this.core.idleTicks, Math.max(1, Math.floor(idleMsMax / tickMs)));
	}

	#passTicks(count: number): void {
		for (let tick = 0; tick < count && !this.ended; tick++) this.core.tick();
	}

	/** Closed or failed: nothing happens here any more. */
	get ended(): boolean {
		return this.#closed || this.#failed !== undefined;
	}

	#work(): void {
		// Something called from here may come back in; the loop below sees what it brought.
		if (this.#working) return;
		this.#working = true;
		try {
			while (!this.ended && this.core.hasReady) this.#do(this.core.ready());
		} finally {
			this.#working = false;
		}
	}

	#do(ready: Ready): void {
		for (const message of ready.messages) this.#send(message);
		if (ready.restore !== undefined) this.#restore(ready.restore);
		if (ready.persist !== undefined) this.#persist(ready.persist);
		for (const { context, index } of ready.readStates) this.#barriers.answered(context, index);
		if (ready.softState !== undefined) {
			this.#options.onSoftState?.(ready.softState);
			this.#leaderChanged = true;
			this.#flushSoon();
		}
		if (this.#snapshots.restoring) this.#held = [...this.#held, ...ready.committed];
		else this.#apply(ready.committed);
	}

	#send(message: Message): void {
		const { transport, group, snapshots } = this.#options;
		if (message.kind !== 'snapshot') {
			transport.send(group, message);
			return;
		}
		const reader = snapshots.open(group, message.meta);
		const report = (ok: boolean): void => this.#enter(() => this.core.reportSnapshot(message.to, ok));
		if (reader === undefined) report(false);
		else transport.sendSnapshot(group, message, reader, report);
	}

	#persist(batch: PersistBatch): void {
		const { group, clock } = this.#options;
		const { snapshot, entries, hardState } = batch;
		this.#writes.write({ group, snapshot, entries, hardState }, clock.nowMs(), () => {
			this.#enter(() => {
				for (const message of batch.messages) this.#send(message);
				this.core.persisted(batch.token);
			});
		});
	}

	#apply(entries: readonly Entry[]): void {
		const last = entries.at(-1);
		if (last === undefined) {
			this.#barriers.applied(this.core.appliedIndex);
			return;
		}
		let commands = 0;
		for (const entry of entries) {
			if (entry.kind !== 'command') continue;
			this.#appliedBytes += entry.data.length;
			this.#applyCommand(entry);
			commands++;
		}
		this.core.applied(last.index);
		if (commands > 0) this.#onApplied();
		this.#barriers.applied(last.index);
		this.#tellWatchers();
		this.#snapshotWhenDue();
	}

	#applyCommand(entry: Entry): void {
		const { origin, sequence, command } = unseal(entry.data);
		const result = this.#options.stateMachine.apply(command, entry.index);
		if (origin === this.#origin) this.#proposals.applied(sequence, result);
	}

	#snapshotWhenDue(): void {
		const { snapshotEntries, snapshotBytes, keepEntries, keepBytes } = this.#settings;
		const { clock, group, log, snapshots } = this.#options;
		const due = this.#appliedBytes >= snapshotBytes || this.core.appliedIndex - this.#snapshotIndex >= snapshotEntries;
		if (!due || this.#snapshots.taking || clock.nowMs() < this.#snapshotNotBeforeMs) return;
		const covered = this.#appliedBytes;
		this.#appliedBytes = 0;
		const meta = this.core.snapshotMeta();
		const taken = (): void =>
			this.#enter(() => {
				// Meanwhile the leader may have sent a newer one, whose mark is written already.
				if (meta.index <= this.#snapshotIndex) return;
				this.#snapshotIndex = meta.index;
				const mark = { group, snapshot: meta, entries: [], hardState: undefined };
				this.#writes.write(mark, clock.nowMs(), () =>
					this.#enter(() => {
						this.core.snapshotSaved(meta);
						this.core.compactBehind(meta.index, keepEntries, keepBytes);
						log.release(group, meta.index);
						snapshots.release(group, meta.index);
					}),
				);
			});
		const givenUp = (): void => {
			this.#appliedBytes += covered;
			this.#snapshotNotBeforeMs = clock.nowMs() + this.#settings.snapshotRetryMs;
		};
		this.#snapshots.take(meta, taken, givenUp);
	}

	/** Barriers and applying wait until the state is the snapshot's. */
	#restore(meta: SnapshotMeta): void {
		this.#snapshotIndex = meta.index;
		this.#held = [];
		this.#snapshots.restore(meta, () =>
			this.#enter(() => {
				const held = this.#held;
				this.#held = [];
				this.#onApplied();
				this.#apply(held);
			}),
		);
	}

	#offered(message: MessageOf<'snapshot'>, announced: AnnouncedSnapshot): SnapshotWriter | undefined {
		const stale = message.term < this.core.term || message.meta.index <= this.core.commitIndex;
		if (this.ended || stale) return undefined;
		return this.#options.snapshots.receive(this.#options.group, announced);
	}

	#tick(count: number): void {
		const now = this.#options.clock.nowMs();
		this.#enter(() => {
			this.#passTicks(count);
			this.#handOverWhenStalled(now);
		});
		this.#flush(true);
		this.#proposals.expire(now);
		this.#barriers.expire(now);
		this.#tellWatchers();
	}

	/** A leader with a stuck disk commits through the others at best, and slows everyone: another one leads better. */
	#handOverWhenStalled(nowMs: number): void {
		const { oldestMs } = this.#writes;
		if (this.core.role !== 'leader' || oldestMs === undefined) return;
		if (nowMs - oldestMs < this.#settings.diskStallMs || this.core.transferee !== undefined) return;
		const best = this.bestSuccessor();
		if (best !== undefined) this.core.transferLeadership(best);
	}

	/** The voter heard of lately that holds most of the log. */
	bestSuccessor(): PeerId | undefined {
		const voters = this.core
			.peers()
			.filter(({ id, recentlyActive }) => recentlyActive && this.core.membership.voters.includes(id));
		return voters.sort((a, b) => b.match - a.match)[0]?.id;
	}

	get #commandBytesMax(): number {
		return (this.#settings.limits.entryBytesMax ?? raftLimits.entryBytesMax) - envelopeBytesMax;
	}

	/** Calls of one turn leave together: one append, one write. */
	#flushSoon(): void {
		if (this.#flushDue) return;
		this.#flushDue = true;
		const defer = this.#options.defer ?? queueMicrotask;
		defer(() => {
			this.#flushDue = false;
			this.#flush(this.#leaderChanged);
		});
	}

	/** `again`: also what was sent before, where it is due again. */
	#flush(again: boolean): void {
		const now = this.#options.clock.nowMs();
		if (again) this.#leaderChanged = false;
		this.#enter(() => {
			const { term } = this.core;
			if (again) this.#barriers.retry(term, now);
			this.#barriers.flush(term, now, (context) => {
				const result = this.core.readIndex(context);
				return result === 'accepted' || result === 'forwarded';
			});
			this.#propose(now, again);
		});
	}

	#propose(nowMs: number, again: boolean): void {
		const { term } = this.core;
		for (const batch of batches(this.#proposals.due(term, nowMs, again))) {
			const result = this.core.propose(batch.map(({ data }) => data));
			if (result.kind === 'accepted' || result.kind === 'forwarded') {
				const sent = { term, atMs: nowMs, local: result.kind === 'accepted' };
				for (const proposal of batch) proposal.sent = sent;
				continue;
			}
			this.#proposals.hold = result.kind;
			return;
		}
	}

	propose(command: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
		if (this.ended) return Promise.reject(this.#endError());
		if (command.length > this.#commandBytesMax)
			return Promise.reject(consensusError('IM_CONSENSUS_LIMIT', `a command is over ${this.#commandBytesMax} bytes`));
		const data = seal(this.#origin, this.#proposals.nextSequence, command);
		const answer = this.#proposals.add(data, this.#options.clock.nowMs(), timeoutMs);
		this.#flushSoon();
		return answer;
	}

	readBarrier(timeoutMs: number): Promise<void> {
		if (this.ended) return Promise.reject(this.#endError());
		const answer = this.#barriers.add(this.#options.clock.nowMs(), timeoutMs);
		this.#flushSoon();
		return answer;
	}

	leads(): boolean {
		return !this.ended && !this.#snapshots.restoring && this.core.role === 'leader' && this.#appliedOwnTerm;
	}

	get #appliedOwnTerm(): boolean {
		return this.core.termAt(this.core.appliedIndex) === this.core.term;
	}

	onApplied(applied: () => void): void {
		this.#onApplied = applied;
	}

	#tellWatchers(): void {
		for (const watcher of Array.from(this.#watchers)) watcher();
	}

	/** For the administration beside this: runs something on the core, then what follows from it. */
	administer(call: (core: RaftCore) => void): void {
		this.#enter(() => call(this.core));
	}

	/** Calls `check` after every apply and tick until it is cancelled. */
	watch(check: () => void): () => void {
		this.#watchers.add(check);
		this.#ticking.plan();
		return () => this.#watchers.delete(check);
	}

	status(): RaftGroupStatus {
		return groupStatus(this.core, {
			addressOf: this.#options.addressOf,
			failed: this.#failed,
			ended: this.ended,
			snapshotIndex: this.#snapshotIndex,
			callsUnderWay: this.#proposals.size,
		});
	}

	#endError(): Error {
		if (this.#failed !== undefined) return consensusError('IM_CONSENSUS_STOPPED', undefined, { cause: this.#failed });
		return consensusError('IM_CONSENSUS_CLOSED');
	}

	#fail(error: Error): void {
		if (this.ended) return;
		this.#failed = error;
		this.#end();
		this.#options.onFailed?.(error);
	}

	#end(): void {
		this.#ticking.cancel();
		this.#writes.stop();
		this.#snapshots.stop();
		this.#options.transport.listen(this.#options.group, undefined);
		this.#proposals.end(this.#endError());
		this.#barriers.end(this.#endError());
		this.#tellWatchers();
	}

	close(): Promise<void> {
		if (!this.ended) {
			this.#closed = true;
			this.#end();
		}
		return Promise.resolve();
	}
}
