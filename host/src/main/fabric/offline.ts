// Owns what is done to the consensus data of a node that does not run: a backup restored into it, and the recovery of a group that has lost its quorum.
// Both begin a cluster of their own, with this node as its only member: a new id, so that members of the old one are refused by name, and revisions
// moved on, so that no fencing token is ever given twice. The new group is made beside the old one and takes its place by a rename; the old one is
// put aside, never removed.
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import path from 'node:path';
import {
	BackupReader,
	type BackupSummary,
	backupErrors,
	consensusErrors,
	DiskBlobs,
	encodeCommand,
	FileDisk,
	type FolderLock,
	lockFolder,
	type OfflineGroup,
	type Operation,
	plantGroup,
	readGroup,
	reborn,
	Store,
	segmentLogDefaults,
} from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { MeshConfig } from '../../config/schema.js';
import { type LineageRecord, recordKinds } from '../../records/kinds.js';
import { decodeRecord, encodeRecord, idOf, keyOf } from '../../records/records.js';
import { systemClock, systemRandom } from '../clock.js';
import { NodeFolder } from './node-folder.js';
import { blobFolderOf, logOptionsOf, MESH_GROUP, nodeFolderOf, raftFolderOf } from './state-folders.js';

export interface Restored {
	/** Of the mesh that was saved. */
	readonly from: string;
	readonly clusterId: string;
	readonly revisionBefore: number;
	readonly revision: number;
	readonly takenAtMs: number;
	readonly blobs: number;
	readonly missing: readonly string[];
	/** Where the data lies that was there before; undefined when there was none. */
	readonly aside: string | undefined;
}

export interface RestoreOptions {
	/** Puts aside a group that the folder holds. */
	readonly replace: boolean;
}

/** Reads the file twice: nothing is written before all of it has been checked. IM_SNAPSHOT_*, IM_STORE_SNAPSHOT_*, IM_LOG_LOCKED, IM_BLOB_FULL. */
export async function restoreBackup(
	config: MeshConfig,
	read: () => AsyncIterable<Uint8Array>,
	{ replace }: RestoreOptions,
): Promise<Restored> {
	checkCoordinator(config);
	const saved = new Store();
	const restore = saved.beginRestore();
	const summary = await readBackup(read(), new BackupReader({ state: (piece) => restore.push(piece) }));
	restore.finish();
	const held = takeFolder(config);
	try {
		const node = new NodeFolder(nodeFolderOf(config));
		const inUse = held.group() !== undefined || node.mesh() !== undefined;
		if (inUse && !replace) throw new MeshError(backupErrors, 'IM_SNAPSHOT_GROUP_EXISTS', raftFolderOf(config));
		const blobs = new DiskBlobs(new FileDisk(blobFolderOf(config)));
		await readBackup(read(), new BackupReader({ blob: (_id, bytes) => void blobs.put(bytes) }));
		if (!node.hasNodeId()) node.setNodeId(ownerOf(saved, config.node.id) ?? randomUUID());
		const clusterId = randomUUID();
		const store = reborn(saved, clusterId);
		// Nobody is left who could hold them: what lay under them would keep the names of nodes that are gone.
		endLeases(store, () => true);
		const { header, sha256 } = summary;
		record(store, clusterId, {
			how: 'restored',
			from: header.meshId,
			revision: header.revision,
			index: header.appliedIndex,
			term: 0,
			...author(config),
			sha256,
		});
		const aside = held.replace(node.nodeId(), store, store.appliedIndex, 1);
		node.setMesh({ clusterId, coordinators: [], gossip: [], gossipKeys: [] });
		return {
			from: header.meshId,
			clusterId,
			revisionBefore: header.revision,
			revision: store.revision,
			takenAtMs: header.takenAtMs,
			blobs: summary.blobs.length,
			missing: summary.missing,
			aside,
		};
	} finally {
		held.release();
	}
}

/** What a recovery has done, or would do. */
export interface Recovery {
	readonly from: string;
	/** Undefined where nothing was done. */
	readonly clusterId: string | undefined;
	/** The last entry in this node's log, and its term: whatever the others had after it is lost. */
	readonly lastIndex: number;
	readonly lastTerm: number;
	/** Entries after this one were not known to be committed; they are kept. */
	readonly commitIndex: number;
	/** The newest term this node has heard of: when it is above that of its last entry, others may have decided without it. */
	readonly term: number;
	readonly revision: number;
	/** Voters that are given up. */
	readonly lost: readonly { readonly id: string; readonly name: string }[];
	readonly aside: string | undefined;
}

