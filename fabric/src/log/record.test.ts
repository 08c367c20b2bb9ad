// Records read back as they were written, and bytes that no one wrote are refused by the one named error.
import test from 'ava';
import * as fc from 'fast-check';
import { ByteReader, ByteWriter, Malformed } from '../bytes/binary.js';
import { type LogRecord, readRecords, writeRecord } from './record.js';

const peers = fc.array(fc.string({ maxLength: 40 }), { maxLength: 4 });
const count = fc.maxSafeNat();
const snapshot = fc.record({
	index: count,
	term: count,
	membership: fc.record({ voters: peers, outgoing: peers, learners: peers, learnersNext: peers }),
});
const hardState = fc.record({ term: count, votedFor: fc.option(fc.uuid(), { nil: undefined }), commit: count });
const entries = fc
	.tuple(
		fc.nat(0xffff_ffff),
		fc.array(
			fc.record({
				term: count,
				kind: fc.constantFrom('command' as const, 'config' as const, 'noop' as const),
				data: fc.uint8Array({ maxLength: 300 }),
			}),
			{ minLength: 1, maxLength: 6 },
		),
	)
	.map(([first, list]) => list.map(({ term, kind, data }, at) => ({ term, index: first + at, kind, data })));
const record: fc.Arbitrary<LogRecord> = fc.oneof(
	fc.record({ kind: fc.constant('entries' as const), group: fc.nat(), entries }),
	fc.record({ kind: fc.constant('hardState' as const), group: fc.nat(), hardState }),
	fc.record({ kind: fc.constant('snapshot' as const), group: fc.nat(), meta: snapshot, keepsTail: fc.boolean() }),
	fc.record({
		kind: fc.constant('marks' as const),
		group: fc.nat(),
		hardState,
		snapshot: fc.option(snapshot, { nil: undefined }),
	}),
);

function plain(records: readonly LogRecord[]): unknown {
	return records.map((one) =>
		one.kind === 'entries'
			? { kind: one.kind, group: one.group, entries: one.entries.map((entry) => ({ ...entry, data: [...entry.data] })) }
			: one,
	);
}

test('records read back as they were written', (t) => {
	fc.assert(
		fc.property(fc.array(record, { maxLength: 5 }), (records) => {
			const writer = new ByteWriter(16);
			for (const one of records) writeRecord(writer, one);
			t.deepEqual(plain(readRecords(new ByteReader(writer.view()))), plain(records));
		}),
		{ numRuns: 300 },
	);
});

test('bytes that are no records are refused by name', (t) => {
	let refused = 0;
	fc.assert(
		fc.property(record, fc.nat(), fc.nat(255), fc.boolean(), (one, at, byte, cut) => {
			const writer = new ByteWriter(16);
			writeRecord(writer, one);
			const bytes = Buffer.from(writer.view());
			bytes[at % bytes.length] = byte;
			try {
				readRecords(new ByteReader(cut ? bytes.subarray(0, at % bytes.length) : bytes));
			} catch (error) {
				if (!(error instanceof Malformed)) throw error;
				refused++;
			}
		}),
		{ numRuns: 1000 },
	);
	t.true(refused > 100);
});
