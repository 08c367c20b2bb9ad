// Owns blobs in memory: what a lone development node has, where nothing outlives the process.
import { createHash } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { blobErrors } from './errors.js';
import type { BlobId, Blobs } from './ports.js';

export interface BlobLimits {
	readonly blobBytesMax: number;
	readonly totalBytesMax: number;
}

/** A strategy module is at most 1 MiB by default and 8 MiB ever; its source map may be as large. */
export const blobLimits: BlobLimits = { blobBytesMax: 16 * 1024 * 1024, totalBytesMax: 512 * 1024 * 1024 };

export function blobIdOf(bytes: Uint8Array): BlobId {
	return createHash('sha256').update(bytes).digest('hex');
}

export class MemoryBlobs implements Blobs {
	readonly #limits: BlobLimits;
	readonly #blobs = new Map<BlobId, Uint8Array>();
	#totalBytes = 0;

	constructor(limits: BlobLimits = blobLimits) {
		this.#limits = limits;
	}

	put(bytes: Uint8Array): Promise<BlobId> {
		const { blobBytesMax, totalBytesMax } = this.#limits;
		if (bytes.length > blobBytesMax)
			return Promise.reject(
				new MeshError(blobErrors, 'IM_BLOB_TOO_LARGE', `${bytes.length} bytes; at most ${blobBytesMax}`),
			);
		const id = blobIdOf(bytes);
		if (this.#blobs.has(id)) return Promise.resolve(id);
		if (this.#totalBytes + bytes.length > totalBytesMax)
			return Promise.reject(new MeshError(blobErrors, 'IM_BLOB_FULL', `${this.#totalBytes} bytes are held already`));
		this.#blobs.set(id, Uint8Array.from(bytes));
		this.#totalBytes += bytes.length;
		return Promise.resolve(id);
	}

	get(id: BlobId): Promise<Uint8Array> {
		const found = this.#blobs.get(id);
		return found === undefined
			? Promise.reject(new MeshError(blobErrors, 'IM_BLOB_UNKNOWN', `blob ${id}`))
			: Promise.resolve(found);
	}

	retain(kept: ReadonlySet<BlobId>): Promise<void> {
		for (const [id, bytes] of this.#blobs) {
			if (kept.has(id)) continue;
			this.#blobs.delete(id);
			this.#totalBytes -= bytes.length;
		}
		return Promise.resolve();
	}
}
