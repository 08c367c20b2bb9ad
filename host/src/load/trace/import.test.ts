// Importers on small samples in the published formats, and on every kind of damage, with the place named.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { isMeshError } from '../testing.js';
import { dequantise } from './dequantise.js';
import { type ImportOptions, importTrace, openTraceFile } from './import.js';
import { jsonErrorOffset } from './json-error.js';
import type { TraceRequest, TraceSource } from './types.js';

async function* bytes(text: string, chunkBytes = 7): AsyncGenerator<Uint8Array> {
	const all = Buffer.from(text);
	for (let from = 0; from < all.length; from += chunkBytes) yield all.subarray(from, from + chunkBytes);
}

const open = (text: string, options: Partial<ImportOptions> = {}): Promise<TraceSource> =>
	importTrace(bytes(text), { name: 'trace', ...options });

async function read(text: string, options: Partial<ImportOptions> = {}): Promise<TraceRequest[]> {
	return collect(await open(text, options));
}

async function collect(source: AsyncIterable<TraceRequest>): Promise<TraceRequest[]> {
	const rows: TraceRequest[] = [];
	for await (const row of source) rows.push(row);
	return rows;
}

const AZURE = [
	'TIMESTAMP,ContextTokens,GeneratedTokens',
	'2023-11-16 18:15:46.6805900,374,44',
	'2023-11-16 18:15:50.9951690,396,109',
	'2023-11-16 18:16:51.2224670,879,0',
].join('\r\n');

const row = (timestamp: number, input: number, output: number, blocks: readonly number[]): string =>
	JSON.stringify({ timestamp, input_length: input, output_length: output, hash_ids: blocks });

test('Azure CSV: detected, first row is zero, 100 ns kept, CRLF and a byte order mark taken', async (t) => {
	const source = await open(`\uFEFF${AZURE}\r\n`);
	t.is(source.kind, 'azure');
	const rows = await collect(source);
	t.deepEqual(
		rows.map((it) => [it.inputTokens, it.outputTokens]),
		[
			[374, 44],
			[396, 109],
			[879, 1],
		],
	);
	t.is(rows[0]?.atMs, 0);
	t.true(Math.abs((rows[1]?.atMs ?? 0) - 4314.579) < 1e-6);
	t.true(Math.abs((rows[2]?.atMs ?? 0) - 64_541.877) < 1e-6);
	t.deepEqual(source.notes(), []);
});

test('Azure CSV of 2024: offsets, other column order, across midnight', async (t) => {
	const text =
		'GeneratedTokens,TIMESTAMP,ContextTokens\n5,2024-05-10 23:59:59.5+00:00,10\n6,2024-05-11 02:00:00.25+02:00,11\n';
	const rows = await read(text);
	t.deepEqual(rows, [
		{ atMs: 0, inputTokens: 10, outputTokens: 5 },
		{ atMs: 750, inputTokens: 11, outputTokens: 6 },
	]);
});

test('Mooncake JSONL: detected, blocks kept, timestamps off the ticks are left alone', async (t) => {
	const source = await open(`${row(500, 1025, 7, [0, 1, 2])}\n\n${row(1734, 512, 9, [0])}`);
	t.is(source.kind, 'mooncake');
	t.is(source.blockTokens, 512);
	t.deepEqual(await collect(source), [
		{ atMs: 0, inputTokens: 1025, outputTokens: 7, blocks: [0, 1, 2] },
		{ atMs: 1234, inputTokens: 512, outputTokens: 9, blocks: [0] },
	]);
	t.deepEqual(source.notes(), []);
});

const QUANTISED = Array.from({ length: 300 }, (_, index) => {
	// The published ticks: 0, 3000, 5999, 9000, …, a few milliseconds off.
	const tick = Math.floor(index / 10);
	return row(Math.max(0, tick * 3000 - (tick % 3 === 2 ? 1 : 0)), 100 + index, 5, [index]);
}).join('\n');

