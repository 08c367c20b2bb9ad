// Owns the durable log on a disk: segments written in order, recovered on opening, recycled when nothing in them is needed. Synchronous: the
// caller (log thread or simulation) decides what is written together and when to sync. Invariants:
// - at most one frame is written and not synced; everything before it is durable;
// - a segment is in use from the moment its name is durable, and begins with the marks (hard state, snapshot) of every group, so segments before
//   it are needed for entries only;
// - after a failed write or sync nothing is written any more: what the disk holds is unknown (on Linux a second fsync would lie).
// No room is no failure: IM_LOG_DISK_FULL leaves the log as it was, and the same append may be tried again.
import { MeshError, type Random } from '@infermesh/proto';
import { ByteWriter } from '../bytes/binary.js';
import { type Disk, DiskError, type DiskFile } from '../effects/disk.js';
import { namedDiskError } from './disk-errors.js';
import { logErrors } from './errors.js';
import { makeDurableFolder } from './folders.js';
import {
	FRAME_HEADER_BYTES,
	frameBytes,
	SECTOR_BYTES,
	SEGMENT_HEADER_BYTES,
	sealFrame,
	writeSegmentHeader,
} from './frame.js';
import { FrameBuilder, type PendingFrame } from './frame-builder.js';
import { type GroupRecord, GroupState } from './group-state.js';
import type { SegmentLogOptions } from './options.js';
import type { LogWrite, RecoveredGroup } from './ports.js';
import { ENTRY_BYTES_MAX, RUN_BYTES_MAX, writeRecord } from './record.js';
import { type Recovery, recover } from './recovery.js';
import { listLogFiles, segmentPath } from './segment-names.js';
import { SparePool } from './spare-pool.js';

interface Segment {
	readonly sequence: number;
	readonly bytes: number;
	readonly highest: Map<number, number>;
}

export class SegmentLog {
	readonly #disk: Disk;
	readonly #options: SegmentLogOptions;
	readonly #spares: SparePool;
	readonly #builder: FrameBuilder;
	readonly #groups = new Map<number, GroupState>();
	readonly #recovered: ReadonlyMap<number, RecoveredGroup>;
	readonly #repairedBytes: number;
	readonly #segments: Segment[] = [];
	#salt = 0;
	#file: DiskFile | undefined;
	#end = 0;
	/** Written, not synced. */
	#pending: PendingFrame | undefined;
	/** A write without room left bytes behind the end. */
	#dirtyBytes = 0;
	#syncOwed = false;
	#failure: MeshError | undefined;

	/** Opens the log in `options.folder`, repairs a torn tail and makes what was recovered durable. Throws IM_LOG_CORRUPT and disk errors. */
	static open(disk: Disk, random: Random, options: SegmentLogOptions): SegmentLog {
		return new SegmentLog(disk, random, options);
	}

