// The scanner against ts-proto's own encoder and reader: whatever the message and however its bytes are cut, it finds what a protobuf reader would.
import { ModelInferRequest, ModelReadyRequest } from '@infermesh/proto/inference';
import test from 'ava';
import * as fc from 'fast-check';
import { FieldScanner } from './field-scanner.js';
import { modelAt } from './first-fields.js';
import { FirstReader } from './first-reader.js';

const NAME_MAX = 512;

/** What the scanner says of a message that comes in these pieces; undefined when it calls it malformed. */
function scan(path: readonly number[], pieces: readonly Buffer[]): { text: string | undefined } | undefined {
	const reader = new FirstReader({ bytesMax: 0, copies: false });
	const scanner = new FieldScanner(modelAt(path), NAME_MAX, reader);
	for (const piece of pieces) scanner.push(piece);
	return scanner.end() ? { text: reader.model } : undefined;
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
	const edges = [0, ...at.map((one) => one % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
	return edges.slice(1).map((edge, i) => bytes.subarray(edges[i] as number, edge));
}

/** A reader that decodes everything, as the scanner must not. */
function reference(bytes: Buffer): { text: string } | undefined {
	try {
		return { text: ModelReadyRequest.decode(bytes).name };
	} catch {
		return undefined;
	}
}

const cuts = fc.array(fc.nat(10_000), { maxLength: 6 });

test('the name of any request is found wherever its bytes are cut', (t) => {
	fc.assert(
		fc.property(
			fc.string({ maxLength: 100 }),
			fc.string(),
			fc.uint8Array({ maxLength: 300 }),
			cuts,
			(name, id, raw, at) => {
				const message = ModelInferRequest.encode({
					modelName: name,
					modelVersion: id,
					id,
					parameters: {
						a: {
							boolParam: true,
							int64Param: undefined,
							stringParam: undefined,
							doubleParam: undefined,
							uint64Param: undefined,
						},
					},
					inputs: [{ name: id, datatype: 'BYTES', shape: [-1n, 2n], parameters: {}, contents: undefined }],
					outputs: [],
					rawInputContents: [Buffer.from(raw)],
				}).finish();
				t.is(scan([1], cut(Buffer.from(message), at))?.text ?? '', name);
			},
		),
		{ numRuns: 300 },
	);
});

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const GROUP = 3;
const GROUP_END = 4;
const FIXED32 = 5;

function varint(value: bigint): Buffer {
	const bytes: number[] = [];
	let left = value;
	for (; left >= 0x80n; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
	return Buffer.from([...bytes, Number(left)]);
}

function encoded(at: number, wire: number, value: Buffer): Buffer {
	return Buffer.concat([varint(BigInt(at * 8 + wire)), value]);
}

function sized(at: number, value: Buffer): Buffer {
	return encoded(at, LENGTH, Buffer.concat([varint(BigInt(value.length)), value]));
}

const number = fc.integer({ min: 1, max: 3 });

/** Messages of fields of all wire types, nested where the path may lead. */
const { field } = fc.letrec<{ field: Buffer }>((tie) => ({
	field: fc.oneof(
		{ maxDepth: 3 },
		fc
			.tuple(number, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
			.map(([at, value]) => encoded(at + 1, VARINT, varint(value))),
		fc.tuple(fc.constantFrom(1, 2, 70_000), fc.string()).map(([at, text]) => sized(at, Buffer.from(text))),
		number.map((at) => encoded(at + 2, FIXED64, Buffer.alloc(8, 1))),
		number.map((at) => encoded(at + 2, FIXED32, Buffer.alloc(4, 1))),
		fc.tuple(number, fc.array(tie('field'), { maxLength: 4 })).map(([at, inner]) => sized(at, Buffer.concat(inner))),
		fc
			.tuple(number, fc.array(tie('field'), { maxLength: 2 }))
			.map(([at, inner]) =>
				encoded(at + 2, GROUP, Buffer.concat([...inner, encoded(at + 2, GROUP_END, Buffer.alloc(0))])),
			),
	),
}));

test('of any message, the last occurrence counts, as a full reader has it', (t) => {
	fc.assert(
		fc.property(fc.array(field, { maxLength: 8 }), cuts, (fields, at) => {
			const message = Buffer.concat(fields);
			const wanted = reference(message);
			if (wanted !== undefined) t.is(scan([1], cut(message, at))?.text ?? '', wanted.text);
		}),
		{ numRuns: 2000 },
	);
});

test('embedded messages given in parts are one', (t) => {
	const name = (text: string): Buffer => sized(1, Buffer.from(text));
	const other = encoded(2, VARINT, varint(7n));
	t.is(scan([1, 1], [sized(1, name('a')), sized(1, other)])?.text, 'a');
	t.is(
		scan([1, 1], [sized(1, name('a')), sized(2, name('x')), sized(1, Buffer.concat([other, name('b')]))])?.text,
		'b',
	);
	t.is(scan([1, 1, 1], [sized(1, sized(1, name('deep')))])?.text, 'deep');
	t.is(scan([1, 1], [name('')])?.text, undefined);
});

test('random bytes never throw, and say the same however they are cut', (t) => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom([1], [1, 1]), cuts, (bytes, path, at) => {
			const whole = scan(path, [Buffer.from(bytes)]);
			t.deepEqual(scan(path, cut(Buffer.from(bytes), at)), whole);
		}),
		{ numRuns: 2000 },
	);
});

test('what no reader takes is malformed', (t) => {
	const bad = {
		'field zero': [0x00],
		'an end without its group': [0x0c],
		'a wire type that is none': [0x0f],
		'a length beyond the message': [0x0a, 0x05, 0x61],
		'a varint without end': Array.from({ length: 11 }, () => 0xff),
		'a length of six bytes': [0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
		'a group without end': [0x0b],
		'a name that is too long': [0x0a, 0x81, 0x04, ...Array.from({ length: 513 }, () => 0x61)],
	};
	for (const [what, bytes] of Object.entries(bad)) t.is(scan([1], [Buffer.from(bytes)]), undefined, what);
	t.is(scan([1, 1], [Buffer.from([0x0a, 0x02, 0x0a, 0x05, 0x61, 0x61, 0x61, 0x61, 0x61])]), undefined);
	t.deepEqual(scan([1], [Buffer.alloc(0)]), { text: undefined });
});
