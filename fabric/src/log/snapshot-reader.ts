// Owns reading a finished snapshot file: every block that a read touches is checked against the footer.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { MeshError } from '@infermesh/proto';
import type { Disk, DiskFile } from '../effects/disk.js';
import type { SnapshotMeta } from '../raft/messages.js';
import { logErrors } from './errors.js';
import {
	readSnapshotFooter,
	readSnapshotHeader,
	SNAPSHOT_BLOCK_BYTES,
	type SnapshotFooter,
	type SnapshotHeader,
} from './snapshot-format.js';

export class SnapshotFileReader {
	readonly #path: string;
	readonly #file: DiskFile;
	readonly #header: SnapshotHeader;
	readonly #footer: SnapshotFooter;
	readonly #checks: boolean;

	/** Throws IM_SNAPSHOT_CORRUPT when the file is cut short or its header or footer is damaged, and DiskError. */
	static open(disk: Disk, path: string, checks: boolean): SnapshotFileReader {
		const file = disk.open(path, { create: false });
		try {
			return new SnapshotFileReader(path, file, checks);
		} catch (error) {
			file.close();
			throw error;
		}
	}

	private constructor(path: string, file: DiskFile, checks: boolean) {
		this.#path = path;
		this.#file = file;
		this.#checks = checks;
		const read = (from: number, to: number): Buffer => this.#range(from, to);
		const header = readSnapshotHeader(read);
		if (header === undefined) throw this.#corrupt('its header is damaged');
		const footer = readSnapshotFooter(read, file.size(), header.headerBytes);
		if (footer === undefined) throw this.#corrupt('it is cut short, or its footer is damaged');
		this.#header = header;
		this.#footer = footer;
	}

	get meta(): SnapshotMeta {
		return this.#header.meta;
	}

	get totalBytes(): number {
		return this.#footer.totalBytes;
	}

	get digest(): Uint8Array {
		return this.#footer.digest;
	}

	/** Up to `lengthMax` bytes at `offset`; none at the end. Throws IM_SNAPSHOT_CORRUPT and DiskError. */
	read(offset: number, lengthMax: number): Uint8Array {
		const to = Math.min(this.totalBytes, offset + lengthMax);
		if (offset >= to) return new Uint8Array(0);
		const firstBlock = Math.floor(offset / SNAPSHOT_BLOCK_BYTES);
		const from = firstBlock * SNAPSHOT_BLOCK_BYTES;
		const until = Math.min(this.totalBytes, Math.ceil(to / SNAPSHOT_BLOCK_BYTES) * SNAPSHOT_BLOCK_BYTES);
		const bytes = this.#range(this.#header.headerBytes + from, this.#header.headerBytes + until);
		for (let at = 0; this.#checks && at < until - from; at += SNAPSHOT_BLOCK_BYTES) {
			const block = firstBlock + at / SNAPSHOT_BLOCK_BYTES;
			if (crc32(bytes.subarray(at, at + SNAPSHOT_BLOCK_BYTES)) !== this.#footer.blocks[block])
				throw this.#corrupt(`the block at byte ${block * SNAPSHOT_BLOCK_BYTES} is damaged`);
		}
		return bytes.subarray(offset - from, to - from);
	}

	/** Reads all of it against the digest. Throws IM_SNAPSHOT_CORRUPT and DiskError. */
	verify(): void {
		const hash = createHash('sha256');
		for (let at = 0; at < this.totalBytes; at += SNAPSHOT_BLOCK_BYTES) hash.update(this.read(at, SNAPSHOT_BLOCK_BYTES));
		if (!hash.digest().equals(this.digest)) throw this.#corrupt('its digest is wrong');
	}

	close(): void {
		this.#file.close();
	}

	#range(from: number, to: number): Buffer {
		const bytes = Buffer.alloc(Math.max(0, Math.min(to, this.#file.size()) - from));
		return bytes.subarray(0, this.#file.read(bytes, from));
	}

	#corrupt(why: string): MeshError {
		return new MeshError(logErrors, 'IM_SNAPSHOT_CORRUPT', `${this.#path}: ${why}`, { where: this.#path });
	}
}
