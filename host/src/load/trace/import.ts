// Owns turning a trace file's bytes into a TraceSource: format detection, order, bounds, de-quantisation, notes for the report.
// Leaves the rows of each format to azure.ts and mooncake.ts, and synthetic workloads to synthetic.ts.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { MeshError, SeededRandom } from '@infermesh/proto';
import { isRecording } from '../../recorder/blocks.js';
import { azureReader, isAzureHeader } from './azure.js';
import { Defects } from './defects.js';
import { dequantise, isQuantised } from './dequantise.js';
import { traceErrors } from './errors.js';
import { type Line, readLines } from './lines.js';
import { isMooncakeRow, MOONCAKE_BLOCK_TOKENS, mooncakeReader } from './mooncake.js';
import { recordingTrace } from './recording.js';
import type { TraceRequest, TraceSource } from './types.js';

export type TraceFormat = 'azure' | 'mooncake';

export interface ImportOptions {
	/** What errors and reports call the trace. */
	readonly name: string;
	/** `auto` (default) looks at the first line. */
	readonly format?: TraceFormat | 'auto';
	/** Seed of the de-quantisation, unsigned 32-bit. Default 1. */
	readonly seed?: number;
	/** `auto` (default) spreads timestamps that sit on 3 s ticks; `never` replays them as they are. */
	readonly dequantise?: 'auto' | 'never';
	/** Prompts of no tokens and clocks that go back: `mend` (default) and count in the notes, or `refuse` with IM_TRACE_DEFECT. */
	readonly defects?: 'mend' | 'refuse';
	/** Rows read before IM_TRACE_LIMIT. Default 100 million. */
	readonly rowsMax?: number;
	/** Characters in a line before IM_TRACE_LIMIT. Default 1,048,576. */
	readonly lineCharsMax?: number;
}

/** Rows looked at before the first is given out, to tell whether timestamps are quantised. */
const LOOKAHEAD_ROWS = 1024;
const ROWS_MAX = 100_000_000;
const LINE_CHARS_MAX = 1_048_576;

/** Opens a trace file. Throws IM_TRACE_READ, _EMPTY, _FORMAT; errors of later rows are thrown while walking it. */
export async function openTraceFile(path: string, options: Partial<ImportOptions> = {}): Promise<TraceSource> {
	if (await beginsAsRecording(path)) return recordingTrace(path);
	return importTrace(readFile(path), { name: basename(path), ...options });
}

/** A folder is one of recordings. */
async function beginsAsRecording(path: string): Promise<boolean> {
	const stats = await stat(path).catch(() => undefined);
	if (stats?.isFile() !== true) return stats?.isDirectory() === true;
	for await (const chunk of createReadStream(path, { end: 15 })) return isRecording(chunk as Buffer);
	return false;
}

/**
 * Reads a trace from a stream of bytes, detecting its format from the first line. The source can be walked once.
 * Errors carry `name:line:column`.
 */
export async function importTrace(chunks: AsyncIterable<Uint8Array>, options: ImportOptions): Promise<TraceSource> {
	const lines = readLines(chunks, options.name, options.lineCharsMax ?? LINE_CHARS_MAX);
	const defects = new Defects(options.defects === 'refuse');
	const { kind, rows } = await readRows(lines, options, defects);
	const lookahead = await take(rows, LOOKAHEAD_ROWS);
	if (lookahead.length === 0) throw new MeshError(traceErrors, 'IM_TRACE_EMPTY', undefined, { where: options.name });

	const seed = options.seed ?? 1;
	const quantised = isQuantised(lookahead);
	const spreads = quantised && options.dequantise !== 'never';
	const all = concat(lookahead, rows);
	const requests = spreads ? dequantise(all, new SeededRandom(seed), options.name) : all;
	return {
		kind,
		name: options.name,
		blockTokens: MOONCAKE_BLOCK_TOKENS,
		notes: () => [
			...(spreads
				? [`timestamps sat on 3 s ticks and were spread by a seeded uniform [0, 3000) ms (seed ${seed})`]
				: []),
			...(quantised && !spreads ? ['timestamps sit on 3 s ticks: requests arrive in bursts'] : []),
			...defects.notes(),
		],
		[Symbol.asyncIterator]: () => requests[Symbol.asyncIterator](),
	};
}

async function readRows(
	lines: AsyncGenerator<Line>,
	options: ImportOptions,
	defects: Defects,
): Promise<{ kind: TraceFormat; rows: AsyncGenerator<TraceRequest> }> {
	let first = await lines.next();
	while (first.done !== true && first.value.text.trim() === '') first = await lines.next();
	if (first.done === true) throw new MeshError(traceErrors, 'IM_TRACE_EMPTY', undefined, { where: options.name });
	const kind = formatOf(first.value, options);
	if (kind === 'azure') {
		const read = azureReader(first.value.text, options.name, defects);
		return { kind, rows: parseRows(lines, undefined, read, options) };
	}
	return { kind, rows: parseRows(lines, first.value, mooncakeReader(options.name, defects), options) };
}

function formatOf(line: Line, options: ImportOptions): TraceFormat {
	const asked = options.format ?? 'auto';
	const isAzure = isAzureHeader(line.text);
	if (asked === 'mooncake') return 'mooncake';
	if (isAzure) return 'azure';
	if (asked === 'auto' && isMooncakeRow(line.text)) return 'mooncake';
	const message =
		asked === 'azure'
			? 'the header of an Azure trace is missing'
			: 'the first line is neither a known CSV header nor a known JSON row';
	throw new MeshError(traceErrors, 'IM_TRACE_FORMAT', message, { where: `${options.name}:${line.number}:1` });
}

async function* parseRows(
	lines: AsyncGenerator<Line>,
	first: Line | undefined,
	read: (line: Line) => TraceRequest,
	options: ImportOptions,
): AsyncGenerator<TraceRequest> {
	const rowsMax = options.rowsMax ?? ROWS_MAX;
	let count = 0;
	if (first !== undefined) {
		count = 1;
		yield read(first);
	}
	for await (const line of lines) {
		if (line.text.trim() === '') continue;
		if (++count > rowsMax) {
			throw new MeshError(traceErrors, 'IM_TRACE_LIMIT', `the trace has more than ${rowsMax} rows`, {
				where: `${options.name}:${line.number}:1`,
				details: { limit: 'rowsMax', value: rowsMax },
			});
		}
		yield read(line);
	}
}

/** Takes up to `count` items without closing the generator. */
async function take<T>(items: AsyncGenerator<T>, count: number): Promise<T[]> {
	const taken: T[] = [];
	while (taken.length < count) {
		const next = await items.next();
		if (next.done === true) break;
		taken.push(next.value);
	}
	return taken;
}

async function* concat<T>(head: readonly T[], tail: AsyncIterable<T>): AsyncGenerator<T> {
	yield* head;
	yield* tail;
}

async function* readFile(path: string): AsyncGenerator<Uint8Array> {
	try {
		for await (const chunk of createReadStream(path)) yield chunk as Buffer;
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(traceErrors, 'IM_TRACE_READ', `the trace could not be read: ${reason}`, { where: path, cause });
	}
}
