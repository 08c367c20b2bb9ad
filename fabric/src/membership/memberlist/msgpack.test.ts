// Msgpack of the old family reads back as it was written, its skipping agrees with its reading, and arbitrary bytes are read or refused by name.
import test from 'ava';
import * as fc from 'fast-check';
import { ByteWriter, Malformed } from '../../bytes/binary.js';
import { type Encodable, endOfValue, type MsgpackValue, ValueReader, writeValue } from './msgpack.js';

const leaf: fc.Arbitrary<Encodable> = fc.oneof(
	fc.constant(null),
	fc.boolean(),
	fc.maxSafeInteger(),
	fc.integer({ min: -200, max: 70_000 }),
	fc.double({ noNaN: true }).map((float) => ({ float })),
	fc.string({ maxLength: 40 }),
	fc.uint8Array({ maxLength: 300 }),
);
const { value } = fc.letrec<{ value: Encodable }>((tie) => ({
	value: fc.oneof(
		{ maxDepth: 3 },
		leaf,
		fc.array(tie('value'), { maxLength: 20 }),
		fc.array(fc.tuple(fc.string({ maxLength: 12 }), tie('value')), { maxLength: 20 }).map((pairs) => new Map(pairs)),
	),
}));
const wide = { itemsMax: 1_000_000, depthMax: 16 };

function bytesOf(encodable: Encodable): Uint8Array {
	const writer = new ByteWriter();
	writeValue(writer, encodable);
	return writer.finish();
}

/** What is read where this was written. */
function asRead(encodable: Encodable): MsgpackValue {
	if (typeof encodable === 'string') return new TextEncoder().encode(encodable);
	if (encodable === null || typeof encodable !== 'object' || encodable instanceof Uint8Array) return encodable;
	if (encodable instanceof Map)
		return new Map([...(encodable as ReadonlyMap<string, Encodable>)].map(([key, item]) => [key, asRead(item)]));
	if ('float' in encodable) return encodable.float;
	return (encodable as readonly Encodable[]).map(asRead);
}

test('values read back as they were written, end where the reader ends, and say how much is missing', (t) => {
	fc.assert(
		fc.property(value, fc.double({ min: 0, max: 1, noNaN: true }), (encodable, share) => {
			const bytes = bytesOf(encodable);
			const reader = new ValueReader(bytes, wide);
			t.deepEqual(reader.read(), asRead(encodable));
			t.is(reader.at, bytes.length);
			t.is(endOfValue(bytes, 0, wide.itemsMax), bytes.length);
			const cut = bytes.subarray(0, Math.floor(share * (bytes.length - 1)));
			const wanted = endOfValue(cut, 0, wide.itemsMax);
			t.true(wanted > cut.length && wanted <= bytes.length);
			t.throws(() => new ValueReader(cut, wide).read(), { instanceOf: Malformed });
		}),
		{ numRuns: 300 },
	);
});

test('text and bytes are written as raws alone, whatever their length, and the newer types are read', (t) => {
	const starts = [0, 31, 32, 255, 256, 65_535, 65_536].map((length) => bytesOf(new Uint8Array(length))[0]);
	t.deepEqual(starts, [0xa0, 0xbf, 0xda, 0xda, 0xda, 0xda, 0xdb]);
	t.deepEqual(bytesOf({ float: 0 }), Uint8Array.of(0xcb, 0, 0, 0, 0, 0, 0, 0, 0));
	const read = (...bytes: number[]): MsgpackValue => new ValueReader(Uint8Array.from(bytes)).read();
	t.deepEqual(read(0xd9, 1, 65), Uint8Array.of(65));
	t.deepEqual(read(0xc4, 2, 1, 2), Uint8Array.of(1, 2));
	t.deepEqual(read(0xd4, 7, 9), Uint8Array.of(7, 9));
	t.deepEqual(read(0xc7, 2, 7, 8, 9), Uint8Array.of(7, 8, 9));
	t.is(read(0xcf, 255, 255, 255, 255, 255, 255, 255, 255), 2n ** 64n - 1n);
	t.is(read(0xd1, 255, 254), -2);
	t.is(read(0xca, 0x3f, 0x80, 0, 0), 1);
});

test('a count without the parts, a deep nest and too many parts are refused before anything is allocated', (t) => {
	const refused = (bytes: Uint8Array): void => {
		t.throws(() => new ValueReader(bytes).read(), { instanceOf: Malformed });
	};
	refused(Uint8Array.of(0xdd, 255, 255, 255, 255));
	refused(Uint8Array.of(0xdf, 255, 255, 255, 255));
	refused(Uint8Array.of(0xdb, 255, 255, 255, 255));
	refused(new Uint8Array(64).fill(0x91));
	refused(bytesOf(Array.from({ length: 300 }, () => 1)));
	refused(bytesOf(new Map([['a', new Map()]])).with(1, 0x93));
	t.throws(() => endOfValue(Uint8Array.of(0xdd, 255, 255, 255, 255), 0, 256), { instanceOf: Malformed });
});

test('arbitrary bytes are read or refused as malformed', (t) => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			let end: number | undefined;
			try {
				const reader = new ValueReader(bytes, wide);
				reader.read();
				end = reader.at;
			} catch (error) {
				if (!(error instanceof Malformed)) throw error;
			}
			if (end !== undefined) t.is(endOfValue(bytes, 0, wide.itemsMax), end);
		}),
		{ numRuns: 3_000 },
	);
	t.pass();
});