test('timestamps on 3 s ticks are spread over their tick, seeded, in order, and the notes say so', async (t) => {
	const source = await open(QUANTISED, { seed: 5 });
	const rows = await collect(source);
	t.is(rows.length, 300);
	t.deepEqual(
		rows.map((it) => Math.floor(it.atMs / 3000)),
		Array.from({ length: 300 }, (_, index) => Math.floor(index / 10)),
		'every row stays in its tick',
	);
	t.true(rows.every((it, index) => index === 0 || it.atMs >= (rows[index - 1]?.atMs ?? 0)));
	const meanOffset = rows.reduce((total, it) => total + (it.atMs % 3000), 0) / rows.length;
	t.true(Math.abs(meanOffset - 1500) < 200, `mean offset ${meanOffset}`);
	t.deepEqual(
		rows.map((it) => it.inputTokens).sort((left, right) => left - right),
		Array.from({ length: 300 }, (_, index) => 100 + index),
	);
	t.deepEqual(source.notes(), [
		'timestamps sat on 3 s ticks and were spread by a seeded uniform [0, 3000) ms (seed 5)',
	]);
	t.deepEqual(await read(QUANTISED, { seed: 5 }), rows);
	t.notDeepEqual(await read(QUANTISED, { seed: 6 }), rows);
});

test('de-quantisation can be refused, which the notes say too', async (t) => {
	const source = await open(QUANTISED, { dequantise: 'never' });
	const rows = await collect(source);
	t.is(rows[19]?.atMs, 3000);
	t.deepEqual(source.notes(), ['timestamps sit on 3 s ticks: requests arrive in bursts']);
});

test('one tick with more rows than the bound is refused', async (t) => {
	async function* flood(): AsyncGenerator<TraceRequest> {
		for (;;) yield { atMs: 3000, inputTokens: 1, outputTokens: 1 };
	}
	const error = await t.throwsAsync(collect(dequantise(flood(), new SeededRandom(1), 'trace')));
	t.true(isMeshError(error, 'IM_TRACE_LIMIT'));
});

test('rows that step back in time are moved and counted', async (t) => {
	const source = await open(`${AZURE}\n2023-11-16 18:15:47.0,5,5\n`);
	const rows = await collect(source);
	t.is(rows[3]?.atMs, rows[2]?.atMs);
	t.deepEqual(source.notes(), ['1 rows stepped back in time and were moved to the row before']);
});

