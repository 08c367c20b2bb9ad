// Owns a folder as a probe sees it: a local disk, NFS, Lustre, a FUSE mount. A write counts once fsync has said so.
import path from 'node:path';
import type { Clock } from '@infermesh/proto';
import type { AdapterFiles } from '../effects/ports.js';
import {
	type ListTimes,
	newest,
	type ObjectStore,
	PROBE_PREFIX,
	type ReadTimes,
	StoreFailure,
	type WriteTimes,
} from './store.js';

const PIECE_BYTES = 256 * 1024;
const ENTRIES_MAX = 10_000;

export class FileStore implements ObjectStore {
	readonly source = 'file';
	readonly name: string;
	readonly #folder: string;
	readonly #files: AdapterFiles;
	readonly #clock: Clock;

	constructor(folder: string, files: AdapterFiles, clock: Clock) {
		this.#folder = folder;
		this.#files = files;
		this.#clock = clock;
		this.name = folder;
	}

	async write(key: string, body: Uint8Array): Promise<WriteTimes> {
		const pieces: Uint8Array[] = [];
		for (let at = 0; at < body.length; at += PIECE_BYTES) pieces.push(body.subarray(at, at + PIECE_BYTES));
		const { writeMs, syncMs } = await failing(() => this.#files.writeDurably(path.join(this.#folder, key), pieces));
		return { totalMs: writeMs + syncMs, stallMs: syncMs };
	}

	read(key: string, bytesMax: number): Promise<ReadTimes> {
		return failing(() => this.#files.readThrough(path.join(this.#folder, key), bytesMax));
	}

	async list(): Promise<ListTimes> {
		const startedMs = this.#clock.nowMs();
		const names = await failing(() => this.#files.list(this.#folder, ENTRIES_MAX));
		if (names === undefined) throw new StoreFailure('ENOENT', 'there is no such folder');
		const totalMs = this.#clock.nowMs() - startedMs;
		const times: number[] = [];
		for (const name of names)
			if (!name.startsWith(PROBE_PREFIX)) {
				const modified = await this.#files.modifiedMs(path.join(this.#folder, name));
				if (modified !== undefined) times.push(modified);
			}
		return { totalMs, newestMs: newest(times), complete: names.length < ENTRIES_MAX };
	}

	remove(key: string): Promise<void> {
		return failing(() => this.#files.remove(path.join(this.#folder, key)));
	}
}

/** The system's error as a failure of the store, by its code. */
async function failing<T>(work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		const { code, message } = error as NodeJS.ErrnoException;
		throw new StoreFailure(code ?? 'failed', message);
	}
}
