// Owns the folder of snapshot files: which there are, beginning one, taking one that a peer sends (going on where an earlier try ended), reading,
// and giving up old ones. Synchronous, over a disk. Only `release` removes finished snapshots: the log's mark may still name an older one.
//
// `<group>-<index>-<term>.snapshot` is finished; `….creating` is removed on opening; `….receiving` is kept, one a group, and goes on when the
// same snapshot (index, term, digest, length) is announced again.
import { MeshError } from '@infermesh/proto';
import { type Disk, DiskError, type DiskFile } from '../effects/disk.js';
import type { SnapshotMeta } from '../raft/messages.js';
import { namedDiskError } from './disk-errors.js';
import { logErrors } from './errors.js';
import { makeDurableFolder } from './folders.js';
import type { LogMutation } from './options.js';
import type { AnnouncedSnapshot } from './ports.js';
import { DIGEST_BYTES, readSnapshotFooter, readSnapshotHeader } from './snapshot-format.js';
import { SnapshotFileReader } from './snapshot-reader.js';
import { SnapshotPart } from './snapshot-writer.js';

export interface SnapshotFilesOptions {
	readonly folder: string;
	readonly mutations: ReadonlySet<LogMutation>;
}

export const snapshotFilesDefaults: SnapshotFilesOptions = { folder: 'snapshots', mutations: new Set() };

export interface SnapshotInfo {
	readonly group: number;
	readonly index: number;
	readonly term: number;
	/** Undefined when the file is cut short or its header or footer is damaged: it is there, and cannot be read. */
	readonly content:
		| { readonly meta: SnapshotMeta; readonly totalBytes: number; readonly digest: Uint8Array }
		| undefined;
}

/** A part that was received of a snapshot. */
export interface ReceivedPart {
	readonly name: string;
	readonly length: number;
}

export class SnapshotFiles {
	readonly #disk: Disk;
	readonly #options: SnapshotFilesOptions;
	readonly #finished = new Map<string, SnapshotInfo>();
	#nextTemporary = 1;

	/** Throws IM_LOG_DISK_FAILED. */
	constructor(disk: Disk, options: SnapshotFilesOptions) {
		this.#disk = disk;
		this.#options = options;
		this.#guard('opening the snapshots', () => {
			makeDurableFolder(disk, options.folder);
			for (const name of disk.list(options.folder)) {
				if (name.endsWith('.creating')) disk.remove(this.#path(name));
				const info = this.#inspect(name);
				if (info !== undefined) this.#finished.set(name, info);
			}
		});
	}

	/** Finished snapshots, in no order. */
	get finished(): readonly SnapshotInfo[] {
		return [...this.#finished.values()];
	}

	/** Parts of snapshots that were being received. */
	get parts(): readonly ReceivedPart[] {
		return this.#guard('listing received parts', () =>
			this.#disk
				.list(this.#options.folder)
				.filter((name) => name.endsWith('.receiving'))
				.map((name) => ({ name, length: this.#partLength(name) })),
		);
	}

	create(group: number, meta: SnapshotMeta): SnapshotFileWriter {
		const temporary = `${finishedName(group, meta)}-${this.#nextTemporary++}.creating`;
		return this.#begin(temporary, group, meta, undefined);
	}

	receive(group: number, announced: AnnouncedSnapshot): SnapshotFileWriter {
		const name = partName(group, announced);
		this.#guard('removing received parts', () => {
			for (const other of this.#disk.list(this.#options.folder)) {
				const isOther = other.endsWith('.receiving') && other !== name && other.startsWith(`${group}-`);
				if (isOther) this.#disk.remove(this.#path(other));
			}
		});
		const writer = this.#begin(name, group, announced.meta, announced);
		if (writer.length <= announced.totalBytes) return writer;
		// More than there is: what an earlier try left is not this snapshot.
		writer.discard();
		return this.#begin(name, group, announced.meta, announced);
	}

	/** Undefined when there is none. Throws IM_SNAPSHOT_CORRUPT when it is damaged. */
	open(group: number, meta: Pick<SnapshotMeta, 'index' | 'term'>): SnapshotFileReader | undefined {
		const name = `${finishedName(group, meta)}.snapshot`;
		if (!this.#finished.has(name)) return undefined;
		return this.#guard('opening a snapshot', () => {
			const path = this.#path(name);
			return SnapshotFileReader.open(this.#disk, path, !this.#options.mutations.has('ignore-checksum'));
		});
	}

	/** Removes the group's snapshots before `index`. What is open stays readable. */
	release(group: number, index: number): void {
		this.#guard('removing a snapshot', () => {
			for (const [name, info] of this.#finished) {
				if (info.group !== group || info.index >= index) continue;
				this.#disk.remove(this.#path(name));
				this.#finished.delete(name);
			}
		});
	}

	#begin(
		temporary: string,
		group: number,
		meta: SnapshotMeta,
		announced: AnnouncedSnapshot | undefined,
	): SnapshotFileWriter {
		const part = this.#guard('beginning a snapshot', () => {
			return new SnapshotPart(this.#disk, this.#path(temporary), group, meta, this.#options.mutations);
		});
		const name = `${finishedName(group, meta)}.snapshot`;
		return new SnapshotFileWriter(
			part,
			announced,
			(work) => this.#guard('writing a snapshot', work),
			() => {
				part.publish(this.#path(name));
				const info = this.#inspect(name);
				if (info !== undefined) this.#finished.set(name, info);
			},
			this.#options.mutations,
		);
	}

	#inspect(name: string): SnapshotInfo | undefined {
		const match = /^(\d{1,10})-(\d{1,16})-(\d{1,16})\.snapshot$/.exec(name);
		if (match === null) return undefined;
		const [group, index, term] = match.slice(1).map(Number);
		if (group === undefined || index === undefined || term === undefined) return undefined;
		const file = this.#disk.open(this.#path(name), { create: false });
		try {
			const read = (from: number, to: number): Buffer => readRange(file, from, to);
			const header = readSnapshotHeader(read);
			const footer = header && readSnapshotFooter(read, file.size(), header.headerBytes);
			const sound = header?.group === group && header.meta.index === index && header.meta.term === term;
			if (!sound || footer === undefined) return { group, index, term, content: undefined };
			const { totalBytes, digest } = footer;
			return { group, index, term, content: { meta: header.meta, totalBytes, digest } };
		} finally {
			file.close();
		}
	}

	#partLength(name: string): number {
		const file = this.#disk.open(this.#path(name), { create: false });
		try {
			const header = readSnapshotHeader((from, to) => readRange(file, from, to));
			return header === undefined ? 0 : file.size() - header.headerBytes;
		} finally {
			file.close();
		}
	}

	#path(name: string): string {
		return `${this.#options.folder}/${name}`;
	}

	#guard<T>(doing: string, work: () => T): T {
		try {
			return work();
		} catch (error) {
			if (error instanceof DiskError) throw namedDiskError(error, doing, this.#options.folder);
			throw error;
		}
	}
}

