// Restoring and recovering on folders of real files: what is refused and leaves everything as it was, and what the node starts from afterwards.
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
	BackupWriter,
	blobIdOf,
	encodeCommand,
	FileDisk,
	lockFolder,
	type OfflineGroup,
	plantGroup,
	readGroup,
	Store,
} from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { loadConfig } from '../../config/load.js';
import type { MeshConfig } from '../../config/schema.js';
import { nodeRecord } from '../../mesh/testing.js';
import { recordKinds } from '../../records/kinds.js';
import { decodeRecord, encodeRecord, keyOf } from '../../records/records.js';
import { systemRandom } from '../clock.js';
import { NodeFolder } from './node-folder.js';
import { completeReplacement, recoverGroup, restoreBackup } from './offline.js';
import { logOptionsOf, MESH_GROUP, nodeFolderOf, raftFolderOf } from './state-folders.js';

const SEGMENT_BYTES = 8 << 20;
const OLD_NODE = '22222222-2222-4222-8222-222222222222';
const OTHER = '33333333-3333-4333-8333-333333333333';
const module = Buffer.from('the bytes of a module');

function configOf(t: ExecutionContext, roles = '[coordinator]'): MeshConfig {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-offline-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	const file = 'node.yaml';
	const text = `state_dir: ${folder}/state\nroles: ${roles}\nnode: {id: one}\nconsensus: {log_segment_bytes: ${SEGMENT_BYTES}}\n`;
	return loadConfig({ env: {}, flags: [], file, readText: () => text }).config;
}

/** A mesh with two nodes under leases, a tenant and a strategy. */
function savedStore(): Store {
	const store = new Store();
	const apply = (command: Parameters<typeof encodeCommand>[0]): void =>
		void store.apply(encodeCommand(command), store.appliedIndex + 1);
	const put = (key: string, value: unknown, lease?: string): void =>
		apply({
			kind: 'transact',
			transaction: {
				when: [],
				then: [{ put: key, value: encodeRecord(value), ...(lease === undefined ? {} : { lease }) }],
			},
		});
	apply({ kind: 'found', clusterId: 'old-mesh' });
	for (const [id, name] of [
		[OLD_NODE, 'one'],
		[OTHER, 'two'],
	] as const) {
		apply({ kind: 'grant', ttlMs: 3000 });
		const lease = [...store.leases()].at(-1)?.id ?? '';
		put(keyOf(recordKinds.nodes, id), nodeRecord(id, name), lease);
		put(keyOf(recordKinds.nodeNames, name), { id }, lease);
	}
	put(keyOf(recordKinds.tenants, 'team'), { policyMask: 3 });
	return store;
}

function fileOf(store: Store): () => AsyncIterable<Uint8Array> {
	const writer = new BackupWriter();
	const { clusterId, revision, appliedIndex, appliedHash } = store;
	const header = {
		meshId: clusterId,
		revision,
		appliedIndex,
		appliedHash,
		version: '0.1.0',
		node: 'one',
		takenAtMs: 1,
	};
	const pieces = [writer.header(header)];
	for (const piece of store.snapshot()) pieces.push(writer.state(piece));
	pieces.push(...writer.blob(blobIdOf(module), module), writer.missing('ab'.repeat(32)), writer.end());
	return async function* () {
		yield* pieces;
	};
}

const optionsOf = (folder: string) => ({
	disk: new FileDisk(folder),
	random: systemRandom(),
	log: logOptionsOf(SEGMENT_BYTES),
	group: MESH_GROUP,
});
const groupIn = (config: MeshConfig): OfflineGroup | undefined => readGroup(optionsOf(raftFolderOf(config)));
const keysOf = (store: Store | undefined): readonly string[] =>
	store?.read({ prefix: '' }).items.map(({ key }) => key) ?? [];

test('a backup becomes the state of the node that had its name, under another cluster, with nobody’s leases', async (t) => {
	const config = configOf(t);
	const saved = savedStore();
	const restored = await restoreBackup(config, fileOf(saved), { replace: false });
	t.like(restored, { from: 'old-mesh', revisionBefore: saved.revision, blobs: 1, aside: undefined });
	t.deepEqual(restored.missing, ['ab'.repeat(32)]);
	t.is(new NodeFolder(nodeFolderOf(config)).nodeId(), OLD_NODE);
	t.true(existsSync(path.join(config.state_dir, 'store', 'blobs', blobIdOf(module))));

	const group = groupIn(config);
	t.deepEqual(group?.membership.voters, [OLD_NODE]);
	t.is(group?.store.clusterId, restored.clusterId);
	t.is(group?.store.revision, restored.revision);
	t.true(restored.revision > saved.revision + 1e11);
	const lineage = keyOf(recordKinds.lineage, restored.clusterId);
	t.deepEqual(keysOf(group?.store), [lineage, keyOf(recordKinds.tenants, 'team')]);
	const [record] = group?.store.read({ key: lineage }).items ?? [];
	t.like(decodeRecord(recordKinds.lineage, record?.value ?? new Uint8Array(0)), { how: 'restored', from: 'old-mesh' });
});