	private constructor(disk: Disk, random: Random, options: SegmentLogOptions) {
		checkOptions(options);
		this.#disk = disk;
		this.#options = options;
		this.#builder = new FrameBuilder(options.entryMaxBytes, options.frameMaxBytes);
		const { folder, mutations } = options;
		this.#guard('opening', () => {
			if (mutations.has('no-folder-sync')) disk.makeFolder(folder);
			else makeDurableFolder(disk, folder);
		});
		const files = listLogFiles(disk, folder);
		this.#spares = new SparePool(disk, options, files.spares);
		if (files.segments.length === 0) {
			this.#salt = random.nextU32();
			this.#recovered = new Map();
			this.#repairedBytes = 0;
			this.#guard('opening', () => this.#activate(1, 0));
		} else {
			const recovery = this.#guard('reading', () => recover(disk, folder, files.segments, mutations));
			this.#recovered = recovery.groups;
			this.#repairedBytes = recovery.tornBytes;
			this.#guard('opening', () => this.#resume(recovery));
			for (const { sequence } of files.segments.slice(recovery.segments.length))
				disk.remove(segmentPath(folder, sequence));
			this.#recycle();
		}
	}

	/** What each group had when the log was opened. */
	get recovered(): ReadonlyMap<number, RecoveredGroup> {
		return this.#recovered;
	}

	/** Bytes of a torn tail that were zeroed on opening. */
	get repairedBytes(): number {
		return this.#repairedBytes;
	}

	/** Set once the disk has failed: nothing is written any more. */
	get failure(): MeshError | undefined {
		return this.#failure;
	}

	get segmentCount(): number {
		return this.#segments.length;
	}

	get spareCount(): number {
		return this.#spares.count;
	}

	/** `write` and `sync`. */
	append(writes: readonly LogWrite[]): void {
		this.write(writes);
		this.sync();
	}

	/**
	 * Writes a batch, not durable before `sync`. Throws IM_LOG_GAP and IM_LOG_ENTRY_TOO_LARGE with nothing written, IM_LOG_DISK_FULL (the same
	 * batch may be tried again; of one that takes several frames some may be durable already) and IM_LOG_DISK_FAILED for good.
	 */
	write(writes: readonly LogWrite[]): void {
		this.#checkUsable();
		if (this.#pending !== undefined) throw new RangeError('the batch before has not been synced');
		if (this.#syncOwed) this.#guard('syncing', () => this.#syncFile());
		const frames = this.#builder.build(this.#accept(writes));
		this.#guard('writing', () => {
			this.#cleanTail();
			this.#spares.reserve(this.#segmentsNeeded(frames));
			for (const [at, frame] of frames.entries()) {
				if (at > 0) this.#syncPending();
				if (frame.bytes.length > this.#currentBytes() - this.#end)
					this.#activate(this.#current().sequence + 1, this.#end);
				this.#writeFrame(frame);
			}
		});
	}

	/** Makes the last batch durable. Throws IM_LOG_DISK_FAILED for good. */
	sync(): void {
		this.#checkUsable();
		this.#guard('syncing', () => this.#syncPending());
	}

	/** Entries of the group at and before `index` are not needed any more. Throws IM_LOG_DISK_FAILED. */
	release(group: number, index: number): void {
		this.#checkUsable();
		this.#groups.get(group)?.release(index);
		this.#recycle();
	}

	/** One step of work that would otherwise be done while an append waits; answers whether there is more. May throw as `write` does. */
	maintain(): boolean {
		this.#checkUsable();
		return this.#guard('filling a spare segment', () => this.#spares.step());
	}

	/** What was not synced stays so. */
	close(): void {
		this.#file?.close();
		this.#file = undefined;
		this.#failure ??= new MeshError(logErrors, 'IM_LOG_CLOSED');
	}

	/** Checks the batch against copies of the groups: those change once it is durable. */
	#accept(writes: readonly LogWrite[]): readonly GroupRecord[] {
		const copies = new Map<number, GroupState>();
		const records: GroupRecord[] = [];
		for (const write of writes) {
			const copy = copies.get(write.group) ?? this.#groups.get(write.group)?.clone() ?? new GroupState(write.group);
			copies.set(write.group, copy);
			records.push(...copy.accept(write));
		}
		return records;
	}

	#segmentsNeeded(frames: readonly PendingFrame[]): number {
		let needed = 0;
		let room = this.#currentBytes() - this.#end;
		for (const { bytes } of frames) {
			if (bytes.length > room) {
				needed++;
				room = this.#options.segmentBytes - SEGMENT_HEADER_BYTES - this.#marksFrame().bytes.length;
				if (bytes.length > room)
					throw new MeshError(
						logErrors,
						'IM_LOG_ENTRY_TOO_LARGE',
						'a record and the marks of all groups do not fit a segment',
					);
			}
			room -= bytes.length;
		}
		return needed;
	}

	#writeFrame(frame: PendingFrame): void {
		sealFrame(frame.bytes, frame.bodyBytes, {
			sequence: this.#current().sequence,
			offset: this.#end,
			salt: this.#salt,
		});
		this.#dirtyBytes = frame.bytes.length;
		this.#openFile().write(frame.bytes, this.#end);
		this.#dirtyBytes = 0;
		this.#pending = frame;
	}

	#syncPending(): void {
		const frame = this.#pending;
		if (frame === undefined) return;
		if (this.#options.mutations.has('ack-before-sync')) this.#syncOwed = true;
		else this.#syncFile();
		this.#pending = undefined;
		this.#end += frame.bytes.length;
		for (const record of frame.records) this.#apply(record);
	}

	#syncFile(): void {
		const { mutations } = this.#options;
		this.#syncOwed = false;
		if (mutations.has('skip-fsync')) return;
		try {
			this.#openFile().sync();
		} catch (error) {
			if (!mutations.has('retry-after-failed-sync')) throw error;
			this.#openFile().sync();
		}
	}

	#apply(record: GroupRecord): void {
		const group = this.#groups.get(record.group) ?? new GroupState(record.group);
		this.#groups.set(record.group, group);
		group.apply(record);
		const last = record.kind === 'entries' ? record.entries.at(-1) : undefined;
		if (last === undefined) return;
		const { highest } = this.#current();
		highest.set(record.group, Math.max(highest.get(record.group) ?? 0, last.index));
	}

	/** Zeroes what a write that found no room left behind the end: a later tear could not be told from damage. */
	#cleanTail(): void {
		if (this.#dirtyBytes === 0) return;
		this.#openFile().write(new Uint8Array(this.#dirtyBytes), this.#end);
		this.#openFile().sync();
		this.#dirtyBytes = 0;
	}

	/** Begins a segment. All frames so far are durable. */
	#activate(sequence: number, previousEnd: number): void {
		const { folder } = this.#options;
		const spare = this.#spares.take();
		try {
			const marks = this.#marksFrame();
			const head = Buffer.alloc(SEGMENT_HEADER_BYTES + marks.bytes.length);
			writeSegmentHeader(head, { sequence, previousEnd, salt: this.#salt });
			sealFrame(marks.bytes, marks.bodyBytes, { sequence, offset: SEGMENT_HEADER_BYTES, salt: this.#salt });
			marks.bytes.copy(head, SEGMENT_HEADER_BYTES);
			const file = this.#disk.open(spare, { create: false });
			try {
				file.write(head, 0);
				file.sync();
			} finally {
				file.close();
			}
			this.#disk.rename(spare, segmentPath(folder, sequence));
			this.#end = head.length;
		} catch (error) {
			this.#spares.giveBack(spare);
			throw error;
		}
		this.#syncFolder(folder);
		this.#file?.close();
		this.#file = undefined;
		this.#segments.push({ sequence, bytes: this.#options.segmentBytes, highest: new Map() });
	}

	/** The frame a segment begins with: the marks of all groups. */
	#marksFrame(): { readonly bytes: Buffer; readonly bodyBytes: number } {
		const writer = new ByteWriter(1024);
		writer.reserve(FRAME_HEADER_BYTES);
		for (const { group, hardState, snapshot } of this.#groups.values()) {
			if (this.#options.mutations.has('recycle-live-marks')) break;
			writeRecord(writer, { kind: 'marks', group, hardState, snapshot });
		}
		const bodyBytes = writer.length - FRAME_HEADER_BYTES;
		writer.reserve(frameBytes(bodyBytes) - writer.length);
		return { bytes: writer.view(), bodyBytes };
	}

	/**
	 * Goes on where the log ended. What was read may be in the page cache only, also after an earlier process saw a sync fail: the last frame,
	 * which alone may not be durable, is written again, and so are the zeros wherever a torn frame may have left something.
	 */
	#resume(recovery: Recovery): void {
		const { mutations } = this.#options;
		for (const [group, recovered] of recovery.groups) this.#groups.set(group, GroupState.from(group, recovered));
		for (const segment of recovery.segments) this.#segments.push({ ...segment, highest: new Map(segment.highest) });
		this.#salt = recovery.salt;
		this.#end = recovery.end;
		const file = this.#openFile();
		const zerosBytes = Math.min(
			Math.max(frameBytes(this.#options.frameMaxBytes), recovery.tornBytes),
			this.#currentBytes() - recovery.end,
		);
		if (!mutations.has('leave-torn-residue')) file.write(new Uint8Array(zerosBytes), recovery.end);
		if (mutations.has('trust-cache-on-open')) return;
		file.write(recovery.lastFrame.bytes, recovery.lastFrame.offset);
		file.sync();
	}

	/** Gives up segments from the oldest on, as long as no group needs their entries. */
	#recycle(): void {
		this.#guard('recycling a segment', () => {
			for (;;) {
				const [oldest] = this.#segments;
				if (oldest === undefined || this.#segments.length === 1 || !this.#isFree(oldest)) return;
				this.#spares.recycle(oldest.sequence, oldest.bytes);
				this.#segments.shift();
			}
		});
	}

	#isFree(segment: Segment): boolean {
		for (const [group, highest] of segment.highest) if (highest > (this.#groups.get(group)?.floor ?? 0)) return false;
		return true;
	}

	#current(): Segment {
		const current = this.#segments.at(-1);
		if (current === undefined) throw new RangeError('the log has no segment');
		return current;
	}

	#currentBytes(): number {
		return this.#current().bytes;
	}

	#openFile(): DiskFile {
		this.#file ??= this.#disk.open(segmentPath(this.#options.folder, this.#current().sequence), { create: false });
		return this.#file;
	}

	#syncFolder(folder: string): void {
		if (!this.#options.mutations.has('no-folder-sync')) this.#disk.syncFolder(folder);
	}

	#checkUsable(): void {
		if (this.#failure !== undefined) throw this.#failure;
	}

	/** Runs `work` and names what the disk refused. Everything but a lack of room is for good. */
	#guard<T>(doing: string, work: () => T): T {
		try {
			return work();
		} catch (error) {
			if (!(error instanceof DiskError)) throw error;
			const named = namedDiskError(error, `${doing} the log`, this.#options.folder);
			if (named.code !== 'IM_LOG_DISK_FULL') this.#failure = named;
			throw named;
		}
	}
}

function checkOptions(options: SegmentLogOptions): void {
	// A segment must hold its header, the marks of all groups and a frame with one entry; a quarter is left for the first two.
	const roomBytes = (options.segmentBytes * 3) / 4;
	if (options.entryMaxBytes + ENTRY_BYTES_MAX + 2 * RUN_BYTES_MAX > options.frameMaxBytes)
		throw new RangeError(`frames of ${options.frameMaxBytes} bytes do not fit entries of ${options.entryMaxBytes}`);
	if (options.frameMaxBytes > roomBytes || options.segmentBytes % SECTOR_BYTES !== 0)
		throw new RangeError(`segments of ${options.segmentBytes} bytes do not fit frames of ${options.frameMaxBytes}`);
	if (options.segmentBytes > 0xffff_ffff) throw new RangeError('a segment is at most 4 GiB');
}
