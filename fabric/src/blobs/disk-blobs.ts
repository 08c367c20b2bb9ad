// Owns the blobs one holder keeps on its disk: a file each, named by digest, durable before `put` returns, verified when read. What is not what its
// name says is removed and counts as not held.
import { MeshError } from '@infermesh/proto';
import { type Disk, DiskError } from '../effects/disk.js';
import { blobErrors } from './errors.js';
import { type BlobLimits, blobIdOf, blobLimits } from './memory-blobs.js';
import type { BlobId } from './ports.js';

const FOLDER = 'blobs';
const PARTIAL = '.partial';
const NAME = /^[0-9a-f]{64}$/;

export class DiskBlobs {
	readonly #disk: Disk;
	readonly #limits: BlobLimits;
	readonly #sizes = new Map<BlobId, number>();
	#totalBytes = 0;

	/** Removes what an interrupted write has left. Throws DiskError when the folder cannot be read. */
	constructor(disk: Disk, limits: BlobLimits = blobLimits) {
		this.#disk = disk;
		this.#limits = limits;
		disk.makeFolder(FOLDER);
		for (const name of disk.list(FOLDER)) {
			if (!NAME.test(name)) {
				if (name.endsWith(PARTIAL)) disk.remove(`${FOLDER}/${name}`);
				continue;
			}
			const file = disk.open(`${FOLDER}/${name}`, { create: false });
			this.#account(name, file.size());
			file.close();
		}
	}

	has(id: BlobId): boolean {
		return this.#sizes.has(id);
	}

	list(): readonly BlobId[] {
		return [...this.#sizes.keys()];
	}

	/** Throws IM_BLOB_TOO_LARGE, IM_BLOB_FULL, or what the disk says. */
	put(bytes: Uint8Array): BlobId {
		const { blobBytesMax, totalBytesMax } = this.#limits;
		if (bytes.length > blobBytesMax)
			throw new MeshError(blobErrors, 'IM_BLOB_TOO_LARGE', `${bytes.length} bytes; at most ${blobBytesMax}`);
		const id = blobIdOf(bytes);
		if (this.#sizes.has(id)) return id;
		if (this.#totalBytes + bytes.length > totalBytesMax)
			throw new MeshError(blobErrors, 'IM_BLOB_FULL', `${this.#totalBytes} bytes are held already`);
		const path = `${FOLDER}/${id}`;
		const file = this.#disk.open(path + PARTIAL, { create: true });
		try {
			file.truncate(0);
			file.write(bytes, 0);
			file.sync();
		} finally {
			file.close();
		}
		this.#disk.rename(path + PARTIAL, path);
		this.#disk.syncFolder(FOLDER);
		this.#account(id, bytes.length);
		return id;
	}

	/** Undefined when it is not held, or was held and is corrupt. */
	get(id: BlobId): Uint8Array | undefined {
		const size = this.#sizes.get(id);
		if (size === undefined) return undefined;
		const bytes = this.#read(`${FOLDER}/${id}`, size);
		if (bytes !== undefined && blobIdOf(bytes) === id) return bytes;
		this.remove(id);
		return undefined;
	}

	remove(id: BlobId): void {
		const size = this.#sizes.get(id);
		if (size === undefined) return;
		this.#sizes.delete(id);
		this.#totalBytes -= size;
		this.#disk.remove(`${FOLDER}/${id}`);
		this.#disk.syncFolder(FOLDER);
	}

	#read(path: string, size: number): Uint8Array | undefined {
		try {
			const file = this.#disk.open(path, { create: false });
			try {
				const bytes = new Uint8Array(size);
				return file.read(bytes, 0) === size ? bytes : undefined;
			} finally {
				file.close();
			}
		} catch (error) {
			if (error instanceof DiskError && (error.fault === 'io' || error.fault === 'missing')) return undefined;
			throw error;
		}
	}

	#account(id: BlobId, bytes: number): void {
		this.#sizes.set(id, bytes);
		this.#totalBytes += bytes;
	}
}