/**
 * Makes this node the only member of its group. With `dryRun` nothing is changed. IM_SNAPSHOT_NO_GROUP, IM_CONSENSUS_NOT_MEMBER, IM_LOG_LOCKED,
 * IM_LOG_CORRUPT.
 */
export function recoverGroup(config: MeshConfig, { dryRun }: { readonly dryRun: boolean }): Recovery {
	checkCoordinator(config);
	const held = takeFolder(config);
	try {
		const group = held.group();
		if (group === undefined) throw new MeshError(backupErrors, 'IM_SNAPSHOT_NO_GROUP', raftFolderOf(config));
		const node = new NodeFolder(nodeFolderOf(config));
		const self = node.nodeId();
		const { store, lastIndex, lastTerm, commitIndex, term, membership } = group;
		const members = new Set([...membership.voters, ...membership.outgoing, ...membership.learners]);
		// Whoever was taken out has no say in what the mesh is.
		if (!members.has(self))
			throw new MeshError(
				consensusErrors,
				'IM_CONSENSUS_NOT_MEMBER',
				`${config.node.id} (${self}) was taken out of it`,
			);
		const others = [...members].filter((id) => id !== self);
		const told = {
			from: store.clusterId,
			lastIndex,
			lastTerm,
			commitIndex,
			term,
			revision: store.revision,
			lost: others.map((id) => ({ id, name: nameOf(store, id) })),
		};
		if (dryRun) return { ...told, clusterId: undefined, aside: undefined };
		const clusterId = randomUUID();
		const next = reborn(store, clusterId);
		// Whoever is no member keeps its lease and goes on; those given up must not be taken in again by what they left behind.
		const gone = new Set(others.map((id) => keyOf(recordKinds.nodes, id)));
		endLeases(next, (keys) => keys.some((key) => gone.has(key)));
		record(next, clusterId, {
			how: 'recovered',
			from: store.clusterId,
			revision: store.revision,
			index: lastIndex,
			term: lastTerm,
			...author(config),
		});
		const aside = held.replace(self, next, lastIndex + next.appliedIndex, term + 1);
		const mesh = node.mesh();
		node.setMesh({
			clusterId,
			coordinators: (mesh?.coordinators ?? []).filter(({ nodeId }) => nodeId === self),
			gossip: mesh?.gossip ?? [],
			gossipKeys: mesh?.gossipKeys ?? [],
			agents: mesh?.agents ?? [],
		});
		return { ...told, clusterId, aside };
	} finally {
		held.release();
	}
}

/** Reads all of a backup. IM_SNAPSHOT_FILE_*. */
export async function readBackup(pieces: AsyncIterable<Uint8Array>, reader: BackupReader): Promise<BackupSummary> {
	for await (const piece of pieces) reader.push(piece);
	return reader.finish();
}

interface HeldFolder {
	/** What the folder holds of the group. */
	group(): OfflineGroup | undefined;
	/** Puts a group of one voter in the folder's place; answers where the old one lies, if there was one. */
	replace(voter: string, store: Store, index: number, term: number): string | undefined;
	release(): void;
}

/** A group that is whole on disk and waits to take its folder's place. */
const readyFolder = (root: string): string => `${root}.ready`;

/**
 * Completes a replacement that was cut off after the old group had been put aside; to be called before a member opens its folder. One that was cut
 * off earlier has not happened: the old group is still in its place.
 */
export function completeReplacement(root: string): void {
	if (!existsSync(readyFolder(root)) || existsSync(path.join(root, segmentLogDefaults.folder))) return;
	rmSync(root, { recursive: true, force: true });
	renameSync(readyFolder(root), root);
	syncFolder(path.dirname(root));
}

