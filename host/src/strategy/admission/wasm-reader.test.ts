// The reader meets bytes from anywhere: whatever they are, the result is a verdict, never another exception or an allocation by count.
import test from 'ava';
import * as fc from 'fast-check';
import { admitModule } from './admit.js';
import { ByteReader, ModuleFault } from './byte-reader.js';
import { randomModule } from './testing.js';

const options = { memoryPages: 1 };
const sample = randomModule(Array.from({ length: 300 }, (_, i) => (i * 37) % 251));

function codes(bytes: Uint8Array): string[] {
	const result = admitModule(bytes, options);
	return result.ok ? [] : result.refusals.map((refusal) => refusal.code);
}

test('a module cut off anywhere is malformed', (t) => {
	t.deepEqual(codes(sample), []);
	for (let length = 0; length < sample.length; length++) {
		const found = codes(sample.subarray(0, length));
		t.true(found.length > 0, `the first ${length} bytes were admitted`);
	}
});

test('changed bytes give a verdict, never an exception', (t) => {
	const change = fc.tuple(fc.nat({ max: 4000 }), fc.nat({ max: 255 }));
	fc.assert(
		fc.property(
			fc.array(fc.nat({ max: 255 }), { maxLength: 200 }),
			fc.array(change, { minLength: 1, maxLength: 6 }),
			(tape, changes) => {
				const bytes = randomModule(tape);
				for (const [at, value] of changes) bytes[8 + (at % (bytes.length - 8))] = value;
				const result = admitModule(bytes, options);
				return result.ok || result.refusals.length > 0;
			},
		),
		{ numRuns: 4000 },
	);
	t.pass();
});

test('inserted, removed and repeated pieces give a verdict, never an exception', (t) => {
	const piece = fc.tuple(fc.nat({ max: 4000 }), fc.nat({ max: 40 }), fc.uint8Array({ maxLength: 12 }));
	fc.assert(
		fc.property(piece, ([at, removed, inserted]) => {
			const from = 8 + (at % (sample.length - 8));
			const bytes = Uint8Array.of(...sample.subarray(0, from), ...inserted, ...sample.subarray(from + removed));
			const result = admitModule(bytes, options);
			return result.ok || result.refusals.length > 0;
		}),
		{ numRuns: 3000 },
	);
	t.pass();
});

test('arbitrary bytes after the header give a verdict', (t) => {
	fc.assert(
		fc.property(
			fc.uint8Array({ maxLength: 200 }),
			(tail) => codes(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...tail)).length > 0,
		),
		{ numRuns: 3000 },
	);
	t.deepEqual(codes(new Uint8Array()), ['IM_ADMISSION_MALFORMED']);
	t.deepEqual(codes(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46)), ['IM_ADMISSION_MALFORMED']);
});

const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const enormous = [0xff, 0xff, 0xff, 0xff, 0x0f];

for (const [name, id, body] of [
	['types', 1, enormous],
	['imports', 2, enormous],
	['functions', 3, enormous],
	['tables', 4, enormous],
	['globals', 6, enormous],
	['exports', 7, enormous],
	['element segments', 9, enormous],
	['function bodies', 10, enormous],
	['data segments', 11, enormous],
] as const)
	test(`a count of 4 thousand million ${name} is refused unread`, (t) => {
		const found = codes(Uint8Array.of(...header, id, body.length, ...body));
		t.deepEqual(found, ['IM_ADMISSION_MALFORMED']);
	});

test('a section longer than the module, repeated or out of order is malformed', (t) => {
	t.deepEqual(codes(Uint8Array.of(...header, 1, ...enormous)), ['IM_ADMISSION_MALFORMED']);
	t.deepEqual(codes(Uint8Array.of(...header, 1, 1, 0, 1, 1, 0)), ['IM_ADMISSION_MALFORMED']);
	t.deepEqual(codes(Uint8Array.of(...header, 3, 1, 0, 1, 1, 0)), ['IM_ADMISSION_MALFORMED']);
	t.deepEqual(codes(Uint8Array.of(...header, 14, 1, 0)), ['IM_ADMISSION_SECTION']);
	t.deepEqual(codes(Uint8Array.of(...header, 1, 2, 0, 0)), ['IM_ADMISSION_MALFORMED']);
});

test('LEB128: padded numbers are read, over-long and overflowing ones are faults', (t) => {
	const read = (bytes: number[], as: 'u32' | 's32'): number => new ByteReader(Uint8Array.from(bytes))[as]();
	t.is(read([0x80, 0x80, 0x80, 0x80, 0x00], 'u32'), 0);
	t.is(read([0xff, 0xff, 0xff, 0xff, 0x0f], 'u32'), 0xffff_ffff);
	t.is(read([0x7f], 's32'), -1);
	t.is(read([0x80, 0x80, 0x80, 0x80, 0x78], 's32'), -0x8000_0000);
	t.is(read([0xff, 0xff, 0xff, 0xff, 0x07], 's32'), 0x7fff_ffff);
	for (const bytes of [[0x80], [], [0x80, 0x80, 0x80, 0x80, 0x80, 0x00], [0xff, 0xff, 0xff, 0xff, 0x1f]])
		t.throws(() => read(bytes, 'u32'), { instanceOf: ModuleFault });
	t.throws(() => read([0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 's32'), { instanceOf: ModuleFault });
});

test('limits are options, and every breach is reported', (t) => {
	const small = admitModule(sample, { ...options, limits: { localsMax: 3 } });
	t.false(small.ok);
	if (small.ok) return;
	t.is(small.refusals.length, 4);
	t.true(small.refusals.every((refusal) => refusal.code === 'IM_ADMISSION_LOCALS'));
	t.deepEqual(
		small.refusals.map((refusal) => refusal.where.functionIndex),
		[0, 1, 2, 3],
	);
	t.is(small.refusals[0]?.where.function, 'rank');
	const tiny = admitModule(sample, { ...options, limits: { moduleBytesMax: 100 } });
	t.true(!tiny.ok && tiny.refusals[0]?.code === 'IM_ADMISSION_MODULE_SIZE');
});
