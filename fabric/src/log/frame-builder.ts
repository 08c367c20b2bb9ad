// Owns turning a batch of writes into frames: records are encoded once, into a buffer that is used again, with room left for headers and
// trailers. A batch above the frame bound becomes several frames; each is made durable before the next is written.
import { MeshError } from '@infermesh/proto';
import { ByteWriter } from '../bytes/binary.js';
import type { Entry } from '../raft/messages.js';
import { logErrors } from './errors.js';
import { FRAME_HEADER_BYTES, frameBytes } from './frame.js';
import type { GroupRecord } from './group-state.js';
import { ENTRY_BYTES_MAX, marksBytesMax, RUN_BYTES_MAX, writeRecord } from './record.js';

/** A frame that waits to be written. */
export interface PendingFrame {
	/** Header, body and trailer; the header and the trailer are not filled in yet. Valid until the next batch. */
	readonly bytes: Buffer;
	readonly bodyBytes: number;
	/** What it says, to be applied once it is durable. */
	readonly records: readonly GroupRecord[];
}

interface Range {
	readonly from: number;
	readonly bodyBytes: number;
	readonly records: GroupRecord[];
}

const INITIAL_BYTES = 16 * 1024;
/** Kept between batches; a larger buffer is given back. */
const KEPT_BYTES = 1024 * 1024;

export class FrameBuilder {
	readonly #entryMaxBytes: number;
	readonly #frameMaxBytes: number;
	#writer = new ByteWriter(INITIAL_BYTES);

	constructor(entryMaxBytes: number, frameMaxBytes: number) {
		this.#entryMaxBytes = entryMaxBytes;
		this.#frameMaxBytes = frameMaxBytes;
	}

	/** Throws IM_LOG_ENTRY_TOO_LARGE. */
	build(records: readonly GroupRecord[]): readonly PendingFrame[] {
		if (this.#writer.length > KEPT_BYTES) this.#writer = new ByteWriter(INITIAL_BYTES);
		this.#writer.clear();
		const ranges = this.#split(records).map((part) => this.#encode(part));
		// Views only now: the buffer may have grown.
		return ranges.map(({ from, bodyBytes, records }) => ({
			bytes: this.#writer.view(from, from + frameBytes(bodyBytes)),
			bodyBytes,
			records,
		}));
	}

	/** Cuts the records, and runs of entries within them, into parts of at most a frame. */
	#split(records: readonly GroupRecord[]): GroupRecord[][] {
		const parts: GroupRecord[][] = [];
		let part: GroupRecord[] = [];
		let bytes = RUN_BYTES_MAX;
		/** Sees to it that `size` more bytes fit; answers whether a new part was begun. */
		const makeRoom = (size: number): boolean => {
			this.#checkSize(size);
			const full = bytes + size > this.#frameMaxBytes;
			if (full) {
				parts.push(part);
				part = [];
				bytes = RUN_BYTES_MAX;
			}
			bytes += size;
			return full;
		};
		for (const record of records) {
			if (record.kind !== 'entries') {
				makeRoom(marksBytesMax(record));
				part.push(record);
				continue;
			}
			let run: Entry[] | undefined;
			for (const entry of record.entries) {
				this.#checkEntry(entry);
				const size = entry.data.length + ENTRY_BYTES_MAX + (run === undefined ? RUN_BYTES_MAX : 0);
				if (makeRoom(size) || run === undefined) {
					run = [];
					part.push({ ...record, entries: run });
				}
				run.push(entry);
			}
		}
		if (part.length > 0) parts.push(part);
		return parts;
	}

	#checkEntry(entry: Entry): void {
		if (entry.data.length <= this.#entryMaxBytes) return;
		throw new MeshError(
			logErrors,
			'IM_LOG_ENTRY_TOO_LARGE',
			`entry ${entry.index} has ${entry.data.length} bytes, the bound is ${this.#entryMaxBytes}`,
		);
	}

	#checkSize(size: number): void {
		if (size + RUN_BYTES_MAX > this.#frameMaxBytes)
			throw new MeshError(logErrors, 'IM_LOG_ENTRY_TOO_LARGE', `a record of ${size} bytes does not fit a frame`);
	}

	#encode(records: GroupRecord[]): Range {
		const from = this.#writer.reserve(FRAME_HEADER_BYTES);
		for (const record of records) writeRecord(this.#writer, record);
		const bodyBytes = this.#writer.length - from - FRAME_HEADER_BYTES;
		this.#writer.reserve(frameBytes(bodyBytes) - FRAME_HEADER_BYTES - bodyBytes);
		return { from, bodyBytes, records };
	}
}