for (const [name, text, code, where, options] of [
	['nothing', '', 'IM_TRACE_EMPTY', 'trace', {}],
	['blank lines', '\n \n', 'IM_TRACE_EMPTY', 'trace', {}],
	['a header alone', 'TIMESTAMP,ContextTokens,GeneratedTokens\n', 'IM_TRACE_EMPTY', 'trace', {}],
	['another CSV', 'a,b,c\n1,2,3\n', 'IM_TRACE_FORMAT', 'trace:1:1', {}],
	['another JSON', '{"prompt":"x"}\n', 'IM_TRACE_FORMAT', 'trace:1:1', {}],
	['JSON read as Azure', row(0, 1, 1, [0]), 'IM_TRACE_FORMAT', 'trace:1:1', { format: 'azure' }],
	['a short row', `${AZURE}\n2023-11-16 18:20:00.0,5`, 'IM_TRACE_SYNTAX', 'trace:5:24', {}],
	['a bad date', `${AZURE}\n2023-02-30 18:20:00.0,5,5`, 'IM_TRACE_FIELD', 'trace:5:1', {}],
	['a bad count', `${AZURE}\n2023-11-16 18:20:00.0,5,x5`, 'IM_TRACE_FIELD', 'trace:5:25', {}],
	['a negative count', `${AZURE}\n2023-11-16 18:20:00.0,-5,5`, 'IM_TRACE_FIELD', 'trace:5:23', {}],
	['a huge count', `${AZURE}\n2023-11-16 18:20:00.0,5000000,5`, 'IM_TRACE_FIELD', 'trace:5:23', {}],
	['broken JSON', `${row(0, 1, 1, [0])}\n{"timestamp": 0, "input_length": x}`, 'IM_TRACE_SYNTAX', 'trace:2:34', {}],
	['cut JSON', `${row(0, 1, 1, [0])}\n{"timestamp": 0,`, 'IM_TRACE_SYNTAX', 'trace:2:17', {}],
	['not an object', `${row(0, 1, 1, [0])}\n[1]`, 'IM_TRACE_SYNTAX', 'trace:2:1', {}],
	['a missing field', `${row(0, 1, 1, [0])}\n{"timestamp": 0, "input_length": 5}`, 'IM_TRACE_FIELD', 'trace:2:1', {}],
	['a text for a number', `{"timestamp": 0, "input_length": "5"}`, 'IM_TRACE_FIELD', 'trace:1:18', {}],
	['too few blocks', row(0, 1025, 1, [0, 1]), 'IM_TRACE_FIELD', 'trace:1:54', {}],
	[
		'blocks that are no numbers',
		'{"timestamp":0,"input_length":5,"output_length":5,"hash_ids":["a"]}',
		'IM_TRACE_FIELD',
		'trace:1:51',
		{},
	],
	['a long line', `${AZURE}\n${'x'.repeat(200)}`, 'IM_TRACE_LIMIT', 'trace:5:1', { lineCharsMax: 100 }],
	['too many rows', AZURE, 'IM_TRACE_LIMIT', 'trace:4:1', { rowsMax: 2 }],
] as const) {
	test(`a damaged trace is refused with its place: ${name}`, async (t) => {
		const error = await t.throwsAsync(read(text, options));
		t.true(isMeshError(error, code), error?.message);
		if (isMeshError(error, code)) t.is(error.where, where, error.format());
	});
}

test('a file that is not there is a read error', async (t) => {
	const error = await t.throwsAsync(openTraceFile('/nonexistent/trace.csv'));
	t.true(isMeshError(error, 'IM_TRACE_READ'));
});

test('no bytes make an importer fail without a code', async (t) => {
	await fc.assert(
		fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 80 }), fc.boolean(), async (noise, isAzure) => {
			const text = isAzure ? `${AZURE}\n${noise}` : `${row(0, 1, 1, [0])}\n${noise}`;
			const error: unknown = await read(text).catch((cause: unknown) => cause);
			const known = ['IM_TRACE_SYNTAX', 'IM_TRACE_FIELD', 'IM_TRACE_LIMIT'] as const;
			return Array.isArray(error) || known.some((code) => isMeshError(error, code));
		}),
	);
	t.pass();
});

for (const [text, offset] of [
	['{"a": x}', 6],
	['{"a": 1,}', 8],
	['{"a" 1}', 5],
	['{"a": 1', 7],
	['{"a": "b', 8],
	['{"a": tru, "b": 1}', 9],
	['{"a": 1} x', 9],
	['', 0],
] as const) {
	test(`the first wrong character of ${JSON.stringify(text)} is at ${offset}`, (t) => {
		t.is(jsonErrorOffset(text), offset);
	});
}

test('defects are refused with their place, or mended and counted', async (t) => {
	const empty = `${row(0, 100, 5, [1])}\n${row(900, 0, 5, [2])}`;
	const back = `${AZURE}\r\n2023-11-16 18:16:00.0000000,10,5`;
	for (const [text, where, note] of [
		[empty, 'trace:2:18', '1 prompts of no tokens were taken as of one'],
		[back, 'trace:5:1', '1 rows stepped back in time and were moved to the row before'],
	] as const) {
		const error = await t.throwsAsync(() => read(text, { defects: 'refuse' }));
		t.true(isMeshError(error, 'IM_TRACE_DEFECT'));
		if (isMeshError(error, 'IM_TRACE_DEFECT')) t.is(error.where, where);
		const source = await open(text);
		t.true((await collect(source)).every((it) => it.inputTokens >= 1));
		t.deepEqual(source.notes(), [note]);
	}
});
