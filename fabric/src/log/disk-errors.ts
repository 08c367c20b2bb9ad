// Owns naming what a disk refuses: no room is one error, everything else another, which is for good.
import { MeshError } from '@infermesh/proto';
import type { DiskError } from '../effects/disk.js';
import { logErrors } from './errors.js';

/** `doing` says what was tried, as in `writing the log`; `where` is a path on the disk. */
export function namedDiskError(error: DiskError, doing: string, where: string): MeshError {
	const code = error.fault === 'full' ? 'IM_LOG_DISK_FULL' : 'IM_LOG_DISK_FAILED';
	return new MeshError(logErrors, code, `${doing}: ${error.message}`, { where, cause: error });
}