test('a folder that holds a group, or is in use, is left as it is', async (t) => {
	const config = configOf(t);
	const first = await restoreBackup(config, fileOf(savedStore()), { replace: false });
	const again = restoreBackup(config, fileOf(savedStore()), { replace: false });
	await t.throwsAsync(again, { code: 'IM_SNAPSHOT_GROUP_EXISTS' });
	t.is(groupIn(config)?.store.clusterId, first.clusterId);
	const lock = lockFolder(raftFolderOf(config));
	await t.throwsAsync(restoreBackup(config, fileOf(savedStore()), { replace: true }), { code: 'IM_LOG_LOCKED' });
	t.throws(() => recoverGroup(config, { dryRun: false }), { code: 'IM_LOG_LOCKED' });
	lock.release();
	const second = await restoreBackup(config, fileOf(savedStore()), { replace: true });
	t.is(groupIn(config)?.store.clusterId, second.clusterId);
	t.is(readGroup(optionsOf(second.aside ?? ''))?.store.clusterId, first.clusterId, 'the one before is kept');
	const router = configOf(t, '[router]');
	await t.throwsAsync(restoreBackup(router, fileOf(savedStore()), { replace: false }), { code: 'IM_SNAPSHOT_ROLE' });
	t.false(existsSync(router.state_dir));
});

test('a replacement that was cut off is completed once the old group was out of the way, and never before', async (t) => {
	const config = configOf(t);
	const root = raftFolderOf(config);
	const first = await restoreBackup(config, fileOf(savedStore()), { replace: false });
	const second = await restoreBackup(config, fileOf(savedStore()), { replace: true });
	// As it is between the two renames, whether or not the lock's folder was made again meanwhile.
	renameSync(root, `${root}.ready`);
	completeReplacement(root);
	t.is(groupIn(config)?.store.clusterId, second.clusterId);
	renameSync(root, `${root}.ready`);
	lockFolder(root).release();
	completeReplacement(root);
	t.is(groupIn(config)?.store.clusterId, second.clusterId);
	// As it is before the first.
	renameSync(root, `${root}.ready`);
	renameSync(second.aside ?? '', root);
	completeReplacement(root);
	t.is(groupIn(config)?.store.clusterId, first.clusterId);
});

test('recovery: only a member may, a dry run changes nothing, and those given up leave no records behind', (t) => {
	const config = configOf(t);
	t.throws(() => recoverGroup(config, { dryRun: true }), { code: 'IM_SNAPSHOT_NO_GROUP' });
	const node = new NodeFolder(nodeFolderOf(config));
	node.setNodeId(OLD_NODE);
	const store = savedStore();
	rmSync(raftFolderOf(config), { recursive: true });
	plantGroup(optionsOf(raftFolderOf(config)), { voter: OTHER, index: store.appliedIndex, term: 4, store });
	t.throws(() => recoverGroup(config, { dryRun: true }), { code: 'IM_CONSENSUS_NOT_MEMBER' });

	rmSync(raftFolderOf(config), { recursive: true });
	plantGroup(optionsOf(raftFolderOf(config)), { voter: OLD_NODE, index: store.appliedIndex, term: 4, store });
	const before = readdirSync(config.state_dir);
	const dry = recoverGroup(config, { dryRun: true });
	t.like(dry, { from: 'old-mesh', lastIndex: store.appliedIndex, lastTerm: 4, clusterId: undefined, lost: [] });
	t.deepEqual(readdirSync(config.state_dir), before);
	t.is(groupIn(config)?.store.clusterId, 'old-mesh');

	const done = recoverGroup(config, { dryRun: false });
	const group = groupIn(config);
	t.is(group?.store.clusterId, done.clusterId);
	t.like(group, { lastTerm: 5, term: 5 });
	t.true((group?.lastIndex ?? 0) > store.appliedIndex, 'no index is used twice');
	t.true(keysOf(group?.store).includes(keyOf(recordKinds.nodes, OTHER)), 'a node that is no member keeps its lease');
	t.is(node.mesh()?.clusterId, done.clusterId);
});
