// ORCA load reports in response headers: the forms runtimes send, and what is not one.
import test from 'ava';
import * as fc from 'fast-check';
import { orcaBounds, parseOrcaHeader } from './orca.js';

const seed = Number(process.env['INFERMESH_TEST_SEED'] ?? Date.now() % 0x7fff_ffff);

const full = { observedAtMs: 9, kvUsage: 0.4, queueDepth: 3, unread: [] };

for (const header of [
	'TEXT named_metrics.kv_cache_usage_perc=0.4, named_metrics.num_requests_waiting=3.0',
	'text kv_cache_usage_perc=0.4,num_requests_waiting=3,',
	' TEXT  named_metrics.kv_cache_usage_perc: 0.4 , mem_utilization=0.3, named_metrics.num_requests_waiting : 3',
	'JSON {"named_metrics": {"kv_cache_usage_perc": 0.4, "num_requests_waiting": 3.0}}',
	'JSON {"mem_utilization":0.1,"namedMetrics":{"kv_cache_utilization":0.4,"num_queue_reqs":3,"max_token_capacity":9000}}',
	'{"named_metrics.kv_cache_usage_perc": 0.4, "num_requests_waiting": 3}',
]) {
	test(`reads ${header}`, (t) => {
		t.deepEqual(parseOrcaHeader(header, 9), full);
	});
}

test('a report without known metrics tells nothing and is no fault', (t) => {
	t.deepEqual(parseOrcaHeader('TEXT mem_utilization=0.3', 1), { observedAtMs: 1, unread: [] });
	t.deepEqual(parseOrcaHeader('JSON {}', 1), { observedAtMs: 1, unread: [] });
});

/** A field of a protobuf message: a double, or bytes. */
function field(number: number, value: number | Buffer): Buffer {
	if (typeof value !== 'number') return Buffer.concat([Buffer.from([(number << 3) | 2, value.length]), value]);
	const bytes = Buffer.alloc(9, (number << 3) | 1);
	bytes.writeDoubleLE(value, 1);
	return bytes;
}

const named = (name: string, value: number): Buffer =>
	field(8, Buffer.concat([field(1, Buffer.from(name)), field(2, value)]));

test('reads a binary report', (t) => {
	const report = Buffer.concat([
		field(1, 0.25),
		Buffer.from([3 << 3, 0x96, 0x01]),
		named('kv_cache_usage_perc', 0.4),
		named('num_requests_waiting', 3),
		named('of_no_use', 1e9),
		field(6, 12.5),
	]);
	const expected = { ...full, utilization: 0.25, requestsPerSec: 12.5 };
	t.deepEqual(parseOrcaHeader(`BIN ${report.toString('base64')}`, 9), expected);
	t.deepEqual(parseOrcaHeader(`BIN ${report.toString('base64url')}`, 9), expected);
});

test('a server that knows its utilization is believed before its CPU, in either order', (t) => {
	for (const fields of [
		[field(1, 0.2), field(9, 0.9)],
		[field(9, 0.9), field(1, 0.2)],
	])
		t.is(parseOrcaHeader(`BIN ${Buffer.concat(fields).toString('base64')}`, 1).utilization, 0.9);
});

for (const [header, why] of [
	['', 'orca: form missing is not TEXT, JSON or BIN'],
	['XML <a/>', 'orca: form XML is not TEXT, JSON or BIN'],
	['BIN CZqZ', 'orca: malformed binary report'],
	['BIN //////////8B', 'orca: malformed binary report'],
	['JSON {"named_metrics"', 'orca: malformed JSON'],
	['JSON [1]', 'orca: JSON is not an object'],
	['JSON null', 'orca: JSON is not an object'],
	['JSON {"num_requests_waiting":"3"}', 'orca: num_requests_waiting is not a number'],
	['TEXT num_requests_waiting', 'orca: num_requests_waiting'],
	['TEXT num_requests_waiting=many', 'queueDepth: NaN is not a count'],
	['TEXT num_requests_waiting=-1', 'queueDepth: -1 is not a count'],
	['TEXT kv_cache_usage_perc=40', 'kvUsage: 40 is not between 0 and 1'],
] as const) {
	test(`does not read ${JSON.stringify(header)}`, (t) => {
		t.deepEqual(parseOrcaHeader(header, 1), { observedAtMs: 1, unread: [why] });
	});
}

test('does not read a header without end', (t) => {
	const delta = parseOrcaHeader(`TEXT num_requests_waiting=3,${'x=1,'.repeat(orcaBounds.charsMax)}`, 1);
	t.is(delta.queueDepth, undefined);
	t.is(delta.unread.length, 1);
});

test('never throws', (t) => {
	t.log(`seed ${seed}`);
	const header = fc
		.tuple(fc.constantFrom('', 'TEXT ', 'JSON ', '{', 'BIN '), fc.oneof(fc.string(), fc.json(), fc.base64String()))
		.map((parts) => parts.join(''));
	fc.assert(
		fc.property(header, (value) => parseOrcaHeader(value, 1).unread.length <= 32),
		{ seed, numRuns: 1000 },
	);
	t.pass();
});
