// Owns reading recordings: files in order, blocks verified, records as events. Damage never throws: it is an issue with a code and the byte where it is,
// what is whole is given out, and reading goes on at the next block that begins anew or is whole. Hostile files are bounded like any others.
import { crc32 } from 'node:zlib';
import { MeshError } from '@infermesh/proto';
import {
	BLOCK_HEADER_BYTES,
	chainOfBlock,
	chainOfFile,
	decodeBlockHeader,
	decodeFileHeader,
	FILE_HEADER_BYTES,
	type FileHeader,
	findBlock,
} from './blocks.js';
import { type RecordedDecision, type RecordedOutcome, readDecision, readOutcome } from './decision.js';
import type { MetaEntry, StrategyEntry, StreamEntry } from './entries.js';
import { recorderErrors } from './errors.js';
import { FORMAT_VERSION, Kind, STATE_PAGE_WORDS } from './layout.js';
import { pagesOf, StreamState } from './stream-state.js';

export interface RecordingFileBytes {
	/** What errors call it. */
	readonly name: string;
	readonly bytes: Uint8Array;
}

export interface RecordingIssue {
	readonly code: keyof typeof recorderErrors;
	readonly message: string;
	/** `name:byte N`. */
	readonly where: string;
	readonly file: string;
	readonly offset: number;
}

export type RecordingEvent =
	| { readonly kind: 'meta'; readonly meta: MetaEntry }
	| { readonly kind: 'strategy'; readonly strategy: StrategyEntry }
	| { readonly kind: 'module'; readonly versionId: number; readonly module: Uint8Array }
	| { readonly kind: 'stream'; readonly stream: StreamState }
	| { readonly kind: 'keyframe'; readonly stream: StreamState }
	/** Rows whose cells or eligibility may have changed. */
	| { readonly kind: 'rows'; readonly stream: StreamState; readonly rows: readonly number[] }
	| { readonly kind: 'state'; readonly stream: StreamState; readonly versionId: number }
	/** `stream` stands as it did at the decision until the next event; undefined when it was lost to damage. */
	| { readonly kind: 'decision'; readonly decision: RecordedDecision; readonly stream: StreamState | undefined }
	| { readonly kind: 'outcome'; readonly outcome: RecordedOutcome }
	| { readonly kind: 'gap'; readonly worker: number; readonly dropped: number }
	| { readonly kind: 'outcomeGap'; readonly worker: number; readonly lost: number };

const ISSUES_MAX = 1000;
const COLUMNS_MAX = 128;
const ROWS_MAX = 65_536;
/** Cells of all streams at once: 256 MiB. */
const CELLS_MAX = 64 * 1024 * 1024;
const STATE_BYTES_MAX = 256 * 1024;

export class RecordingReader {
	/** What was found wrong so far; complete once all events are read. */
	readonly issues: RecordingIssue[] = [];
	/** Blocks read, and those whose rolling hash was verified. */
	blocks = 0;
	verified = 0;
	/** Rolling hash at the end of the last file, hexadecimal. */
	chain = '';
	readonly #files: readonly { readonly file: RecordingFileBytes; readonly header: FileHeader }[];
	#meta: MetaEntry | undefined;
	#streams = new Map<number, StreamState>();
	#cells = 0;

	/** Throws IM_RECORDING_FORMAT for a file that is no recording, or of a newer format. */
	constructor(files: readonly RecordingFileBytes[]) {
		this.#files = files
			.map((file) => ({ file, header: headerOf(file) }))
			.sort((a, b) => (a.file.name < b.file.name ? -1 : 1))
			.sort((a, b) => a.header.file - b.header.file);
	}

	/** Anything is missing or wrong. */
	get partial(): boolean {
		return this.issues.length > 0;
	}

	get tampered(): boolean {
		return this.issues.some(({ code }) => code === 'IM_RECORDING_TAMPERED');
	}

	*events(): Generator<RecordingEvent> {
		let last: { readonly index: number; readonly chain: Uint8Array | undefined } | undefined;
		for (const { file, header } of this.#files) {
			if (last?.index === header.file - 1 && last.chain !== undefined && !same(last.chain, header.previous))
				this.#issue('IM_RECORDING_TAMPERED', file, 32, 'this file does not follow the one before it');
			const chain = yield* this.#file(file);
			last = { index: header.file, chain };
			this.chain = chain === undefined ? '' : Buffer.from(chain).toString('hex');
		}
	}

