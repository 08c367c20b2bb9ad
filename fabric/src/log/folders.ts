// Owns making a folder whose name, and whose parents' names, survive a crash.
import type { Disk } from '../effects/disk.js';

/** Throws DiskError. */
export function makeDurableFolder(disk: Disk, folder: string): void {
	const parts = folder.split('/');
	for (let depth = 1; depth <= parts.length; depth++) {
		disk.makeFolder(parts.slice(0, depth).join('/'));
		disk.syncFolder(parts.slice(0, depth - 1).join('/'));
	}
	disk.syncFolder(folder);
}
