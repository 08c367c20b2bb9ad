// Owns writing one snapshot file in pieces: bytes, checksums, digest, and the steps that make it durable and visible. Synchronous; each call does
// a bounded amount of work so that the log, which shares the thread, never waits long.
import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Disk, DiskFile } from '../effects/disk.js';
import type { SnapshotMeta } from '../raft/messages.js';
import type { LogMutation } from './options.js';
import { SNAPSHOT_BLOCK_BYTES, writeSnapshotFooter, writeSnapshotHeader } from './snapshot-format.js';

/** What was written since is made durable after so many bytes, so that no sync is long. */
const SYNC_BYTES = 4 * 1024 * 1024;
/** Bytes of an earlier part that are read again in one step. */
const CATCH_UP_BYTES = 1024 * 1024;

export class SnapshotPart {
	readonly path: string;
	readonly #disk: Disk;
	readonly #file: DiskFile;
	readonly #mutations: ReadonlySet<LogMutation>;
	readonly #headerBytes: number;
	readonly #hash: Hash = createHash('sha256');
	readonly #blocks: number[] = [];
	#blockCrc = 0;
	#hashedBytes = 0;
	#length: number;
	#unsyncedBytes = 0;
	#open = true;

	/** Goes on with the file at `path` if it begins with the same header, else begins anew. Throws DiskError. */
	constructor(disk: Disk, path: string, group: number, meta: SnapshotMeta, mutations: ReadonlySet<LogMutation>) {
		this.path = path;
		this.#disk = disk;
		this.#mutations = mutations;
		this.#file = disk.open(path, { create: true });
		const header = writeSnapshotHeader(group, meta);
		this.#headerBytes = header.length;
		const found = Buffer.alloc(header.length);
		if (this.#file.read(found, 0) === header.length && found.equals(header)) {
			this.#length = this.#file.size() - header.length;
		} else {
			this.#file.truncate(0);
			this.#file.write(header, 0);
			this.#length = 0;
		}
	}

	/** Bytes of the snapshot that are there. */
	get length(): number {
		return this.#length;
	}

	write(piece: Uint8Array): void {
		this.#file.write(piece, this.#headerBytes + this.#length);
		if (this.#hashedBytes === this.#length) this.#digest(piece);
		this.#length += piece.length;
		this.#unsyncedBytes += piece.length;
		if (this.#unsyncedBytes >= SYNC_BYTES) this.#sync();
	}

	/** Reads again some of what an earlier part left; answers whether there is more. */
	catchUp(): boolean {
		const count = Math.min(CATCH_UP_BYTES, this.#length - this.#hashedBytes);
		if (count === 0) return false;
		const piece = Buffer.alloc(count);
		this.#file.read(piece, this.#headerBytes + this.#hashedBytes);
		this.#digest(piece);
		return this.#hashedBytes < this.#length;
	}

	/** SHA-256 of all bytes; after the last `catchUp`. */
	digest(): Uint8Array {
		return this.#hash.copy().digest();
	}

	/** Completes the file and gives it its name, durably. */
	publish(path: string): void {
		if (this.#hashedBytes !== this.#length) throw new RangeError('the snapshot has not caught up');
		const blocks = this.#length % SNAPSHOT_BLOCK_BYTES === 0 ? this.#blocks : [...this.#blocks, this.#blockCrc];
		const footer = writeSnapshotFooter({ totalBytes: this.#length, digest: this.digest(), blocks });
		this.#file.write(footer, this.#headerBytes + this.#length);
		this.#sync();
		this.close();
		this.#disk.rename(this.path, path);
		if (!this.#mutations.has('no-folder-sync')) this.#disk.syncFolder(path.slice(0, path.lastIndexOf('/')));
	}

	/** Stops; the file stays as it is. */
	close(): void {
		if (this.#open) this.#file.close();
		this.#open = false;
	}

	/** Stops and removes the file. */
	discard(): void {
		this.close();
		this.#disk.remove(this.path);
	}

	#sync(): void {
		if (!this.#mutations.has('skip-fsync')) this.#file.sync();
		this.#unsyncedBytes = 0;
	}

	#digest(piece: Uint8Array): void {
		this.#hash.update(piece);
		for (let at = 0; at < piece.length; ) {
			const room = SNAPSHOT_BLOCK_BYTES - (this.#hashedBytes % SNAPSHOT_BLOCK_BYTES);
			const count = Math.min(room, piece.length - at);
			this.#blockCrc = crc32(piece.subarray(at, at + count), this.#blockCrc);
			this.#hashedBytes += count;
			at += count;
			if (count < room) continue;
			this.#blocks.push(this.#blockCrc);
			this.#blockCrc = 0;
		}
	}
}
