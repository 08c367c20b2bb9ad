// Owns what is asked of the store of blobs: bytes too large for the log, named by their SHA-256, durable on a quorum of its holders before
// `put` resolves. A record that names a blob may therefore be committed right after.

/** Lower-case hex of a SHA-256. */
export type BlobId = string;

export interface Blobs {
	/** Resolves with the name once a quorum of holders has it on disk. IM_BLOB_TOO_LARGE, IM_BLOB_NO_QUORUM. */
	put(bytes: Uint8Array): Promise<BlobId>;
	/** The bytes, verified against their name, from whoever has them. IM_BLOB_UNKNOWN, IM_BLOB_UNAVAILABLE. */
	get(id: BlobId): Promise<Uint8Array>;
	/** Lets go of every blob that is not `kept`, where this node holds any. */
	retain(kept: ReadonlySet<BlobId>): Promise<void>;
}
