// Commands survive their codec, have one encoding, and nothing that is thrown at the decoder comes out as anything but a named error.
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { ByteReader, ByteWriter, Malformed } from '../bytes/binary.js';
import { decodeCommand, encodeCommand } from './command-codec.js';
import { decodeResult } from './result-codec.js';
import { Store } from './store.js';
import { command } from './testing/arbitraries.js';

const requestId = fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 }), { nil: undefined });

test('every command comes back as it was and has one encoding', (t) => {
	fc.assert(
		fc.property(command, requestId, (command, id) => {
			const encoded = encodeCommand(command, id);
			const decoded = decodeCommand(encoded);
			t.deepEqual(decoded.command, command);
			t.deepEqual(decoded.requestId && [...decoded.requestId], id && [...id]);
			t.deepEqual(encodeCommand(decoded.command, decoded.requestId), encoded);
		}),
		{ numRuns: 500 },
	);
});

test('damaged commands are refused by name or are other commands, and never throw out of a store', (t) => {
	let refused = 0;
	const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
	fc.assert(
		fc.property(command, requestId, damage, fc.option(fc.nat(), { nil: undefined }), (command, id, changes, cut) => {
			const bytes = encodeCommand(command, id);
			for (const [at, value] of changes) bytes[at % bytes.length] = value;
			const damaged = cut === undefined ? bytes : bytes.subarray(0, cut % bytes.length);
			try {
				// What decodes encodes to the very same bytes: no second form.
				const decoded = decodeCommand(damaged);
				t.deepEqual(encodeCommand(decoded.command, decoded.requestId), Uint8Array.from(damaged));
			} catch (error) {
				t.true(error instanceof MeshError, String(error));
				refused++;
			}
			decodeResult(new Store().apply(damaged, 1));
		}),
		{ numRuns: 3_000 },
	);
	t.true(refused > 300, `${refused} refused`);
});

test('random bytes never throw out of a store', (t) => {
	const store = new Store();
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(9), (bytes, kind) => {
			const result = decodeResult(store.apply(Uint8Array.of(1, kind, 0, ...bytes), store.appliedIndex + 1));
			t.truthy(result.kind);
		}),
		{ numRuns: 3_000 },
	);
});

test('numbers: the shortest form only, up to the largest safe integer', (t) => {
	for (const value of [0, 1, 127, 128, 2 ** 32, 2 ** 49 - 1, Number.MAX_SAFE_INTEGER]) {
		const reader = new ByteReader(new ByteWriter().varint(value).finish());
		t.is(reader.varint(), value);
		t.is(reader.left, 0);
	}
	for (const bytes of [
		[0x80],
		[0x80, 0x00],
		[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
		Array<number>(9).fill(0x81),
	])
		t.throws(() => new ByteReader(Uint8Array.from(bytes)).varint(), { instanceOf: Malformed });
});
