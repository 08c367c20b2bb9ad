// Owns a group of cores for tests, with a network and disks that do nothing by themselves: every message waits to be delivered or dropped, every
// write to be made durable. Invariants are checked after each move.
import { SeededRandom } from '@infermesh/proto';
import { RaftCore } from '../core.js';
import { votersOnly } from '../membership.js';
import { encodeMembership } from '../membership-codec.js';
import type { Entry, HardState, Membership, Message, PeerId, SnapshotMeta } from '../messages.js';
import type { RaftMutation } from '../mutations.js';
import type { RaftLimits, Restored } from '../options.js';
import type { PersistBatch, Ready } from '../ready.js';
import { GroupChecker } from './invariants.js';

/** What a member has on its disk. */
class TestDisk {
	hardState: HardState = { term: 0, votedFor: undefined, commit: 0 };
	snapshot: SnapshotMeta | undefined;
	entries: Entry[] = [];

	write(batch: PersistBatch): void {
		if (batch.snapshot !== undefined) this.mark(batch.snapshot);
		const [first] = batch.entries;
		if (first !== undefined) this.entries = this.entries.filter((entry) => entry.index < first.index);
		this.entries.push(...batch.entries);
		if (batch.hardState !== undefined) this.hardState = batch.hardState;
	}

	/** Entries after the snapshot stay only when the log held what the snapshot stands for. */
	mark(meta: SnapshotMeta): void {
		if (this.snapshot !== undefined && this.snapshot.index >= meta.index) return;
		const held = this.entries.some((entry) => entry.index === meta.index && entry.term === meta.term);
		this.entries = held ? this.entries.filter((entry) => entry.index > meta.index) : [];
		this.snapshot = meta;
	}

	get restored(): Restored {
		return { hardState: this.hardState, snapshot: this.snapshot, entries: this.entries };
	}
}

export class TestMember {
	core: RaftCore;
	readonly disk = new TestDisk();
	/** Writes that are not durable yet, oldest first. */
	writing: PersistBatch[] = [];
	applied: Entry[] = [];
	reads: { readonly context: number; readonly index: number }[] = [];

	constructor(make: (disk: TestDisk) => RaftCore, disk: { readonly bootstrap: Membership | undefined }) {
		if (disk.bootstrap !== undefined) {
			const data = encodeMembership(disk.bootstrap);
			this.disk.entries = [{ term: 1, index: 1, kind: 'config', data }];
			this.disk.hardState = { term: 1, votedFor: undefined, commit: 1 };
		}
		this.core = make(this.disk);
	}
}

export interface TestGroupOptions {
	readonly seed: number;
	readonly limits?: Partial<RaftLimits>;
	readonly mutations?: ReadonlySet<RaftMutation>;
}

export class TestGroup {
	readonly members = new Map<PeerId, TestMember>();
	readonly checker = new GroupChecker();
	/** On their way, oldest first. */
	network: Message[] = [];
	readonly #options: TestGroupOptions;
	readonly #random: SeededRandom;

	constructor(options: TestGroupOptions) {
		this.#options = options;
		this.#random = new SeededRandom(options.seed);
	}

	#make(id: PeerId, disk: TestDisk): RaftCore {
		const { limits, mutations } = this.#options;
		return new RaftCore({
			id,
			random: this.#random,
			restored: disk.restored,
			...(limits === undefined ? {} : { limits }),
			...(mutations === undefined ? {} : { mutations }),
		});
	}

	/** Founding members start from the same first entry; others from nothing. */
	add(id: PeerId, founding?: Membership): TestMember {
		const member = new TestMember((disk) => this.#make(id, disk), { bootstrap: founding });
		this.members.set(id, member);
		return member;
	}

	found(voters: readonly PeerId[], learners: readonly PeerId[] = []): void {
		const membership = { ...votersOnly(voters), learners: learners.toSorted() };
		for (const id of [...voters, ...learners]) this.add(id, membership);
	}

	member(id: PeerId): TestMember {
		const member = this.members.get(id);
		if (member === undefined) throw new Error(`there is no member ${id}`);
		return member;
	}

	core(id: PeerId): RaftCore {
		return this.member(id).core;
	}

	/** Does what the core asks: sends, begins to write, applies. Answers undefined when there is nothing to do. */
	work(id: PeerId): Ready | undefined {
		const member = this.member(id);
		if (!member.core.hasReady) return undefined;
		const ready = member.core.ready();
		this.network.push(...ready.messages);
		if (ready.persist !== undefined) member.writing.push(ready.persist);
		if (ready.restore !== undefined) member.applied = [];
		for (const entry of ready.committed) {
			this.checker.applies(member.core, entry);
			member.applied.push(entry);
		}
		const last = ready.committed.at(-1);
		if (last !== undefined) member.core.applied(last.index);
		member.reads.push(...ready.readStates);
		this.check();
		return ready;
	}

	/** Makes the oldest write durable. */
	persist(id: PeerId): PersistBatch | undefined {
		const member = this.member(id);
		const batch = member.writing.shift();
		if (batch === undefined) return undefined;
		member.disk.write(batch);
		this.network.push(...batch.messages);
		member.core.persisted(batch.token);
		this.check();
		return batch;
	}

	/** Takes a message off the network and gives it to its receiver. */
	deliver(message: Message): void {
		this.network = this.network.filter((other) => other !== message);
		this.members.get(message.to)?.core.step(message);
		this.check();
	}

	/** Takes a snapshot of what is applied and forgets the log up to `keepFrom`. */
	snapshot(id: PeerId, keepFrom: number): SnapshotMeta {
		// The mark takes its place after everything that is being written.
		while (this.persist(id) !== undefined);
		const { core, disk } = this.member(id);
		const meta = core.snapshotMeta();
		disk.mark(meta);
		core.snapshotSaved(meta);
		core.compact(Math.min(keepFrom - 1, meta.index));
		return meta;
	}

	/** Loses everything that is not durable. */
	restart(id: PeerId): void {
		const member = this.member(id);
		member.writing = [];
		member.applied = [];
		member.reads = [];
		this.checker.restarts(id);
		member.core = this.#make(id, member.disk);
	}

	check(): void {
		this.checker.all([...this.members.values()].map(({ core }) => core));
	}

	/** Works, writes and delivers until nothing moves; false when it does not settle within `movesMax`. */
	settle(lost: (message: Message) => boolean = () => false, movesMax = 100_000): boolean {
		for (let moves = 0; moves < movesMax; moves++) {
			if (!this.#move(lost)) return true;
		}
		return false;
	}

	#move(lost: (message: Message) => boolean): boolean {
		let moved = false;
		for (const id of this.members.keys()) {
			if (this.work(id) !== undefined) moved = true;
			while (this.persist(id) !== undefined) moved = true;
		}
		for (const message of this.network.slice()) {
			moved = true;
			if (lost(message)) this.network = this.network.filter((other) => other !== message);
			else this.deliver(message);
		}
		return moved;
	}
}
