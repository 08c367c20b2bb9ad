// Owns one member of a simulated cluster: the real log over a simulated disk, the real driver, store and engine, made anew whenever its host boots. A disk
// outlives the process; a wiped one comes back as another member.
import {
	emptyGroup,
	foundingWrite,
	InlineLog,
	inlineLogDefaults,
	inlineSnapshots,
	type PeerId,
	RaftAdmin,
	RaftGroup,
	type RaftGroupSettings,
	type RecoveredGroup,
	SegmentLog,
	SnapshotFiles,
	Store,
	StoreEngine,
	segmentLogDefaults,
} from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { Mutations } from '../mutations.js';
import type { SimDisk } from '../world/sim-disk.js';
import type { SimHost } from '../world/sim-host.js';
import type { SimNetwork } from '../world/sim-network.js';
import { Violation } from '../world/sim-world.js';
import { type AppliedBook, CheckedMachine } from './checked-machine.js';
import { DurableShadow, WatchedLog } from './durable-shadow.js';
import type { RaftChecker, WatchedMember } from './raft-checker.js';
import { SimRaftTransport } from './sim-raft-transport.js';

const group = 1;

/** What members of one cluster share. */
export interface MemberSurroundings {
	readonly network: SimNetwork;
	readonly checker: RaftChecker;
	readonly book: AppliedBook;
	readonly mutations: Mutations;
	readonly settings: Partial<RaftGroupSettings>;
	/** Messages of Raft as datagrams instead of streams. */
	readonly loose: boolean;
	readonly memberOf: (id: PeerId) => SimMember | undefined;
	/** The process has stopped by itself: its disk failed. */
	readonly stopped: (host: SimHost) => void;
	readonly started: (member: SimMember, process: Process) => void;
}

/** Everything that lives as long as one process. */
export interface Process {
	readonly group: RaftGroup;
	readonly engine: StoreEngine;
	readonly store: Store;
	readonly admin: RaftAdmin;
	readonly transport: SimRaftTransport;
	readonly watched: WatchedMember;
	readonly segments: SegmentLog;
	/** When it last heard each peer, in true microseconds. */
	readonly heardUs: Map<PeerId, number>;
	readonly startedUs: number;
	readonly kill: () => void;
}

/** Stops that a failed or full disk explains; any other stop is a bug that showed. */
const diskCodes: ReadonlySet<string> = new Set(['IM_LOG_DISK_FAILED', 'IM_LOG_DISK_FULL']);

export class SimMember {
	readonly host: SimHost;
	readonly disk: SimDisk;
	readonly #surroundings: MemberSurroundings;
	readonly #founding: RecoveredGroup | undefined;
	#id: PeerId;
	#wipes = 0;
	#shadow: DurableShadow;
	#process: Process | undefined;

	constructor(surroundings: MemberSurroundings, host: SimHost, disk: SimDisk, founding: RecoveredGroup | undefined) {
		this.#surroundings = surroundings;
		this.host = host;
		this.disk = disk;
		this.#founding = founding;
		this.#id = host.name;
		this.#shadow = new DurableShadow(host.name);
		host.installs(() => this.#boot());
		host.onCrash(() => this.#lost());
	}

	get id(): PeerId {
		return this.#id;
	}

	/** What runs now; undefined while the host is down. */
	get process(): Process | undefined {
		return this.#process;
	}

	/** Whether it was ever wiped, so that its founding entry is no longer its own. */
	get wiped(): boolean {
		return this.#wipes > 0;
	}

	#lost(): void {
		this.#process?.kill();
		this.#process = undefined;
		const { world } = this.#surroundings.network;
		// A process dies alone, or with its machine, whose page cache goes too.
		if (world.random('faults').nextFloat() < 0.5) this.disk.crash();
		else this.disk.killProcess();
	}

	/** Its disk is emptied and it becomes somebody else, since nobody may vote who has forgotten a vote. The host must be down. */
	wipe(): void {
		this.disk.wipe();
		this.#wipes++;
		this.#id = `${this.host.name}.${this.#wipes}`;
		this.#shadow = new DurableShadow(this.#id);
	}

	#boot(): void {
		try {
			this.#process = this.#start();
			this.#surroundings.started(this, this.#process);
		} catch (error) {
			this.#stops(error);
		}
	}

