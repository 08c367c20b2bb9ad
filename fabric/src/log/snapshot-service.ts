// Owns the requests that snapshots are written and read by, and carrying them out on the side where the disk is. One request does a bounded
// amount of work. The other side is snapshot-client.ts.
import { MeshError } from '@infermesh/proto';
import type { SnapshotMeta } from '../raft/messages.js';
import { logErrors } from './errors.js';
import type { AnnouncedSnapshot } from './ports.js';
import type { SnapshotFiles, SnapshotFileWriter, SnapshotInfo } from './snapshot-files.js';
import type { SnapshotFileReader } from './snapshot-reader.js';

/** `handle` numbers a writer or reader; the client chooses it. */
export type SnapshotRequest =
	| { readonly kind: 'create'; readonly handle: number; readonly group: number; readonly meta: SnapshotMeta }
	| { readonly kind: 'receive'; readonly handle: number; readonly group: number; readonly announced: AnnouncedSnapshot }
	| { readonly kind: 'write'; readonly handle: number; readonly piece: Uint8Array }
	| { readonly kind: 'finish' | 'abandon' | 'closeReader'; readonly handle: number }
	| { readonly kind: 'openReader'; readonly handle: number; readonly group: number; readonly meta: SnapshotMeta }
	| { readonly kind: 'read'; readonly handle: number; readonly offset: number; readonly lengthMax: number }
	| { readonly kind: 'release'; readonly group: number; readonly index: number };

export type SnapshotAnswer =
	| { readonly kind: 'done' }
	/** `finish` has more to do: ask again. */
	| { readonly kind: 'more' }
	| { readonly kind: 'finished'; readonly info: SnapshotInfo }
	| { readonly kind: 'bytes'; readonly bytes: Uint8Array };

interface OpenWriter {
	readonly writer: SnapshotFileWriter;
	readonly group: number;
	readonly meta: SnapshotMeta;
}

export class SnapshotService {
	readonly #files: SnapshotFiles;
	readonly #writers = new Map<number, OpenWriter>();
	readonly #readers = new Map<number, SnapshotFileReader>();

	constructor(files: SnapshotFiles) {
		this.#files = files;
	}

	/** Throws IM_SNAPSHOT_CORRUPT, IM_LOG_DISK_FULL (the snapshot is given up, the disk is sound) and IM_LOG_DISK_FAILED. */
	handle(request: SnapshotRequest): SnapshotAnswer {
		switch (request.kind) {
			case 'create': {
				const writer = this.#files.create(request.group, request.meta);
				this.#writers.set(request.handle, { writer, group: request.group, meta: request.meta });
				break;
			}
			case 'receive': {
				const writer = this.#files.receive(request.group, request.announced);
				this.#writers.set(request.handle, { writer, group: request.group, meta: request.announced.meta });
				break;
			}
			case 'write':
				this.#write(request.handle, request.piece);
				break;
			case 'finish':
				return this.#finish(request.handle);
			case 'abandon':
				this.#writers.get(request.handle)?.writer.abandon();
				this.#writers.delete(request.handle);
				break;
			case 'openReader': {
				const reader = this.#files.open(request.group, request.meta);
				if (reader === undefined) throw gone(`snapshot ${request.meta.index} of group ${request.group}`);
				this.#readers.set(request.handle, reader);
				break;
			}
			case 'read': {
				const reader = this.#readers.get(request.handle);
				if (reader === undefined) throw gone('the snapshot being read');
				return { kind: 'bytes', bytes: reader.read(request.offset, request.lengthMax) };
			}
			case 'closeReader':
				this.#readers.get(request.handle)?.close();
				this.#readers.delete(request.handle);
				break;
			case 'release':
				this.#files.release(request.group, request.index);
				break;
		}
		return { kind: 'done' };
	}

	close(): void {
		for (const { writer } of this.#writers.values()) writer.stop();
		for (const reader of this.#readers.values()) reader.close();
		this.#writers.clear();
		this.#readers.clear();
	}

	#write(handle: number, piece: Uint8Array): void {
		const open = this.#writers.get(handle);
		if (open === undefined) throw gone('the snapshot being written');
		this.#giveUpOnError(handle, open, () => open.writer.write(piece));
	}

	#finish(handle: number): SnapshotAnswer {
		const open = this.#writers.get(handle);
		if (open === undefined) throw gone('the snapshot being written');
		if (this.#giveUpOnError(handle, open, () => open.writer.finish())) return { kind: 'more' };
		this.#writers.delete(handle);
		const { group, meta } = open;
		const info = this.#files.finished.find(
			(one) => one.group === group && one.index === meta.index && one.term === meta.term,
		);
		if (info === undefined) throw gone(`snapshot ${meta.index} of group ${group}`);
		return { kind: 'finished', info };
	}

	/** A writer that failed once takes nothing more; what it wrote goes, so that a part is never longer here than the client thinks. */
	#giveUpOnError<T>(handle: number, open: OpenWriter, work: () => T): T {
		try {
			return work();
		} catch (error) {
			this.#writers.delete(handle);
			const full = error instanceof MeshError && error.code === 'IM_LOG_DISK_FULL';
			if (full) open.writer.discard();
			throw error;
		}
	}
}

function gone(what: string): MeshError {
	return new MeshError(logErrors, 'IM_SNAPSHOT_GONE', `${what} is not there any more`);
}
