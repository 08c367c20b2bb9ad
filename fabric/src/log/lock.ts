// Owns the lock on a data folder: one process at a time. The lock is one that the kernel holds for the process and drops with it, also on
// SIGKILL, so none is ever left behind. Node has no call for such a lock; SQLite, which is part of Node, takes one (fcntl) on an empty file.
import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MeshError } from '@infermesh/proto';
import { logErrors } from './errors.js';

const LOCK_FILE = 'lock';
const SQLITE_BUSY = 5;

export interface FolderLock {
	release(): void;
}

/** Locks `folder`, which is made when missing. Throws IM_LOG_LOCKED when another process, or this one, holds it. */
export function lockFolder(folder: string): FolderLock {
	mkdirSync(folder, { recursive: true, mode: 0o700 });
	const path = join(folder, LOCK_FILE);
	closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600));
	const database = new DatabaseSync(path, { timeout: 0 });
	try {
		database.exec('BEGIN EXCLUSIVE');
	} catch (error) {
		database.close();
		if (!(error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)) throw error;
		throw new MeshError(logErrors, 'IM_LOG_LOCKED', `${folder} is open in another process`, {
			where: path,
			cause: error,
		});
	}
	return { release: () => database.close() };
}
