// Owns files with secrets: read only when nobody else can read them, written whole or not at all, durable before the call returns.
import {
	closeSync,
	constants,
	existsSync,
	fstatSync,
	fsyncSync,
	linkSync,
	mkdirSync,
	openSync,
	readFileSync,
	renameSync,
	rmSync,
	writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { identityErrors } from './errors.js';
import type { SealingSecret } from './sealed.js';

/** Largest file read, bytes. */
const FILE_BYTES_MAX = 1024 * 1024;

/**
 * Reads a file that only its owner may read, and that we own. Throws IM_IDENTITY_KEY_FILE for a missing one, one that others may read, a link, and
 * anything else.
 */
export function readPrivateFile(file: string): Uint8Array {
	let descriptor: number | undefined;
	try {
		descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
		const found = fstatSync(descriptor);
		if (!found.isFile() || found.size > FILE_BYTES_MAX) throw fault(file, 'it is no file, or too large');
		if ((found.mode & 0o077) !== 0) throw fault(file, `its mode is ${(found.mode & 0o777).toString(8)}`);
		if (process.getuid !== undefined && found.uid !== process.getuid()) throw fault(file, 'it belongs to another user');
		return new Uint8Array(readFileSync(descriptor));
	} catch (cause) {
		if (cause instanceof MeshError) throw cause;
		throw fault(file, cause instanceof Error ? cause.message : 'it cannot be read', cause);
	} finally {
		if (descriptor !== undefined) closeSync(descriptor);
	}
}

/** Writes a file with mode 0600, replacing what is there at once. Its folder is made with mode 0700. Throws what the file system throws. */
export function writePrivateFile(file: string, bytes: Uint8Array | string): void {
	const part = `${file}.part`;
	writePart(part, bytes);
	renameSync(part, file);
	syncFolder(path.dirname(file));
}

/**
 * The same, but never over a file that is there: false when there is one, also one that another process has just made. `as` tells processes apart that make it at the same
 * time. Throws what the file system throws.
 */
export function makePrivateFile(file: string, bytes: Uint8Array | string, as: string): boolean {
	const part = `${file}.${as}.part`;
	writePart(part, bytes);
	try {
		linkSync(part, file);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
		return false;
	} finally {
		rmSync(part, { force: true });
	}
	syncFolder(path.dirname(file));
	return true;
}

/** Whole and durable, under a name that nobody reads. */
function writePart(part: string, bytes: Uint8Array | string): void {
	mkdirSync(path.dirname(part), { recursive: true, mode: 0o700 });
	rmSync(part, { force: true });
	const descriptor = openSync(part, 'wx', 0o600);
	try {
		writeFileSync(descriptor, bytes);
		fsyncSync(descriptor);
	} finally {
		closeSync(descriptor);
	}
}

export function removePrivateFile(file: string): void {
	if (!existsSync(file)) return;
	rmSync(file);
	syncFolder(path.dirname(file));
}

/** The secret in a file: 32 bytes are a key, anything else is a passphrase up to its end of line. Throws IM_IDENTITY_KEY_FILE. */
export function readSealingSecret(file: string): SealingSecret {
	const bytes = readPrivateFile(file);
	if (bytes.length === 32) return { kind: 'key', key: bytes };
	const [passphrase = ''] = Buffer.from(bytes).toString('utf8').split(/\r?\n/, 1);
	return { kind: 'passphrase', passphrase };
}

function syncFolder(folder: string): void {
	const descriptor = openSync(folder, 'r');
	try {
		fsyncSync(descriptor);
	} finally {
		closeSync(descriptor);
	}
}

function fault(file: string, why: string, cause?: unknown): MeshError {
	const options = cause === undefined ? { where: file } : { where: file, cause };
	return new MeshError(identityErrors, 'IM_IDENTITY_KEY_FILE', why, options);
}
