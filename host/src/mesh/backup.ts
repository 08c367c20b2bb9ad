// Owns what a backup of the mesh is made of: the replicated state at one revision, and the blobs that its records name. A blob that nobody has is named
// as missing rather than failing the rest. Secrets of identity (the authority's key, certificates) are in no backup: they are not in replicated state.
import { BackupWriter, type Blobs, type ConsensusEngine } from '@infermesh/fabric';
import { type Clock, MeshError } from '@infermesh/proto';
import type { SavedState } from '../main/fabric.js';
import { recordKinds } from '../records/kinds.js';
import { decodeRecord } from '../records/records.js';

export interface BackupPorts {
	readonly clock: Clock;
	readonly engine: ConsensusEngine;
	readonly blobs: Blobs;
	readonly version: string;
	/** Name of this node. */
	readonly node: string;
}

const PAGE = 1000;

export async function* backupPieces(
	{ clock, engine, blobs, version, node }: BackupPorts,
	save: () => Promise<SavedState>,
): AsyncGenerator<Uint8Array> {
	const saved = await save();
	try {
		const { clusterId, revision, appliedIndex, appliedHash } = saved;
		const writer = new BackupWriter();
		const takenAtMs = Math.floor(clock.wallMs());
		yield writer.header({ meshId: clusterId, revision, appliedIndex, appliedHash, version, node, takenAtMs });
		for await (const piece of saved.pieces) yield writer.state(piece);
		for (const id of await blobsAt(engine, revision)) {
			try {
				yield* writer.blob(id, await blobs.get(id));
			} catch (error) {
				if (!(error instanceof MeshError) || !error.code.startsWith('IM_BLOB_')) throw error;
				yield writer.missing(id);
			}
		}
		yield writer.end();
	} finally {
		await saved.close();
	}
}

/** The blobs that the strategies of a revision name. Asked without a quorum too: a backup is wanted most when there is none. */
async function blobsAt(engine: ConsensusEngine, revision: number): Promise<ReadonlySet<string>> {
	const named = new Set<string>();
	let after: string | undefined;
	for (;;) {
		const { items, more } = await engine.read(
			{ prefix: recordKinds.strategies.prefix },
			{ revision, consistency: 'serializable', limit: PAGE, ...(after === undefined ? {} : { after }) },
		);
		for (const { value } of items) {
			const record = decodeRecord(recordKinds.strategies, value);
			if (record === undefined) continue;
			named.add(record.blob);
			if (record.sourceMapBlob !== undefined) named.add(record.sourceMapBlob);
		}
		after = items.at(-1)?.key;
		if (!more || after === undefined) return named;
	}
}
