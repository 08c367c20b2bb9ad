// Owns the names of the log's files: `<sequence>.segment` for segments in use, `spare-<n>` for those that wait to be used.
import type { Disk } from '../effects/disk.js';

export interface SegmentName {
	readonly sequence: number;
}

export interface LogFiles {
	/** By sequence, oldest first. */
	readonly segments: readonly SegmentName[];
	/** Numbers of the spares. */
	readonly spares: readonly number[];
}

const SEQUENCE_DIGITS = 16;

export function segmentPath(folder: string, sequence: number): string {
	return `${folder}/${String(sequence).padStart(SEQUENCE_DIGITS, '0')}.segment`;
}

export function sparePath(folder: string, number: number): string {
	return `${folder}/spare-${number}`;
}

/** What is in the log's folder; other files are not the log's and stay. */
export function listLogFiles(disk: Disk, folder: string): LogFiles {
	const segments: SegmentName[] = [];
	const spares: number[] = [];
	for (const name of disk.list(folder)) {
		const sequence = /^(\d{16})\.segment$/.exec(name)?.[1];
		const spare = /^spare-(\d{1,15})$/.exec(name)?.[1];
		if (sequence !== undefined) segments.push({ sequence: Number(sequence) });
		if (spare !== undefined) spares.push(Number(spare));
	}
	return { segments: segments.sort((a, b) => a.sequence - b.sequence), spares: spares.sort((a, b) => a - b) };
}