	/** Reads one file; returns the rolling hash at its end, undefined when it was lost. */
	*#file(file: RecordingFileBytes): Generator<RecordingEvent, Uint8Array | undefined> {
		const { bytes } = file;
		let chain: Uint8Array | undefined = chainOfFile(bytes);
		let at = FILE_HEADER_BYTES;
		let ended = false;
		// Each file begins anew.
		this.#forget();
		while (at < bytes.length) {
			const header = decodeBlockHeader(bytes.subarray(at, at + BLOCK_HEADER_BYTES));
			const end = header === undefined ? -1 : at + BLOCK_HEADER_BYTES + header.payloadBytes;
			const payload =
				header === undefined || end > bytes.length ? undefined : bytes.subarray(at + BLOCK_HEADER_BYTES, end);
			if (header === undefined || payload === undefined || crc32(payload) !== header.crc) {
				const next = this.#nextBlock(bytes, at + 4);
				const cut = next < 0 && (header === undefined ? bytes.length - at < BLOCK_HEADER_BYTES : end > bytes.length);
				if (cut)
					this.#issue('IM_RECORDING_TRUNCATED', file, at, `cut short: ${bytes.length - at} bytes of a block are left`);
				else
					this.#issue(
						'IM_RECORDING_DAMAGED',
						file,
						at,
						next < 0 ? 'no whole block follows' : `${next - at} bytes passed over`,
					);
				chain = undefined;
				ended = cut || next < 0;
				if (next < 0) break;
				this.#forget();
				at = next;
				continue;
			}
			this.blocks++;
			if (chain !== undefined) {
				const expected = chainOfBlock(chain, bytes.subarray(at, at + BLOCK_HEADER_BYTES), payload);
				if (same(expected, header.chain)) this.verified++;
				else this.#issue('IM_RECORDING_TAMPERED', file, at, 'the rolling hash breaks here');
			}
			chain = header.chain;
			ended = yield* this.#records(file, at + BLOCK_HEADER_BYTES, payload);
			at = end;
		}
		if (!ended)
			this.#issue('IM_RECORDING_TRUNCATED', file, bytes.length, 'it has no end: cut short, or still being written');
		return chain;
	}

	/** Offset of the next block whose checksum is right, or -1. */
	#nextBlock(bytes: Uint8Array, from: number): number {
		for (let at = findBlock(bytes, from); at >= 0; at = findBlock(bytes, at + 4)) {
			const header = decodeBlockHeader(bytes.subarray(at, at + BLOCK_HEADER_BYTES));
			if (header === undefined) continue;
			const begin = at + BLOCK_HEADER_BYTES;
			if (begin + header.payloadBytes > bytes.length) continue;
			if (crc32(bytes.subarray(begin, begin + header.payloadBytes)) === header.crc) return at;
		}
		return -1;
	}

	/** The records of one block; returns whether the last one ends the file. */
	*#records(file: RecordingFileBytes, offset: number, payload: Uint8Array): Generator<RecordingEvent, boolean> {
		// Copied when it does not lie on a word's edge. A Buffer's own `slice` would be no copy.
		const aligned = payload.byteOffset % 4 === 0 ? payload : Uint8Array.from(payload);
		const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 2);
		let ended = false;
		for (let at = 0; at < words.length; ) {
			const first = words[at] as number;
			const length = first & 0xffffff;
			const kind = first >>> 24;
			if (at + 1 + length > words.length) {
				this.#issue('IM_RECORDING_DAMAGED', file, offset + at * 4, 'a record is longer than its block');
				return ended;
			}
			ended = kind === Kind.end;
			const event = this.#record(kind, words, at + 1, length);
			if (event === 'bad')
				this.#issue('IM_RECORDING_DAMAGED', file, offset + at * 4, `a record of kind ${kind} is malformed`);
			else if (event !== undefined) yield event;
			at += 1 + length;
		}
		return ended;
	}

	#record(kind: number, words: Uint32Array, at: number, length: number): RecordingEvent | 'bad' | undefined {
		switch (kind) {
			case Kind.meta: {
				const meta = readMeta(words, at, length);
				if (meta === undefined) return 'bad';
				this.#meta = meta;
				return { kind: 'meta', meta };
			}
			case Kind.strategy: {
				const strategy = readJson(words, at, length);
				return isStrategy(strategy) ? { kind: 'strategy', strategy } : 'bad';
			}
			case Kind.module: {
				const module = length < 2 ? undefined : readBytes(words, at + 1, length - 1);
				return module === undefined ? 'bad' : { kind: 'module', versionId: words[at] as number, module };
			}
			case Kind.stream:
				return this.#stream(readJson(words, at, length));
			case Kind.keyframe: {
				const stream = length < 2 ? undefined : this.#streams.get(words[at] as number);
				if (stream === undefined) return 'bad';
				const fits = stream.keyframe(words[at + 1] as number, words, at + 2, length - 2);
				return fits ? { kind: 'keyframe', stream } : 'bad';
			}
			case Kind.rows:
				return this.#rows(words, at, length);
			case Kind.state:
				return this.#state(words, at, length);
			case Kind.decision: {
				const decision = readDecision(words, at, length);
				if (decision === undefined) return 'bad';
				const stream = this.#streams.get(decision.stream);
				return { kind: 'decision', decision, stream: stream?.known === true ? stream : undefined };
			}
			case Kind.outcome: {
				const outcome = readOutcome(words, at, length);
				return outcome === undefined ? 'bad' : { kind: 'outcome', outcome };
			}
			case Kind.gap:
				return length === 2 ? { kind: 'gap', worker: words[at] as number, dropped: words[at + 1] as number } : 'bad';
			case Kind.outcomeGap:
				return length === 2
					? { kind: 'outcomeGap', worker: words[at] as number, lost: words[at + 1] as number }
					: 'bad';
			// Kinds of a later minor version are passed over.
			default:
				return undefined;
		}
	}

	#stream(entry: unknown): RecordingEvent | 'bad' {
		if (this.#meta === undefined || !isStream(entry)) return 'bad';
		const before = this.#streams.get(entry.stream);
		// Said again where a file begins anew: what follows is its keyframe.
		if (before !== undefined && JSON.stringify(before.entry) === JSON.stringify(entry))
			return { kind: 'stream', stream: before };
		const cells = this.#cells - (before?.cells.length ?? 0) + entry.targets.length * this.#meta.columns.length;
		if (cells > CELLS_MAX) return 'bad';
		this.#cells = cells;
		const stream = new StreamState(entry, this.#meta.columns.length);
		this.#streams.set(entry.stream, stream);
		return { kind: 'stream', stream };
	}

	#rows(words: Uint32Array, at: number, length: number): RecordingEvent | 'bad' | undefined {
		const stream = length < 3 ? undefined : this.#streams.get(words[at] as number);
		if (stream === undefined) return 'bad';
		// Changes to what is not known are worth nothing until the next keyframe.
		if (!stream.known) return undefined;
		const end = at + length;
		const count = words[at + 2] as number;
		const rows: number[] = [];
		let from = at + 3;
		for (let i = 0; i < count; i++) {
			if (from + 1 + stream.maskWords > end) return lost(stream);
			const row = stream.rowOf(words[from] as number);
			if (row < 0) return lost(stream);
			const mask = from + 1;
			from = mask + stream.maskWords;
			for (let c = 0; c < stream.columns; c++) {
				if (((words[mask + (c >>> 5)] as number) & (1 << (c & 31))) === 0) continue;
				if (from >= end) return lost(stream);
				stream.cells[row * stream.columns + c] = words[from++] as number;
			}
			rows.push(row);
		}
		if (from !== end) return lost(stream);
		stream.tableEpoch = words[at + 1] as number;
		return { kind: 'rows', stream, rows };
	}

	#state(words: Uint32Array, at: number, length: number): RecordingEvent | 'bad' {
		const stream = length < 5 ? undefined : this.#streams.get(words[at] as number);
		const bytes = words[at + 3] as number;
		if (stream === undefined || bytes > STATE_BYTES_MAX) return 'bad';
		const versionId = words[at + 1] as number;
		const state = stream.stateFor(versionId, bytes);
		const end = at + length;
		let from = at + 5;
		for (let i = 0; i < (words[at + 4] as number); i++) {
			const page = words[from] as number;
			if (from >= end || page >= pagesOf(state.words.length)) return 'bad';
			const begin = page * STATE_PAGE_WORDS;
			const size = Math.min(STATE_PAGE_WORDS, state.words.length - begin);
			if (from + 1 + size > end) return 'bad';
			state.words.set(words.subarray(from + 1, from + 1 + size), begin);
			from += 1 + size;
		}
		if (from !== end) return 'bad';
		stream.states.set(versionId, { ...state, epoch: words[at + 2] as number });
		return { kind: 'state', stream, versionId };
	}

	/** What was known of streams is not what it was: wait for their keyframes. */
	#forget(): void {
		for (const stream of this.#streams.values()) {
			stream.known = false;
			stream.states.clear();
		}
	}

	#issue(code: RecordingIssue['code'], file: RecordingFileBytes, offset: number, message: string): void {
		if (this.issues.length >= ISSUES_MAX) return;
		this.issues.push({ code, message, where: `${file.name}:byte ${offset}`, file: file.name, offset });
	}
}

