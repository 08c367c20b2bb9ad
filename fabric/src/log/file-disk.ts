// Owns the real disk: a folder of the file system behind the `Disk` interface, by synchronous calls. Files are the owner's only. Used in the log
// thread, where nothing else waits.
import {
	closeSync,
	constants,
	existsSync,
	fdatasyncSync,
	fstatSync,
	fsyncSync,
	ftruncateSync,
	mkdirSync,
	openSync,
	readdirSync,
	readSync,
	renameSync,
	unlinkSync,
	writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Disk, DiskError, type DiskFault, type DiskFile } from '../effects/disk.js';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

const faults: Readonly<Record<string, DiskFault>> = {
	ENOSPC: 'full',
	EDQUOT: 'full',
	ENOENT: 'missing',
	ENOTDIR: 'missing',
	EACCES: 'denied',
	EPERM: 'denied',
	EROFS: 'denied',
};

export class FileDisk implements Disk {
	readonly #root: string;

	/** `root` is a folder's path; it is made when missing. Throws DiskError. */
	constructor(root: string) {
		this.#root = root;
		attempt(() => mkdirSync(root, { recursive: true, mode: FOLDER_MODE }));
	}

	list(folder: string): readonly string[] {
		try {
			return readdirSync(this.#path(folder)).sort();
		} catch (error) {
			const named = asDiskError(error);
			if (named.fault === 'missing') return [];
			throw named;
		}
	}

	exists(path: string): boolean {
		return existsSync(this.#path(path));
	}

	open(path: string, options: { readonly create: boolean }): DiskFile {
		const full = this.#path(path);
		return attempt(() => {
			if (options.create) mkdirSync(dirname(full), { recursive: true, mode: FOLDER_MODE });
			return new OpenFile(openSync(full, constants.O_RDWR | (options.create ? constants.O_CREAT : 0), FILE_MODE));
		});
	}

	rename(from: string, to: string): void {
		attempt(() => renameSync(this.#path(from), this.#path(to)));
	}

	remove(path: string): void {
		attempt(() => unlinkSync(this.#path(path)));
	}

	makeFolder(path: string): void {
		attempt(() => mkdirSync(this.#path(path), { recursive: true, mode: FOLDER_MODE }));
	}

	syncFolder(folder: string): void {
		const handle = attempt(() => openSync(this.#path(folder), constants.O_RDONLY | constants.O_DIRECTORY));
		try {
			attemptSync(() => fsyncSync(handle));
		} finally {
			closeSync(handle);
		}
	}

	#path(path: string): string {
		if (path.startsWith('/') || path.split('/').includes('..'))
			throw new RangeError(`${path} leads out of the disk's folder`);
		return join(this.#root, path);
	}
}

class OpenFile implements DiskFile {
	readonly #handle: number;

	constructor(handle: number) {
		this.#handle = handle;
	}

	read(into: Uint8Array, offset: number): number {
		return attempt(() => {
			let done = 0;
			while (done < into.length) {
				const count = readSync(this.#handle, into, done, into.length - done, offset + done);
				if (count === 0) break;
				done += count;
			}
			return done;
		});
	}

	write(bytes: Uint8Array, offset: number): void {
		attempt(() => {
			for (let done = 0; done < bytes.length; )
				done += writeSync(this.#handle, bytes, done, bytes.length - done, offset + done);
		});
	}

	sync(): void {
		attemptSync(() => fdatasyncSync(this.#handle));
	}

	truncate(length: number): void {
		attempt(() => ftruncateSync(this.#handle, length));
	}

	size(): number {
		return attempt(() => fstatSync(this.#handle).size);
	}

	close(): void {
		attempt(() => closeSync(this.#handle));
	}
}

function attempt<T>(work: () => T): T {
	try {
		return work();
	} catch (error) {
		throw asDiskError(error);
	}
}

/** Whatever a sync fails with, what the disk holds is unknown. */
function attemptSync(work: () => void): void {
	try {
		work();
	} catch (error) {
		throw new DiskError('io', messageOf(error), { cause: error });
	}
}

function asDiskError(error: unknown): DiskError {
	const code = error instanceof Error && 'code' in error ? String(error.code) : '';
	return new DiskError(faults[code] ?? 'io', messageOf(error), { cause: error });
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
