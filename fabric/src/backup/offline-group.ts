// Owns a member's part of a group while it does not run: reading what its log and snapshots hold, and laying down the beginning of a new group. Both over
// a disk whose folder the caller has locked.
import type { Random } from '@infermesh/proto';
import { unseal } from '../consensus/raft/envelope.js';
import type { Disk } from '../effects/disk.js';
import type { SegmentLogOptions } from '../log/options.js';
import type { RecoveredGroup } from '../log/ports.js';
import { SegmentLog } from '../log/segment-log.js';
import { SnapshotFiles, snapshotFilesDefaults } from '../log/snapshot-files.js';
import { votersOnly } from '../raft/membership.js';
import { decodeMembership } from '../raft/membership-codec.js';
import type { Membership, PeerId, SnapshotMeta } from '../raft/messages.js';
import { Store } from '../store/store.js';

const READ_BYTES = 1 << 20;

export interface OfflineOptions {
	readonly disk: Disk;
	readonly random: Random;
	readonly log: SegmentLogOptions;
	readonly group: number;
}

export interface OfflineGroup {
	/** All that the log holds, applied: also entries of which this member never heard that they were committed. */
	readonly store: Store;
	/** Of the last entry in the log. */
	readonly lastIndex: number;
	readonly lastTerm: number;
	/** Up to here the entries were known to be committed. */
	readonly commitIndex: number;
	/** The newest term it has heard of. */
	readonly term: number;
	readonly membership: Membership;
}

/** What the folder's log holds of the group; undefined when nothing. Throws IM_LOG_CORRUPT, IM_SNAPSHOT_CORRUPT and what the disk refuses. */
export function readGroup({ disk, random, log: options, group }: OfflineOptions): OfflineGroup | undefined {
	const log = SegmentLog.open(disk, random, options);
	const recovered = log.recovered.get(group);
	log.close();
	if (recovered === undefined) return undefined;
	const { hardState, snapshot, entries } = recovered;
	const store = new Store();
	if (snapshot !== undefined) readSnapshot(disk, group, snapshot, store);
	for (const entry of entries) if (entry.kind === 'command') store.apply(unseal(entry.data).command, entry.index);
	const last = entries.at(-1) ?? snapshot;
	return {
		store,
		lastIndex: last?.index ?? 0,
		lastTerm: last?.term ?? 0,
		commitIndex: Math.max(hardState.commit, snapshot?.index ?? 0),
		term: Math.max(hardState.term, last?.term ?? 0),
		membership: membershipOf(recovered),
	};
}

function readSnapshot(disk: Disk, group: number, meta: SnapshotMeta, store: Store): void {
	const reader = new SnapshotFiles(disk, snapshotFilesDefaults).open(group, meta);
	if (reader === undefined) throw new Error(`the snapshot at ${meta.index} is gone`);
	try {
		const restore = store.beginRestore();
		for (let at = 0; ; ) {
			const piece = reader.read(at, READ_BYTES);
			if (piece.length === 0) break;
			restore.push(piece);
			at += piece.length;
		}
		restore.finish();
	} finally {
		reader.close();
	}
}

function membershipOf({ entries, snapshot }: RecoveredGroup): Membership {
	const config = entries.findLast(({ kind }) => kind === 'config');
	return config === undefined ? (snapshot?.membership ?? votersOnly([])) : decodeMembership(config.data);
}

/** Where a group of one member begins. */
export interface GroupBeginning {
	readonly voter: PeerId;
	/** The first snapshot's; commands of the store must lie before it. */
	readonly index: number;
	readonly term: number;
	readonly store: Store;
}

/** Lays the state down as the first snapshot of a group with one voter, in a folder that holds nothing of it. Durable when it returns. */
export function plantGroup({ disk, random, log: options, group }: OfflineOptions, begin: GroupBeginning): void {
	const { voter, index, term, store } = begin;
	const meta: SnapshotMeta = { index, term, membership: votersOnly([voter]) };
	const writer = new SnapshotFiles(disk, snapshotFilesDefaults).create(group, meta);
	for (const piece of store.snapshot()) writer.write(piece);
	while (writer.finish());
	const log = SegmentLog.open(disk, random, options);
	log.append([{ group, snapshot: meta, entries: [], hardState: { term, votedFor: undefined, commit: index } }]);
	log.close();
}

/** The same keys as the beginning of another cluster: see `Store.beginRestore`. */
export function reborn(store: Store, clusterId: string): Store {
	const next = new Store();
	const restore = next.beginRestore({ newCluster: { clusterId } });
	for (const piece of store.snapshot()) restore.push(piece);
	restore.finish();
	return next;
}