function headerOf({ name, bytes }: RecordingFileBytes): FileHeader {
	const header = decodeFileHeader(bytes);
	if (header === undefined)
		throw new MeshError(recorderErrors, 'IM_RECORDING_FORMAT', 'it does not begin as a recording does', {
			where: `${name}:byte 0`,
		});
	if (header.formatVersion === FORMAT_VERSION) return header;
	throw new MeshError(
		recorderErrors,
		'IM_RECORDING_FORMAT',
		`it has format ${header.formatVersion}; this version reads ${FORMAT_VERSION}`,
		{ where: `${name}:byte 8` },
	);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
	return Buffer.compare(a, b) === 0;
}

/** The changes do not add up: the stream stands for nothing any more. */
function lost(stream: StreamState): 'bad' {
	stream.known = false;
	return 'bad';
}

function readBytes(words: Uint32Array, at: number, length: number): Uint8Array | undefined {
	const bytes = words[at] as number;
	if (length < 1 || Math.ceil(bytes / 4) !== length - 1) return undefined;
	return new Uint8Array(words.buffer, words.byteOffset + (at + 1) * 4, bytes);
}

function readJson(words: Uint32Array, at: number, length: number): unknown {
	const bytes = readBytes(words, at, length);
	if (bytes === undefined) return undefined;
	try {
		return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')) as unknown;
	} catch {
		return undefined;
	}
}

