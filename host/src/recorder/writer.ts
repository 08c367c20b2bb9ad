// Owns the way of records from the workers' rings to files: rows are reduced to what changed, hashes are redacted, blocks are framed and chained, files
// rotate within their bounds, and each begins so that it can be read alone. Runs on the recorder's thread; what a disk is comes in.

import {
	BLOCK_AFRESH,
	BLOCK_HEADER_BYTES,
	CHAIN_BYTES,
	chainOfFile,
	encodeBlockHeader,
	encodeFileHeader,
	FILE_HEADER_BYTES,
	RECORDING_SUFFIX,
} from './blocks.js';
import { rowsOfColumns } from './columns.js';
import type { MetaEntry, StrategyEntry, StreamEntry } from './entries.js';
import { Kind, STATE_PAGE_WORDS } from './layout.js';
import { blocksAt, type Redaction } from './redaction.js';
import { pagesOf, StreamState } from './stream-state.js';
import { WordBuffer } from './word-buffer.js';

/** A file being written. */
export interface RecordingFile {
	append(bytes: Uint8Array): void;
	close(): void;
}

/** The folder of one node's recordings. Errors are the system's own. */
export interface RecordingFolder {
	list(): readonly { readonly name: string; readonly bytes: number; readonly modifiedMs: number }[];
	create(name: string): RecordingFile;
	remove(name: string): void;
}

export interface WriterOptions {
	/** A file is closed when it has this many bytes. */
	readonly fileBytesMax: number;
	/** Over all recordings in the folder; the oldest files go first. */
	readonly totalBytesMax: number;
	readonly filesMax: number;
	readonly ageMsMax: number;
	/** A block is written when it has this many bytes. */
	readonly blockBytes: number;
	/** After so many bytes a file begins anew, so that damage costs no more than they. */
	readonly afreshBytes: number;
}

export const writerDefaults: WriterOptions = {
	fileBytesMax: 64 * 1024 * 1024,
	totalBytesMax: 1024 * 1024 * 1024,
	filesMax: 256,
	ageMsMax: 24 * 3_600_000,
	blockBytes: 256 * 1024,
	afreshBytes: 8 * 1024 * 1024,
};

export interface WriterStatus {
	readonly decisions: number;
	readonly outcomes: number;
	readonly dropped: number;
	readonly outcomesLost: number;
	readonly bytes: number;
	readonly files: number;
	/** Of the file being written. */
	readonly file: string;
	/** Rolling hash at the end of what is on disk, hexadecimal. */
	readonly chain: string;
}

export class RecordingWriter {
	readonly #options: WriterOptions;
	readonly #folder: RecordingFolder;
	readonly #redaction: Redaction;
	readonly #meta: Omit<MetaEntry, 'file' | 'createdAtMs'>;
	readonly #wallMs: () => number;
	readonly #strategies = new Map<number, { readonly entry: StrategyEntry; readonly module: Uint8Array | undefined }>();
	readonly #streams = new Map<number, StreamState>();
	readonly #block = new WordBuffer();
	#file: RecordingFile | undefined;
	#fileName = '';
	#fileMeta: MetaEntry | undefined;
	#fileIndex = 0;
	#fileBytes = 0;
	#sinceAfresh = 0;
	#flags = 0;
	#chain: Uint8Array = new Uint8Array(CHAIN_BYTES);
	#decisions = 0;
	#outcomes = 0;
	#dropped = 0;
	#outcomesLost = 0;
	#bytes = 0;

	/** `meta` without what each file says of itself. */
	constructor(
		options: WriterOptions,
		folder: RecordingFolder,
		redaction: Redaction,
		meta: Omit<MetaEntry, 'file' | 'createdAtMs'>,
		wallMs: () => number,
	) {
		this.#options = options;
		this.#folder = folder;
		this.#redaction = redaction;
		this.#meta = meta;
		this.#wallMs = wallMs;
	}

