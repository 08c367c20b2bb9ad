// What the text parser keeps of good and of broken bodies, line by line.
import test from 'ava';
import { MetricsParser, parseMetrics } from './parser.js';
import { labelOf, type MetricSamples, type Sample } from './samples.js';

function samplesOf(body: string, name = 'm'): readonly Sample[] {
	return parseMetrics(body, [name]).byName.get(name) ?? [];
}

function only(body: string, name = 'm'): Sample | undefined {
	const samples = samplesOf(body, name);
	return samples.length === 1 ? samples[0] : undefined;
}

function kinds(found: MetricSamples): readonly string[] {
	return found.problems.map((problem) => problem.kind);
}

test('keeps the wanted names and passes over the others', (t) => {
	const body = '# HELP m Some text.\n# TYPE m gauge\nm{a="1"} 2\nmm 3\nm_total 4\nother{a="1"} 5\nm{a="2"} 6\n';
	const found = parseMetrics(body, ['m', 'm_total', 'absent']);
	t.deepEqual([...found.byName.keys()], ['m', 'm_total']);
	t.deepEqual(
		samplesOf(body).map((sample) => [labelOf(sample, 'a'), sample.value]),
		[
			['1', 2],
			['2', 6],
		],
	);
	t.is(found.lines, 7);
	t.true(found.complete);
	t.is(found.problemCount, 0);
});

test('tells a name from a longer one that begins alike, in either order', (t) => {
	const body = 'm_bucket{le="1"} 1\nm 2\nm_bucket{le="2"} 3\nm_bucketful 4\nm{x="y"} 5\n';
	const found = parseMetrics(body, ['m', 'm_bucket']);
	t.deepEqual(
		found.byName.get('m')?.map((sample) => sample.value),
		[2, 5],
	);
	t.deepEqual(
		found.byName.get('m_bucket')?.map((sample) => sample.value),
		[1, 3],
	);
});

test('reads names with colons, also in front', (t) => {
	t.is(only('vllm:a:b{} 1\n', 'vllm:a:b')?.value, 1);
	t.is(only(':tensorflow:x{} 1\n', ':tensorflow:x')?.value, 1);
});

for (const [text, value] of [
	['5', 5],
	['+5.50', 5.5],
	['-.5', -0.5],
	['5.', 5],
	['1.0777853952e+010', 1.0777853952e10],
	['+Inf', Number.POSITIVE_INFINITY],
	['-inf', Number.NEGATIVE_INFINITY],
	['Infinity', Number.POSITIVE_INFINITY],
	['NaN', Number.NaN],
] as const) {
	test(`reads the value ${text}`, (t) => {
		t.is(only(`m ${text}\n`)?.value, value);
		t.is(only(`m{a="b"} ${text}\n`)?.value, value);
	});
}

for (const text of ['', 'x', '0x1F', '0b1', '1_000', '1e', '--1', '1.2.3', '5\u00a0', '+NaN', '.', 'e5']) {
	test(`refuses the value ${JSON.stringify(text)} and goes on`, (t) => {
		const found = parseMetrics(`m{a="1"} ${text}\nm{a="2"} 1\n`, ['m']);
		t.deepEqual(kinds(found), ['bad_value']);
		t.deepEqual(found.problems[0], { kind: 'bad_value', line: 1, name: 'm' });
		t.is(found.byName.get('m')?.length, 1);
		t.false(found.complete);
	});
}

test('needs a blank between a bare name and its value', (t) => {
	t.deepEqual(kinds(parseMetrics('m-5\n', ['m'])), ['bad_line']);
	t.deepEqual(kinds(parseMetrics('m\n', ['m'])), ['bad_line']);
	t.is(only('m\t5\n')?.value, 5);
	t.is(only('m{a="b"}5\n')?.value, 5);
});

test('unescapes label values and leaves unknown escapes alone', (t) => {
	t.is(
		labelOf(only('m{a="back\\\\slash \\"quoted\\" new\\nline \\t"} 1\n') as Sample, 'a'),
		'back\\slash "quoted" new\nline \\t',
	);
	t.is(labelOf(only('m{a="},{=\\""} 1\n') as Sample, 'a'), '},{="');
});

test('does not take an escaped value for the one before it', (t) => {
	const values = ['x\\', 'x"y', 'x\\"', 'x', 'xy', 'x\n'];
	const escape = (value: string): string => JSON.stringify(value);
	const body = values.map((value, i) => `m{a=${escape(value)},b="${i}"} 1`).join('\n');
	t.deepEqual(
		samplesOf(body).map((sample) => labelOf(sample, 'a')),
		values,
	);
});

test('reads label sets that are empty, spaced out, or end in a comma', (t) => {
	t.deepEqual(only('m{} 1\n')?.labels, []);
	t.deepEqual(only('m{ } 1\n')?.labels, []);
	t.deepEqual(only('m{a="1",} 1\n')?.labels, ['a', '1']);
	t.deepEqual(only(' m { a = "1" ,\tb="2" , } \t 1 \n')?.labels, ['a', '1', 'b', '2']);
});

for (const block of [
	'{a="1"',
	'{a=1}',
	'{a}',
	'{="1"}',
	'{a="1" b="2"}',
	'{a="1",,b="2"}',
	'{,}',
	'{1a="1"}',
	'{a="1}',
	'{a="1\\"}',
]) {
	test(`refuses the label block ${block}`, (t) => {
		const found = parseMetrics(`m${block} 1\nm 2\n`, ['m']);
		t.deepEqual(kinds(found), ['bad_labels']);
		t.deepEqual(
			found.byName.get('m')?.map((sample) => sample.value),
			[2],
		);
	});
}