	/** Disk failures stop a process; the rest is a violation. */
	#stops(error: unknown): void {
		const { network, stopped } = this.#surroundings;
		const code = error instanceof MeshError ? error.code : undefined;
		if (code === undefined || !diskCodes.has(code)) {
			network.world.fail(
				error instanceof Violation ? error : new Violation(`${this.#id} stops: ${String(error)}`, { cause: error }),
			);
			return;
		}
		network.world.counters.add(`stopped by ${code}`);
		network.world.note(this.host, () => `stops: ${code}`);
		network.world.schedule(0, 'stopped', () => stopped(this.host), { host: this.host });
	}

	#openLog(): { readonly segments: SegmentLog; readonly recovered: RecoveredGroup } {
		const options = { ...logOptions, mutations: this.#surroundings.mutations.log };
		const segments = SegmentLog.open(this.disk, this.host.random('core'), options);
		const found = segments.recovered.get(group);
		if (found !== undefined) this.#shadow.recovers(found);
		else if (this.#shadow.hardState.term > 0 || this.#shadow.lastIndex > 0)
			throw new Violation(`${this.#id}: everything that was durable is gone after a restart`);
		if (found !== undefined) return { segments, recovered: found };
		if (this.#founding === undefined || this.wiped) return { segments, recovered: emptyGroup };
		const write = foundingWrite(group, this.#founding);
		segments.append([write]);
		this.#shadow.begins(write);
		this.#shadow.isDurable(write);
		return { segments, recovered: this.#founding };
	}

	#start(): Process {
		const { host, disk, id } = { host: this.host, disk: this.disk, id: this.#id };
		const { network, checker, book, mutations, settings, loose, memberOf } = this.#surroundings;
		const { world } = network;
		const { segments, recovered } = this.#openLog();
		const time = {
			schedule: (delayMicros: number, fn: () => void): void => void world.schedule(delayMicros, 'disk', fn, { host }),
			takeElapsedMicros: () => disk.takeElapsedMicros(),
			nowMs: () => host.clock.nowMs(),
			nowMicros: () => world.nowUs,
		};
		const files = new SnapshotFiles(disk, { folder: 'snapshots', mutations: mutations.log });
		const log = new InlineLog(segments, { ...inlineLogDefaults, ...time });
		const snapshots = inlineSnapshots(files, time);
		const store = new Store({ mutations: mutations.store });
		const heardUs = new Map<PeerId, number>();
		const parts: { watched?: WatchedMember } = {};
		const watch = <T>(act: (watched: WatchedMember, what: T) => void) => {
			return (what: T): void => {
				if (parts.watched !== undefined) act(parts.watched, what);
			};
		};
		const transport = new SimRaftTransport({
			network,
			host,
			find: (peer) => memberOf(peer)?.process?.transport,
			hostOf: (peer) => memberOf(peer)?.host,
			loose,
			sends: watch((watched, message) => checker.sends(watched, message)),
			receives: watch((watched, message) => {
				heardUs.set(message.from, world.nowUs);
				checker.receives(watched, message);
			}),
		});
		const raft = new RaftGroup({
			group,
			id,
			clock: host.clock,
			random: host.random('core'),
			log: new WatchedLog(
				log,
				this.#shadow,
				watch((watched, write) => checker.writes(watched, write)),
			),
			snapshots: snapshots.store,
			transport,
			stateMachine: new CheckedMachine(id, store, book),
			recovered,
			addressOf: () => undefined,
			settings,
			mutations: mutations.raft,
			onFailed: (error) => this.#stops(error),
		});
		const watched: WatchedMember = { id, host, core: raft.core, shadow: this.#shadow, nowUs: () => host.clock.nowUs };
		parts.watched = watched;
		checker.starts(watched, recovered);
		const engine = new StoreEngine({
			store,
			replicator: raft,
			clock: host.clock,
			random: host.random('core'),
			fault: (error) => {
				throw new Violation(`${id}: a watch handler threw`, { cause: error });
			},
		});
		const kill = (): void => {
			log.kill();
			snapshots.kill();
		};
		const admin = new RaftAdmin(raft, host.clock);
		return { group: raft, engine, store, admin, transport, watched, segments, heardUs, startedUs: world.nowUs, kill };
	}
}

/** Small, so that segments fill, are recycled and torn within a run. */
const logOptions = {
	...segmentLogDefaults,
	segmentBytes: 64 * 1024,
	entryMaxBytes: 8 * 1024,
	frameMaxBytes: 16 * 1024,
	fillStepBytes: 16 * 1024,
};
