// Owns reading the segments when a log is opened: what each group had, where the log ends, and whether its tail was torn by a crash (repaired by
// the caller) or something durable was damaged (refused). Reads only.
import { MeshError } from '@infermesh/proto';
import { ByteReader, Malformed } from '../bytes/binary.js';
import type { Disk } from '../effects/disk.js';
import { logErrors } from './errors.js';
import {
	FRAME_HEADER_BYTES,
	type FramePlace,
	findFrame,
	hasUnwrittenSector,
	isZero,
	lastNonZero,
	readFrame,
	readSegmentHeader,
	SEGMENT_HEADER_BYTES,
	type SegmentHeader,
} from './frame.js';
import type { LogMutation } from './options.js';
import type { RecoveredGroup } from './ports.js';
import { type LogRecord, readRecords } from './record.js';
import { Contradiction, Replay } from './replay.js';
import { type SegmentName, segmentPath } from './segment-names.js';

export interface RecoveredSegment {
	readonly sequence: number;
	readonly bytes: number;
	/** Highest entry index of each group that the segment holds. */
	readonly highest: ReadonlyMap<number, number>;
}

export interface Recovery {
	readonly groups: ReadonlyMap<number, RecoveredGroup>;
	/** Oldest first; the last one is written on. */
	readonly segments: readonly RecoveredSegment[];
	readonly salt: number;
	/** Where the next frame goes in the last segment. */
	readonly end: number;
	/** The last frame as it lies on disk: it may never have been synced. */
	readonly lastFrame: { readonly offset: number; readonly bytes: Buffer };
	/** Bytes from `end` on that a torn write left behind and that must be zeroed again; 0 for a clean end. */
	readonly tornBytes: number;
}

interface Scan {
	readonly path: string;
	readonly header: SegmentHeader;
	readonly bytes: number;
	readonly highest: Map<number, number>;
	readonly end: number;
	readonly lastOffset: number;
	readonly lastFrame: Buffer;
	readonly tornBytes: number;
}

/** Reads `names` (by sequence, not empty). Throws IM_LOG_CORRUPT and what the disk throws. */
export function recover(
	disk: Disk,
	folder: string,
	names: readonly SegmentName[],
	mutations: ReadonlySet<LogMutation>,
): Recovery {
	const replay = new Replay();
	const segments: RecoveredSegment[] = [];
	let before: Scan | undefined;
	for (const [at, { sequence }] of names.entries()) {
		const path = segmentPath(folder, sequence);
		const scan = scanSegment(disk, path, sequence, before, at === names.length - 1, replay, mutations);
		segments.push({ sequence, bytes: scan.bytes, highest: scan.highest });
		before = scan;
		if (scan.tornBytes > 0 && mutations.has('truncate-middle-corruption')) break;
	}
	if (before === undefined) throw new RangeError('there is no segment to recover');
	return {
		groups: finish(replay, before.path),
		segments,
		salt: before.header.salt,
		end: before.end,
		lastFrame: { offset: before.lastOffset, bytes: before.lastFrame },
		tornBytes: before.tornBytes,
	};
}

function finish(replay: Replay, path: string): ReadonlyMap<number, RecoveredGroup> {
	try {
		return replay.finish();
	} catch (error) {
		if (error instanceof Contradiction) throw corrupt(path, 0, error.message, error);
		throw error;
	}
}