/** The folder of a node that does not run. IM_LOG_LOCKED while it does. */
function takeFolder(config: MeshConfig): HeldFolder {
	const root = raftFolderOf(config);
	completeReplacement(root);
	const log = logOptionsOf(config.consensus.log_segment_bytes);
	const lock: FolderLock = lockFolder(root);
	const optionsOf = (folder: string) => ({
		disk: new FileDisk(folder),
		random: systemRandom(),
		log,
		group: MESH_GROUP,
	});
	let group: OfflineGroup | undefined;
	let read = false;
	return {
		group() {
			if (!read && existsSync(path.join(root, log.folder))) group = readGroup(optionsOf(root));
			read = true;
			return group;
		},
		replace(voter, store, index, term) {
			const next = `${root}.new`;
			// What an earlier try has left.
			rmSync(next, { recursive: true, force: true });
			rmSync(readyFolder(root), { recursive: true, force: true });
			plantGroup(optionsOf(next), { voter, index, term, store });
			renameSync(next, readyFolder(root));
			syncFolder(path.dirname(root));
			let aside: string | undefined;
			if (group === undefined) rmSync(root, { recursive: true });
			else {
				aside = `${root}.before-${store.clusterId}`;
				renameSync(root, aside);
			}
			renameSync(readyFolder(root), root);
			syncFolder(path.dirname(root));
			return aside;
		},
		release: () => lock.release(),
	};
}

function syncFolder(folder: string): void {
	const handle = openSync(folder, 'r');
	try {
		fsyncSync(handle);
	} finally {
		closeSync(handle);
	}
}

function checkCoordinator({ roles, consensus }: MeshConfig): void {
	if (!roles.includes('coordinator') || consensus.engine !== 'raft')
		throw new MeshError(backupErrors, 'IM_SNAPSHOT_ROLE');
}

function apply(store: Store, then: readonly Operation[]): void {
	store.apply(encodeCommand({ kind: 'transact', transaction: { when: [], then } }), store.appliedIndex + 1);
}

function record(store: Store, clusterId: string, lineage: LineageRecord): void {
	apply(store, [{ put: keyOf(recordKinds.lineage, clusterId), value: encodeRecord(lineage) }]);
}

function author(config: MeshConfig): Pick<LineageRecord, 'by' | 'node' | 'atMs'> {
	return { by: `${userName()}@${hostname()}`, node: config.node.id, atMs: Math.floor(systemClock.wallMs()) };
}

/** In a container a user may have a number only. */
function userName(): string {
	try {
		return userInfo().username;
	} catch {
		return `uid ${process.getuid?.() ?? 'unknown'}`;
	}
}

/** Ends the leases whose keys are `chosen`, with their keys. */
function endLeases(store: Store, chosen: (keys: readonly string[]) => boolean): void {
	const keys = new Map<string, string[]>([...store.leases()].map(({ id }) => [id, []]));
	for (const { key, lease } of allKeys(store)) if (lease !== undefined) keys.get(lease)?.push(key);
	for (const [id, attached] of keys)
		if (chosen(attached)) store.apply(encodeCommand({ kind: 'revoke', id }), store.appliedIndex + 1);
}

/** Every key of a store, in pages as the store gives them. */
export function* allKeys(store: Store): Generator<ReturnType<Store['read']>['items'][number]> {
	for (let after: string | undefined; ; ) {
		const { items, more } = store.read({ prefix: '' }, after === undefined ? {} : { after });
		yield* items;
		after = items.at(-1)?.key;
		if (!more || after === undefined) return;
	}
}

/** The UUID of the node that had this name: what was decided about it holds for whoever takes its place. */
function ownerOf(store: Store, name: string): string | undefined {
	const [held] = store.read({ key: keyOf(recordKinds.nodeNames, name) }).items;
	const owner = held === undefined ? undefined : decodeRecord(recordKinds.nodeNames, held.value)?.id;
	if (owner !== undefined) return owner;
	for (const { key, value } of store.read({ prefix: recordKinds.lifecycle.prefix }).items)
		if (decodeRecord(recordKinds.lifecycle, value)?.name === name) {
			const id = idOf(recordKinds.lifecycle, key);
			if (store.read({ key: keyOf(recordKinds.removals, id) }).items.length === 0) return id;
		}
	return undefined;
}

function nameOf(store: Store, id: string): string {
	const [node] = store.read({ key: keyOf(recordKinds.nodes, id) }).items;
	const [lifecycle] = store.read({ key: keyOf(recordKinds.lifecycle, id) }).items;
	return (
		(node === undefined ? undefined : decodeRecord(recordKinds.nodes, node.value)?.name) ??
		(lifecycle === undefined ? undefined : decodeRecord(recordKinds.lifecycle, lifecycle.value)?.name) ??
		id
	);
}
