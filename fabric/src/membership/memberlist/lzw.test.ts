// LZW expands to what was compressed, across every change of code width and every full table, and never beyond its bound.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { Malformed } from '../../bytes/binary.js';
import { compress, expand, TooLong } from './lzw.js';

test('what was compressed expands to itself', (t) => {
	fc.assert(
		fc.property(
			fc.oneof(
				fc.uint8Array({ maxLength: 600 }),
				fc.array(fc.constantFrom(0, 1), { maxLength: 3_000 }).map((bits) => Uint8Array.from(bits)),
			),
			(bytes) => {
				t.deepEqual(new Uint8Array(expand(compress(bytes), bytes.length)), new Uint8Array(bytes));
			},
		),
		{ numRuns: 300 },
	);
});

test('tables that fill and start anew agree, at every length around a clear', (t) => {
	const random = new SeededRandom(7);
	const noise = Uint8Array.from({ length: 12_000 }, () => random.nextU32() & 0xff);
	const words = Uint8Array.from({ length: 60_000 }, (_, at) => (noise[(at * at) % 97] as number) & 0x0f);
	for (const input of [noise, words, new Uint8Array(200_000)])
		t.true(Buffer.from(input).equals(expand(compress(input), input.length)));
	for (let length = 3_830; length < 3_850; length++) {
		const input = noise.subarray(0, length);
		t.true(Buffer.from(input).equals(expand(compress(input), length)), `${length}`);
	}
});

test('zeros pack well, and expanding stops at the bound', (t) => {
	const packed = compress(new Uint8Array(1_000_000));
	t.true(packed.length < 3_000);
	t.throws(() => expand(packed, 999_999), { instanceOf: TooLong });
	t.is(expand(packed, 1_000_000).length, 1_000_000);
});

test('arbitrary codes, cut or changed input expand within the bound or are refused by name', (t) => {
	const tried = (bytes: Uint8Array): void => {
		try {
			t.true(expand(bytes, 4_096).length <= 4_096);
		} catch (error) {
			if (!(error instanceof Malformed || error instanceof TooLong)) throw error;
		}
	};
	fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), tried), { numRuns: 2_000 });
	const packed = compress(Uint8Array.from({ length: 3_000 }, (_, at) => at % 7));
	for (let at = 0; at < packed.length; at++) {
		tried(packed.subarray(0, at));
		tried(packed.with(at, (packed[at] as number) ^ 0x55));
	}
	t.throws(() => expand(packed.subarray(0, packed.length - 2), 4_096), { instanceOf: Malformed });
});