test('reads quoted metric and label names', (t) => {
	const found = parseMetrics('{"my.metric","a.b"="1",c="2"} 3\n{"other.metric"} 4\n{a="1"} 5\n', ['my.metric']);
	t.deepEqual(found.byName.get('my.metric'), [{ labels: ['a.b', '1', 'c', '2'], value: 3 }]);
	t.deepEqual(kinds(found), ['bad_line']);
	t.deepEqual(kinds(parseMetrics('m{"m"} 1\n', ['m'])), ['bad_line']);
});

test('passes over timestamps and exemplars', (t) => {
	t.is(only('m{a="1"} 2 1395066363000\n')?.value, 2);
	t.is(only('m{a="1"} 2 1520879607.789\n')?.value, 2);
	t.is(only('m{a="1"} 2 # {trace_id="KOO5S4vxi0o"} 0.67\n')?.value, 2);
	t.is(only('m{a="1"} 2 1520879607.789 # {trace_id="x"} 9.8 1520879607.789\n')?.value, 2);
	t.deepEqual(kinds(parseMetrics('m 2 later\nm 2 3 4\n', ['m'])), ['bad_value', 'bad_value']);
});

test('stops at the end mark of OpenMetrics', (t) => {
	const found = parseMetrics('m{a="1"} 1\n# EOF\nm{a="2"} 2\n\n', ['m']);
	t.is(found.byName.get('m')?.length, 1);
	t.deepEqual(kinds(found), ['after_eof']);
	t.is(samplesOf('# EOF is near\nm 1\n').length, 1);
});

test('reads carriage returns, blank lines, a byte order mark, UTF-8 and a missing last line end', (t) => {
	const body = '\ufeffm{a="1"} 1\r\n\r\n   \nm{a="ÄÖ 模型 🚀"} 2\r\nm{a="3"} 3';
	for (const form of [body, Buffer.from(body, 'utf8')]) {
		const found = parseMetrics(form, ['m']);
		t.deepEqual(
			found.byName.get('m')?.map((sample) => sample.value),
			[1, 2, 3],
		);
		t.is(labelOf(found.byName.get('m')?.[1] as Sample, 'a'), 'ÄÖ 模型 🚀');
		t.is(found.problemCount, 0);
	}
});

test('of two series with the same labels the later one stands', (t) => {
	const found = parseMetrics('m{a="1"} 1\nm{a="2"} 2\nm{a="1"} 3\nn 1\nn 2\n', ['m', 'n']);
	t.deepEqual(
		found.byName.get('m')?.map((sample) => sample.value),
		[3, 2],
	);
	t.deepEqual(
		found.byName.get('n')?.map((sample) => sample.value),
		[2],
	);
	t.deepEqual(kinds(found), ['duplicate_series', 'duplicate_series']);
	t.true(found.complete);
});

test('keeps no more series, labels, characters and problems than allowed', (t) => {
	const many = Array.from({ length: 10 }, (_, i) => `m{a="${i}"} ${i}`).join('\n');
	const series = parseMetrics(many, ['m'], { seriesPerNameMax: 3, problemsMax: 2 });
	t.is(series.byName.get('m')?.length, 3);
	t.deepEqual(kinds(series), ['too_many_series', 'too_many_series']);
	t.is(series.problemCount, 7);
	t.false(series.complete);

	const labels = parseMetrics('m{a="1",b="2",c="3"} 1\nm{a="1",b="2",} 2\n', ['m'], { labelsMax: 2 });
	t.deepEqual(kinds(labels), ['too_many_labels']);
	t.is(labels.byName.get('m')?.length, 1);

	const line = parseMetrics(`m{a="${'x'.repeat(100)}"} 1\nm 2\n`, ['m'], { lineBytesMax: 50 });
	t.deepEqual(line.problems, [{ kind: 'line_too_long', line: 1, name: '' }]);
	t.deepEqual(
		line.byName.get('m')?.map((sample) => sample.value),
		[2],
	);

	const body = parseMetrics('m{a="1"} 1\nm{a="2"} 22222\n', ['m'], { bodyBytesMax: 20 });
	t.deepEqual(
		body.byName.get('m')?.map((sample) => sample.value),
		[1],
	);
	t.deepEqual(kinds(body), ['body_too_long']);
	t.false(body.complete);
});

test('holds no more than a line of an endless one', (t) => {
	const parser = new MetricsParser(['m'], { lineBytesMax: 1000 });
	for (let i = 0; i < 100; i++) parser.push(Buffer.alloc(500, 'x'));
	parser.push(Buffer.from('\nm 1\n'));
	const found = parser.end();
	t.deepEqual(kinds(found), ['line_too_long']);
	t.is(found.byName.get('m')?.[0]?.value, 1);
});

test('calls an HTML page what it is not', (t) => {
	const found = parseMetrics('<!DOCTYPE html>\n<html>\n<p>503</p>\n</html>', ['m']);
	t.is(found.byName.size, 0);
	t.deepEqual(new Set(kinds(found)), new Set(['bad_line']));
});

test('reads nothing after the end', (t) => {
	const parser = new MetricsParser(['m']);
	parser.push(Buffer.from('m{a="1"} 1\n'));
	parser.end();
	parser.push(Buffer.from('m{a="2"} 2\n'));
	t.is(parser.end().byName.get('m')?.length, 1);
});
