// The threshold grammar, its checks and verdicts, and the per-request objectives that share it.
import test from 'ava';
import * as fc from 'fast-check';
import { meetsSlo, parseSlo } from './slo.js';
import { isMeshError } from './testing.js';
import { checkThresholds, evaluateThresholds, type MetricKind, parseThresholds } from './threshold.js';

const KINDS: ReadonlyMap<string, MetricKind> = new Map([
	['ttft.p99', 'time'],
	['e2e.p99.9', 'time'],
	['fail.rate', 'share'],
	['goodput', 'share'],
	['rps', 'plain'],
	['p99', 'time'],
]);

test('expressions parse to milliseconds, fractions and plain numbers', (t) => {
	t.deepEqual(
		parseThresholds(' ttft.p99<2s, fail.rate <= 0 ,goodput>=99%, p99@1024<5us, rps > 1_000.5, e2e.p99.9<1.5e3ms'),
		[
			{ source: 'ttft.p99<2s', metric: 'ttft.p99', operator: '<', limit: 2000, unit: 's' },
			{ source: 'fail.rate <= 0', metric: 'fail.rate', operator: '<=', limit: 0, unit: 'none' },
			{ source: 'goodput>=99%', metric: 'goodput', operator: '>=', limit: 0.99, unit: '%' },
			{ source: 'p99@1024<5us', metric: 'p99', size: 1024, operator: '<', limit: 0.005, unit: 'us' },
			{ source: 'rps > 1_000.5', metric: 'rps', operator: '>', limit: 1000.5, unit: 'none' },
			{ source: 'e2e.p99.9<1.5e3ms', metric: 'e2e.p99.9', operator: '<', limit: 1500, unit: 'ms' },
		],
	);
	t.is(parseThresholds('p50<5µs')[0]?.limit, 0.005);
});

for (const [text, column, expected] of [
	['', 1, /expected a metric/],
	['<2s', 1, /expected a metric/],
	['ttft.p99', 9, /expected one of < <= > >=; found the end/],
	['ttft.p99 = 2s', 10, /expected one of/],
	['ttft.p99<', 10, /expected a number/],
	['ttft.p99<fast', 10, /expected a number; found "fast"/],
	['ttft.p99<2min', 11, /unknown unit/],
	['ttft.p99<2s;rps>1', 12, /expected ","/],
	['ttft.p99<2s,', 13, /expected a metric/],
	['p99@many<1us', 4, /whole number after "@"/],
	['p99@1.5<1us', 4, /whole number after "@"/],
] as const) {
	test(`a malformed threshold names its column: ${JSON.stringify(text)}`, (t) => {
		const error = t.throws(() => parseThresholds(text));
		t.true(isMeshError(error, 'IM_THRESHOLD_SYNTAX'), error?.message);
		if (!isMeshError(error, 'IM_THRESHOLD_SYNTAX')) return;
		t.regex(error.message, expected);
		t.is(error.where, `threshold:1:${column}`);
	});
}

test('no text makes the parser fail in another way', (t) => {
	const piece = fc.constantFrom(
		'ttft',
		'.',
		'p99',
		'@',
		'1024',
		'<',
		'<=',
		'>',
		'5',
		'us',
		's',
		'%',
		',',
		' ',
		'é',
		'_',
		'-',
	);
	fc.assert(
		fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
			try {
				return parseThresholds(pieces.join('')).length > 0;
			} catch (error) {
				return isMeshError(error, 'IM_THRESHOLD_SYNTAX');
			}
		}),
	);
	t.pass();
});

test('an unknown metric is refused with the nearest name', (t) => {
	const error = t.throws(() => checkThresholds(parseThresholds('ttft.p95<1s'), KINDS));
	t.true(isMeshError(error, 'IM_THRESHOLD_METRIC'));
	if (isMeshError(error, 'IM_THRESHOLD_METRIC')) t.regex(error.hint, /Did you mean ttft\.p99\? Known: ttft\.p99, /);
});

for (const [text, message] of [
	['ttft.p99<2', /takes us, ms or s; found no unit/],
	['ttft.p99<2%', /takes us, ms or s; found %/],
	['goodput>1s', /takes % or a fraction; found s/],
	['rps>50%', /takes a plain number; found %/],
] as const) {
	test(`a unit that does not fit is refused: ${text}`, (t) => {
		const error = t.throws(() => checkThresholds(parseThresholds(text), KINDS));
		t.true(isMeshError(error, 'IM_THRESHOLD_UNIT'));
		t.regex(error?.message ?? '', message);
	});
}

test('verdicts compare the measured value; nothing measured fails', (t) => {
	const thresholds = parseThresholds('p99@16<5us,p99@1024<5us,rps>=10,rps>10,goodput<1%');
	const verdicts = evaluateThresholds(thresholds, (metric, size) => {
		if (metric === 'p99') return size === 16 ? 0.004 : 0.006;
		return metric === 'rps' ? 10 : undefined;
	});
	t.deepEqual(
		verdicts.map((verdict) => [verdict.passed, verdict.actual]),
		[
			[true, 0.004],
			[false, 0.006],
			[true, 10],
			[false, 10],
			[false, null],
		],
	);
});

test('an objective holds when each of its clauses does; a latency the request lacks does not count against it', (t) => {
	const slo = parseSlo('ttft<5s,tpot<100ms');
	t.true(meetsSlo(slo, { e2e: 9000, ttft: 4999, tpot: 99 }));
	t.false(meetsSlo(slo, { e2e: 9000, ttft: 5000, tpot: 99 }));
	t.false(meetsSlo(slo, { e2e: 9000, ttft: 10, tpot: 101 }));
	t.true(meetsSlo(slo, { e2e: 9000, ttft: 10 }));
	t.false(meetsSlo(parseSlo('e2e<=1s'), { e2e: 1001 }));
	t.throws(() => parseSlo('ttft.p99<5s'), { message: /unknown metric/ });
});