/** One snapshot being written. Every call may throw IM_LOG_DISK_FAILED and IM_LOG_DISK_FULL; after either the snapshot is given up. */
export class SnapshotFileWriter {
	readonly #part: SnapshotPart;
	readonly #announced: AnnouncedSnapshot | undefined;
	readonly #guard: <T>(work: () => T) => T;
	readonly #publish: () => void;
	readonly #mutations: ReadonlySet<LogMutation>;

	constructor(
		part: SnapshotPart,
		announced: AnnouncedSnapshot | undefined,
		guard: <T>(work: () => T) => T,
		publish: () => void,
		mutations: ReadonlySet<LogMutation>,
	) {
		this.#part = part;
		this.#announced = announced;
		this.#guard = guard;
		this.#publish = publish;
		this.#mutations = mutations;
	}

	get length(): number {
		return this.#part.length;
	}

	/** Throws IM_SNAPSHOT_CORRUPT when a received one becomes longer than announced. */
	write(piece: Uint8Array): void {
		if (this.#announced !== undefined && this.length + piece.length > this.#announced.totalBytes)
			this.#refuse(`more than the ${this.#announced.totalBytes} bytes that were announced`);
		this.#guard(() => this.#part.write(piece));
	}

	/** One step towards a finished snapshot; answers whether another is needed. Throws IM_SNAPSHOT_CORRUPT when it is not what was announced. */
	finish(): boolean {
		if (this.#guard(() => this.#part.catchUp())) return true;
		const announced = this.#announced;
		if (announced !== undefined && !this.#mutations.has('ignore-checksum')) {
			if (this.length !== announced.totalBytes)
				this.#refuse(`${this.length} bytes arrived of ${announced.totalBytes} that were announced`);
			if (!Buffer.from(announced.digest).equals(this.#part.digest()))
				this.#refuse('its digest is not the one announced');
		}
		this.#guard(() => this.#publish());
		return false;
	}

	/** Stops: a received part stays to go on with, an own one goes. */
	abandon(): void {
		this.#guard(() => (this.#announced === undefined ? this.#part.discard() : this.#part.close()));
	}

	/** Stops and leaves the file as it is. */
	stop(): void {
		this.#guard(() => this.#part.close());
	}

	discard(): void {
		this.#guard(() => this.#part.discard());
	}

	#refuse(why: string): never {
		this.discard();
		throw new MeshError(logErrors, 'IM_SNAPSHOT_CORRUPT', `a received snapshot is refused: ${why}`, {
			where: this.#part.path,
		});
	}
}

/** Name of a part being received: going on needs the same snapshot. */
export function partName(group: number, announced: AnnouncedSnapshot): string {
	if (announced.digest.length !== DIGEST_BYTES) throw new RangeError('a digest has 32 bytes');
	const digest = Buffer.from(announced.digest).toString('hex');
	return `${finishedName(group, announced.meta)}-${announced.totalBytes}-${digest}.receiving`;
}

function finishedName(group: number, meta: Pick<SnapshotMeta, 'index' | 'term'>): string {
	return `${group}-${meta.index}-${meta.term}`;
}

function readRange(file: DiskFile, from: number, to: number): Buffer {
	const bytes = Buffer.alloc(Math.max(0, Math.min(to, file.size()) - from));
	return bytes.subarray(0, file.read(bytes, from));
}
