// Owns the files that adapters read and the few that a store probe writes.
import { constants } from 'node:fs';
import { type FileHandle, open, opendir, rm, stat } from 'node:fs/promises';
import type { Clock } from '@infermesh/proto';
import type { AdapterFiles } from './ports.js';

const READ_PIECE_BYTES = 256 * 1024;

/** What a system says of a path that is not there. */
const isMissing = (error: unknown): boolean =>
	['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException | undefined)?.code ?? '');

async function orMissing<T>(work: () => Promise<T>): Promise<T | undefined> {
	try {
		return await work();
	} catch (error) {
		if (isMissing(error)) return undefined;
		throw error;
	}
}

async function using<T>(handle: FileHandle, work: (handle: FileHandle) => Promise<T>): Promise<T> {
	try {
		return await work(handle);
	} finally {
		await handle.close();
	}
}

export function adapterFiles(clock: Clock): AdapterFiles {
	return {
		read: (path, offset, bytesMax) =>
			orMissing(async () =>
				using(await open(path, constants.O_RDONLY | constants.O_NONBLOCK), async (handle) => {
					const { size, ino, dev, birthtimeMs } = await handle.stat();
					const buffer = Buffer.allocUnsafe(Math.min(bytesMax, Math.max(size - offset, READ_PIECE_BYTES)));
					const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
					// Files of sysfs have a size of a page, whatever they hold.
					return { bytes: buffer.subarray(0, bytesRead), sizeBytes: size, identity: `${dev}:${ino}:${birthtimeMs}` };
				}),
			),
		list: (path, entriesMax) =>
			orMissing(async () => {
				const names: string[] = [];
				for await (const entry of await opendir(path)) {
					if (names.length >= entriesMax) break;
					names.push(entry.name);
				}
				return names;
			}),
		modifiedMs: (path) => orMissing(async () => (await stat(path)).mtimeMs),
		writeDurably: async (path, pieces) => {
			const startedMs = clock.nowMs();
			return using(await open(path, 'wx', 0o600), async (handle) => {
				for (const piece of pieces) await handle.write(piece);
				const writtenMs = clock.nowMs();
				await handle.sync();
				return { writeMs: writtenMs - startedMs, syncMs: clock.nowMs() - writtenMs };
			});
		},
		readThrough: async (path, bytesMax) => {
			const startedMs = clock.nowMs();
			return using(await open(path, 'r'), async (handle) => {
				const pieces: Buffer[] = [];
				let bytes = 0;
				let firstMs = 0;
				while (bytes < bytesMax) {
					const piece = Buffer.allocUnsafe(Math.min(READ_PIECE_BYTES, bytesMax - bytes));
					const { bytesRead } = await handle.read(piece, 0, piece.length, bytes);
					if (bytesRead === 0) break;
					if (bytes === 0) firstMs = clock.nowMs() - startedMs;
					bytes += bytesRead;
					pieces.push(piece.subarray(0, bytesRead));
				}
				return { bytes, firstMs, totalMs: clock.nowMs() - startedMs, body: Buffer.concat(pieces) };
			});
		},
		remove: (path) => rm(path),
	};
}
