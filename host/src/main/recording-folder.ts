// Owns the folder of recordings on a real disk. Synchronous: only the recorder's own thread uses it.
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { RECORDING_SUFFIX } from '../recorder/blocks.js';
import type { RecordingFile, RecordingFolder } from '../recorder/writer.js';

/** Opens `dir`, made when it is not there; what it holds is readable by its owner alone. Throws the system's own error. */
export function openRecordingFolder(dir: string): RecordingFolder {
	mkdirSync(dir, { recursive: true, mode: 0o700 });
	return {
		list: () =>
			readdirSync(dir)
				.filter((name) => name.endsWith(RECORDING_SUFFIX))
				.flatMap((name) => {
					const stats = statSync(path.join(dir, name), { throwIfNoEntry: false });
					return stats?.isFile() === true ? [{ name, bytes: stats.size, modifiedMs: stats.mtimeMs }] : [];
				}),
		create: (name) => createFile(path.join(dir, name)),
		remove: (name) => rmSync(path.join(dir, name), { force: true }),
	};
}

function createFile(file: string): RecordingFile {
	const handle = openSync(file, 'wx', 0o600);
	return {
		append(bytes) {
			for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at, bytes.length - at);
		},
		close() {
			fsyncSync(handle);
			closeSync(handle);
		},
	};
}