	get status(): WriterStatus {
		return {
			decisions: this.#decisions,
			outcomes: this.#outcomes,
			dropped: this.#dropped,
			outcomesLost: this.#outcomesLost,
			bytes: this.#bytes,
			files: this.#fileIndex,
			file: this.#fileName,
			chain: Buffer.from(this.#chain).toString('hex'),
		};
	}

	/** Makes a strategy version known; before decisions name it. `module`: its bytes as they were loaded. */
	strategy(entry: StrategyEntry, module: Uint8Array | undefined): void {
		this.#strategies.set(entry.versionId, { entry, module });
		if (this.#file !== undefined) this.#putStrategy(entry, module);
	}

	/** Opens the first file. Throws the system's own error when it cannot. */
	open(): void {
		this.#rotate();
	}

	/** Takes one record of a worker's ring. */
	take(kind: number, words: Uint32Array, at: number, length: number): void {
		switch (kind) {
			case Kind.stream:
				this.#stream(words, at);
				break;
			case Kind.keyframe:
				this.#keyframe(words, at, length);
				break;
			case Kind.rowsFull:
				this.#rows(words, at);
				break;
			case Kind.columnsFull:
				this.#rows(rowsOfColumns(words, at), 0);
				break;
			case Kind.stateFull:
				this.#state(words, at);
				break;
			case Kind.decision:
				this.#decision(words, at, length);
				break;
			case Kind.outcome: {
				const to = this.#block.record(Kind.outcome, length);
				this.#block.words.set(words.subarray(at, at + length), to);
				this.#outcomes++;
				break;
			}
			default:
				break;
		}
		if (this.#block.length * 4 >= this.#options.blockBytes) this.flush();
	}

	/** So many decisions of a worker were dropped since the last call. */
	gap(worker: number, dropped: number): void {
		if (dropped === 0) return;
		this.#dropped += dropped;
		const at = this.#block.record(Kind.gap, 2);
		this.#block.words[at] = worker;
		this.#block.words[at + 1] = dropped;
	}

	/** So many outcomes of a worker were lost since the last call. */
	outcomeGap(worker: number, lost: number): void {
		if (lost === 0) return;
		this.#outcomesLost += lost;
		const at = this.#block.record(Kind.outcomeGap, 2);
		this.#block.words[at] = worker;
		this.#block.words[at + 1] = lost;
	}

	/** Writes what has gathered. Throws the system's own error. */
	flush(): void {
		if (this.#block.length === 0 || this.#file === undefined) return;
		this.#write();
		if (this.#fileBytes >= this.#options.fileBytesMax) this.#rotate();
		else if (this.#sinceAfresh >= this.#options.afreshBytes) this.#afresh();
	}

	/** Ends the file. */
	close(): void {
		if (this.#file === undefined) return;
		this.#end();
	}

	#write(): void {
		const payload = this.#block.payload();
		const header = encodeBlockHeader(payload, this.#block.records, this.#flags, this.#chain);
		this.#file?.append(Buffer.concat([header, payload]));
		this.#chain = header.slice(BLOCK_HEADER_BYTES - CHAIN_BYTES);
		const written = header.length + payload.length;
		this.#fileBytes += written;
		this.#sinceAfresh += written;
		this.#bytes += written;
		this.#flags = 0;
		this.#block.clear();
	}

	#end(): void {
		this.#block.record(Kind.end, 0);
		this.#write();
		this.#file?.close();
		this.#file = undefined;
	}

	/** Ends the file, makes room, and begins the next. */
	#rotate(): void {
		if (this.#file !== undefined) this.#end();
		const createdAtMs = this.#wallMs();
		this.#prune(createdAtMs);
		const index = this.#fileIndex++;
		this.#fileName = `${this.#meta.recording}-${String(index).padStart(6, '0')}${RECORDING_SUFFIX}`;
		this.#file = this.#folder.create(this.#fileName);
		const header = encodeFileHeader(index, this.#chain);
		this.#file.append(header);
		this.#chain = chainOfFile(header);
		this.#fileBytes = FILE_HEADER_BYTES;
		this.#bytes += FILE_HEADER_BYTES;
		this.#fileMeta = { ...this.#meta, file: index, createdAtMs };
		this.#afresh();
	}

	/** Everything a reader needs that begins here. Nothing has gathered but what comes before it. */
	#afresh(): void {
		this.#sinceAfresh = 0;
		this.#flags = BLOCK_AFRESH;
		this.#block.json(Kind.meta, this.#fileMeta);
		for (const { entry, module } of this.#strategies.values()) this.#putStrategy(entry, module);
		for (const stream of this.#streams.values()) {
			this.#block.json(Kind.stream, stream.entry);
			if (!stream.known) continue;
			this.#putKeyframe(stream);
			for (const versionId of stream.states.keys()) this.#putState(stream, versionId, undefined);
			// A fleet of many large pools is more than one block holds.
			if (this.#block.length * 4 >= this.#options.blockBytes) this.#write();
		}
		if (this.#block.length > 0) this.#write();
	}

	/** Takes the oldest files away until another fits the bounds. */
	#prune(nowMs: number): void {
		const { totalBytesMax, filesMax, ageMsMax, fileBytesMax } = this.#options;
		const files = this.#folder
			.list()
			.filter(({ name }) => name.endsWith(RECORDING_SUFFIX))
			.sort((a, b) => a.modifiedMs - b.modifiedMs || (a.name < b.name ? -1 : 1));
		let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
		let count = files.length;
		for (const file of files) {
			const tooOld = nowMs - file.modifiedMs > ageMsMax;
			if (!tooOld && count < filesMax && bytes + fileBytesMax <= totalBytesMax) break;
			this.#folder.remove(file.name);
			bytes -= file.bytes;
			count--;
		}
	}

	#putStrategy(entry: StrategyEntry, module: Uint8Array | undefined): void {
		this.#block.json(Kind.strategy, entry);
		if (module !== undefined) this.#block.bytes(Kind.module, module, [entry.versionId]);
	}

	#stream(words: Uint32Array, at: number): void {
		const bytes = words[at] as number;
		const text = Buffer.from(words.buffer, words.byteOffset + (at + 1) * 4, bytes).toString('utf8');
		const entry = JSON.parse(text) as StreamEntry;
		this.#streams.set(entry.stream, new StreamState(entry, this.#meta.columns.length));
		this.#block.json(Kind.stream, entry);
	}

	#keyframe(words: Uint32Array, at: number, length: number): void {
		const stream = this.#streams.get(words[at] as number);
		if (stream?.keyframe(words[at + 1] as number, words, at + 2, length - 2) === true) this.#putKeyframe(stream);
	}

	#putKeyframe({ entry, tableEpoch, eligible, cells }: StreamState): void {
		const at = this.#block.record(Kind.keyframe, 2 + eligible.length + cells.length);
		const { words } = this.#block;
		words[at] = entry.stream;
		words[at + 1] = tableEpoch;
		words.set(eligible, at + 2);
		words.set(cells, at + 2 + eligible.length);
	}

	/** Whole rows in, the changed cells of each out. */
	#rows(words: Uint32Array, at: number): void {
		const stream = this.#streams.get(words[at] as number);
		if (stream === undefined) return;
		const count = words[at + 2] as number;
		const { columns, maskWords, cells } = stream;
		stream.tableEpoch = words[at + 1] as number;
		const room = 3 + count * (1 + maskWords + columns);
		const to = this.#block.record(Kind.rows, room);
		const out = this.#block.words;
		out[to] = words[at] as number;
		out[to + 1] = stream.tableEpoch;
		out[to + 2] = count;
		let put = to + 3;
		for (let i = 0, from = at + 3; i < count; i++, from += 1 + columns) {
			const row = stream.rowOf(words[from] as number);
			out[put] = words[from] as number;
			const mask = put + 1;
			put = mask + maskWords;
			out.fill(0, mask, put);
			const base = row * columns;
			for (let c = 0; c < columns; c++) {
				const value = words[from + 1 + c] as number;
				if (cells[base + c] === value) continue;
				cells[base + c] = value;
				out[mask + (c >>> 5)] = ((out[mask + (c >>> 5)] as number) | (1 << (c & 31))) >>> 0;
				out[put++] = value;
			}
		}
		this.#block.shorten(to, room, put - to);
	}

	#state(words: Uint32Array, at: number): void {
		const stream = this.#streams.get(words[at] as number);
		if (stream === undefined) return;
		const versionId = words[at + 1] as number;
		const state = stream.stateFor(versionId, words[at + 3] as number);
		const fresh = words.subarray(at + 4, at + 4 + state.words.length);
		const changed: number[] = [];
		for (let page = 0; page < pagesOf(state.words.length); page++) {
			const from = page * STATE_PAGE_WORDS;
			const end = Math.min(from + STATE_PAGE_WORDS, state.words.length);
			for (let i = from; i < end; i++) {
				if (state.words[i] === fresh[i]) continue;
				changed.push(page);
				break;
			}
		}
		state.words.set(fresh);
		const first = state.epoch < 0;
		stream.states.set(versionId, { ...state, epoch: words[at + 2] as number });
		this.#putState(stream, versionId, first ? undefined : changed);
	}

	/** `pages`: those to write; undefined = all. */
	#putState(stream: StreamState, versionId: number, pages: readonly number[] | undefined): void {
		const state = stream.states.get(versionId);
		if (state === undefined) return;
		const listed = pages ?? Array.from({ length: pagesOf(state.words.length) }, (_, page) => page);
		const sizes = listed.map((page) => Math.min(STATE_PAGE_WORDS, state.words.length - page * STATE_PAGE_WORDS));
		const total = sizes.reduce((sum, size) => sum + size + 1, 0);
		let at = this.#block.record(Kind.state, 5 + total);
		const { words } = this.#block;
		words[at++] = stream.entry.stream;
		words[at++] = versionId;
		words[at++] = state.epoch;
		words[at++] = state.bytes;
		words[at++] = listed.length;
		listed.forEach((page, index) => {
			words[at++] = page;
			const from = page * STATE_PAGE_WORDS;
			words.set(state.words.subarray(from, from + (sizes[index] as number)), at);
			at += sizes[index] as number;
		});
	}

	#decision(words: Uint32Array, at: number, length: number): void {
		const to = this.#block.record(Kind.decision, length);
		const out = this.#block.words;
		out.set(words.subarray(at, at + length), to);
		const blocks = blocksAt(out, to);
		this.#redaction.decision(out, to, blocks.count, blocks.at);
		this.#decisions++;
	}
}