function scanSegment(
	disk: Disk,
	path: string,
	sequence: number,
	before: Scan | undefined,
	isLast: boolean,
	replay: Replay,
	mutations: ReadonlySet<LogMutation>,
): Scan {
	const bytes = readWhole(disk, path);
	const header = readSegmentHeader(bytes);
	if (header === undefined) throw corrupt(path, 0, 'the segment’s header is damaged');
	if (header.sequence !== sequence) throw corrupt(path, 0, `the header is that of segment ${header.sequence}`);
	if (before !== undefined) checkFollows(before, header, path);
	const checks = {
		checksum: !mutations.has('ignore-checksum'),
		sequence: !mutations.has('reuse-segment-without-sequence'),
	};
	const highest = new Map<number, number>();
	const place = { sequence, salt: header.salt };
	let offset = SEGMENT_HEADER_BYTES;
	let lastOffset = offset;
	for (;;) {
		const reading = readFrame(bytes, { ...place, offset }, checks);
		if (reading.kind !== 'frame') break;
		for (const record of decode(path, offset, reading.body)) {
			if (record.kind === 'entries') {
				const last = record.entries.at(-1)?.index ?? 0;
				highest.set(record.group, Math.max(highest.get(record.group) ?? 0, last));
			}
			replayRecord(replay, record, path, offset);
		}
		lastOffset = offset;
		offset = reading.end;
	}
	if (offset === SEGMENT_HEADER_BYTES) throw corrupt(path, offset, 'the segment’s first record is damaged');
	const tornBytes = lastNonZero(bytes, offset) - offset;
	if (!mutations.has('truncate-middle-corruption') && isLast && tornBytes > 0)
		checkTear(bytes, path, { ...place, offset });
	return {
		path,
		header,
		bytes: bytes.length,
		highest,
		end: offset,
		lastOffset,
		lastFrame: Buffer.from(bytes.subarray(lastOffset, offset)),
		tornBytes,
	};
}

/** All of the segment before was durable when this one was begun. */
function checkFollows(before: Scan, header: SegmentHeader, path: string): void {
	if (header.sequence !== before.header.sequence + 1)
		throw corrupt(path, 0, `segment ${before.header.sequence + 1}, which comes before it, is missing`);
	if (header.salt !== before.header.salt) throw corrupt(path, 0, 'the segment belongs to another log');
	if (header.previousEnd !== before.end)
		throw corrupt(before.path, before.end, `a record is damaged; the segment was durable up to ${header.previousEnd}`);
}

/**
 * Decides what lies at the end of the last segment. Only the last frame can be torn, so a frame after it proves damage; and a torn frame has
 * sectors that were never written, so a frame without one is damaged too.
 */
function checkTear(bytes: Buffer, path: string, place: FramePlace): void {
	const { offset } = place;
	const reading = readFrame(bytes, place, { checksum: true, sequence: true });
	const later = findFrame(bytes, reading.kind === 'badBody' ? reading.end : offset + FRAME_HEADER_BYTES, place);
	if (later !== undefined) throw corrupt(path, offset, `a record is damaged; one at ${later} was written after it`);
	const torn =
		reading.kind === 'badBody'
			? hasUnwrittenSector(bytes, offset, reading.end)
			: isZero(bytes, offset, Math.min(bytes.length, offset + FRAME_HEADER_BYTES));
	if (!torn) throw corrupt(path, offset, 'the last record is damaged: all of its sectors were written');
}

function decode(path: string, offset: number, body: Buffer): readonly LogRecord[] {
	try {
		return readRecords(new ByteReader(body));
	} catch (error) {
		if (error instanceof Malformed) throw corrupt(path, offset, `a record cannot be read: ${error.message}`, error);
		throw error;
	}
}

function replayRecord(replay: Replay, record: LogRecord, path: string, offset: number): void {
	try {
		replay.apply(record);
	} catch (error) {
		if (error instanceof Contradiction) throw corrupt(path, offset, error.message, error);
		throw error;
	}
}

function readWhole(disk: Disk, path: string): Buffer {
	const file = disk.open(path, { create: false });
	try {
		const bytes = Buffer.allocUnsafeSlow(file.size());
		const count = file.read(bytes, 0);
		return bytes.subarray(0, count);
	} finally {
		file.close();
	}
}

function corrupt(path: string, offset: number, what: string, cause?: unknown): MeshError {
	return new MeshError(logErrors, 'IM_LOG_CORRUPT', `${path} at byte ${offset}: ${what}`, {
		where: `${path}:${offset}`,
		details: { file: path, offset },
		...(cause === undefined ? {} : { cause }),
	});
}