function readMeta(words: Uint32Array, at: number, length: number): MetaEntry | undefined {
	const meta = readJson(words, at, length) as Partial<MetaEntry> | undefined;
	const columns = meta?.columns;
	if (typeof meta?.recording !== 'string' || !Array.isArray(columns) || columns.length > COLUMNS_MAX) return undefined;
	if (!columns.every((column) => isIndex(column?.id) && typeof column.name === 'string')) return undefined;
	const seed: unknown = meta.meshSeed;
	if (!Array.isArray(seed) || !seed.every(isIndex) || !isIndex(meta.blockTokens)) return undefined;
	return meta as MetaEntry;
}

function isStrategy(value: unknown): value is StrategyEntry {
	const entry = (value ?? {}) as Partial<StrategyEntry>;
	return (
		isIndex(entry.versionId) &&
		typeof entry.label === 'string' &&
		typeof entry.digest === 'string' &&
		Array.isArray(entry.factors) &&
		entry.factors.every((name) => typeof name === 'string') &&
		Array.isArray(entry.config) &&
		entry.config.every(isIndex) &&
		Number.isFinite(entry.fuel?.base) &&
		Number.isFinite(entry.fuel?.perTarget) &&
		Number.isFinite(entry.fuel?.stackSlotsMax)
	);
}

function isStream(value: unknown): value is StreamEntry {
	const entry = (value ?? {}) as Partial<StreamEntry>;
	return (
		isIndex(entry.stream) &&
		isIndex(entry.worker) &&
		isIndex(entry.pool) &&
		typeof entry.model === 'string' &&
		Array.isArray(entry.targets) &&
		entry.targets.length <= ROWS_MAX &&
		entry.targets.every((target) => target === null || typeof target === 'string')
	);
}

function isIndex(value: unknown): value is number {
	return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
