// Properties of the text parser: it never throws, keeps its bounds, reads back what was written, and does not care where
// a body is cut.
import { isDeepStrictEqual } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { MetricsParser, parseMetrics } from './parser.js';
import { type MetricsLimits, metricsLimitDefaults } from './samples.js';
import { LabelCache, SeriesMemory } from './series-memory.js';
import { PlainNumber } from './value.js';
import { WantedNames } from './wanted-names.js';

const seed = Number(process.env['INFERMESH_TEST_SEED'] ?? Date.now() % 0x7fff_ffff);
const wanted = ['m', 'm_bucket', 'vllm:x'];
const small: MetricsLimits = { bodyBytesMax: 400, lineBytesMax: 60, labelsMax: 3, seriesPerNameMax: 4, problemsMax: 5 };

function check<T extends unknown[]>(t: ExecutionContext, property: fc.IProperty<T>, numRuns: number): void {
	t.log(`seed ${seed}`);
	fc.assert(property, { seed, numRuns });
	t.pass();
}

/** Text made mostly of what the grammar is made of, so that garbage comes close to being right. */
const almost = fc
	.array(
		fc.oneof(
			fc.constantFrom(
				'm',
				'm_bucket',
				'vllm:x',
				'other',
				'{',
				'}',
				'"',
				'=',
				',',
				'\\',
				'\n',
				'\r\n',
				' ',
				'\t',
				'#',
				'# EOF\n',
			),
			fc.constantFrom(
				'm{le="',
				'"} 1\n',
				'a="b"',
				',le="+Inf"',
				'1',
				'+Inf',
				'NaN',
				'1e9',
				'-',
				'.',
				'\ufeff',
				'🚀',
				'\u0000',
			),
			fc.string({ maxLength: 4 }),
		),
		{ maxLength: 60 },
	)
	.map((parts) => parts.join(''));

function feed(body: string, cuts: readonly number[], limits: Partial<MetricsLimits>) {
	const parser = new MetricsParser(wanted, limits);
	const bytes = Buffer.from(body);
	let from = 0;
	for (const cut of cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b)) {
		parser.push(bytes.subarray(from, cut));
		from = cut;
	}
	parser.push(bytes.subarray(from));
	return parser.end();
}

test('never throws and keeps its bounds on garbage', (t) => {
	check(
		t,
		fc.property(almost, fc.boolean(), (body, bounded) => {
			const limits = bounded ? small : metricsLimitDefaults;
			const found = parseMetrics(body, wanted, limits);
			for (const [name, samples] of found.byName) {
				if (!wanted.includes(name) || samples.length > limits.seriesPerNameMax) return false;
				if (samples.some((sample) => sample.labels.length > 2 * limits.labelsMax)) return false;
			}
			if (found.problems.length !== Math.min(limits.problemsMax, found.problemCount)) return false;
			const lossless = found.problems.every((problem) => problem.kind === 'duplicate_series');
			return found.problemCount > found.problems.length || found.complete === lossless;
		}),
		3000,
	);
});

test('never throws on bytes', (t) => {
	check(
		t,
		fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => parseMetrics(bytes, wanted).lines >= 0),
		1000,
	);
});

test('reads the same however a body is cut', (t) => {
	check(
		t,
		fc.property(almost, fc.array(fc.nat(), { maxLength: 8 }), fc.boolean(), (body, cuts, bounded) => {
			const limits = bounded ? small : {};
			t.deepEqual(feed(body, cuts, limits), feed(body, [], limits));
		}),
		1500,
	);
});

test('reads the same from bytes cut inside characters', (t) => {
	const line = (value: string): string => `m{a=${JSON.stringify(value)}} 1`;
	check(
		t,
		fc.property(fc.array(fc.constantFrom('ä', '模', '🚀', 'x'), { maxLength: 20 }), fc.nat(), (chars, cut) => {
			const bytes = Buffer.from(line(chars.join('')), 'utf8');
			const parser = new MetricsParser(wanted);
			parser.push(bytes.subarray(0, cut % bytes.length));
			parser.push(bytes.subarray(cut % bytes.length));
			t.deepEqual(parser.end().byName.get('m'), [{ labels: ['a', chars.join('')], value: 1 }]);
		}),
		300,
	);
});

const labelName = fc.stringMatching(/^[a-zA-Z_][a-zA-Z0-9_]{0,8}$/);
const labelSet = fc.uniqueArray(fc.tuple(labelName, fc.string({ maxLength: 12, unit: 'grapheme' })), {
	maxLength: 5,
	selector: ([name]) => name,
});

function write(labels: readonly (readonly [string, string])[], value: number, blank: string, comma: boolean): string {
	const escape = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
	const pairs = labels.map(([name, text]) => `${name}${blank}="${escape(text)}"`).join(`,${blank}`);
	const number = value === Number.POSITIVE_INFINITY ? '+Inf' : value === Number.NEGATIVE_INFINITY ? '-Inf' : `${value}`;
	return `m{${blank}${pairs}${comma && pairs !== '' ? ',' : ''}${blank}} ${number}`;
}

test('reads back what was written', (t) => {
	const series = fc.uniqueArray(fc.tuple(labelSet, fc.double()), {
		maxLength: 8,
		selector: ([labels]) => JSON.stringify(labels),
	});
	check(
		t,
		fc.property(series, fc.constantFrom('', ' ', '\t '), fc.boolean(), (all, blank, comma) => {
			const body = all.map(([labels, value]) => write(labels, value, blank, comma)).join('\n');
			const found = parseMetrics(body, wanted);
			t.deepEqual(
				(found.byName.get('m') ?? []).map((sample) => [sample.labels, sample.value === 0 ? 0 : sample.value]),
				all.map(([labels, value]) => [labels.flat(), value === 0 ? 0 : value]),
			);
			t.is(found.problemCount, 0);
		}),
		600,
	);
});

/** What a reader without any care for speed keeps of `body`: every line by itself, by one expression. */
function naive(body: string): readonly string[] {
	const kept = new Map<string, string>();
	for (const line of body.split('\n')) {
		const found = /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*\})?[ \t]+(\S+)$/.exec(line);
		if (found === null || !wanted.includes(found[1] ?? '')) continue;
		kept.set(`${found[1]}${found[2] ?? ''}`, found[3] ?? '');
	}
	return [...kept].map(([series, value]) => `${series} ${value}`).sort();
}

test('keeps what a naive reader keeps, whatever stands around it', (t) => {
	// Names that begin alike, and lines that repeat the beginning of the one before them.
	const name = fc.constantFrom(
		'm',
		'm_',
		'm_b',
		'm_bucket',
		'm_bucket_',
		'vllm:',
		'vllm:x',
		'vllm:xy',
		'vllm:a',
		'mm',
		'other',
		'_m',
	);
	const block = fc.constantFrom(
		'',
		'{}',
		'{a="1"}',
		'{a="2"}',
		'{a="1",le="+Inf"}',
		'{a="ä"}',
		'{a="}"}',
		'{a="{",b="\\""}',
	);
	const line = fc.oneof(
		{ weight: 8, arbitrary: fc.tuple(name, block, fc.nat(99)).map(([n, b, v]) => `${n}${b} ${v}`) },
		{ weight: 1, arbitrary: fc.constantFrom('# TYPE m gauge', '', 'm', 'vllm:', '# HELP vllm:x é') },
	);
	check(
		t,
		fc.property(
			fc.array(line, { maxLength: 30 }),
			fc.array(fc.nat(), { maxLength: 4 }),
			fc.boolean(),
			(lines, cuts, cached) => {
				const body = lines.join('\n');
				const found = cached ? twice(body) : feed(body, cuts, {});
				const written = [...found.byName].flatMap(([metric, samples]) =>
					samples.map(({ labels, value }) => `${metric}${JSON.stringify(labels)} ${value}`),
				);
				const expected = naive(body).map((series) => {
					const [, metric, labels, value] = /^([\w:]+)(\{.*\})? (\d+)$/.exec(series) as RegExpExecArray;
					const pairs = [...(labels ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
					const flat = pairs.flatMap(([, label, text]) => [label, text?.replace('\\"', '"')]);
					return `${metric}${JSON.stringify(flat)} ${value}`;
				});
				t.deepEqual(written.sort(), expected.sort());
			},
		),
		1500,
	);
});

/** Reads `body` with what an earlier reading of it has left. */
function twice(body: string) {
	const memory = new SeriesMemory();
	parseMetrics(body, wanted, {}, memory);
	return parseMetrics(body, wanted, {}, memory);
}

test('what is remembered of other bodies changes nothing', (t) => {
	check(
		t,
		fc.property(fc.array(almost, { minLength: 1, maxLength: 5 }), fc.boolean(), (bodies, bounded) => {
			const memory = new SeriesMemory();
			for (const body of bodies) {
				const limits = bounded ? small : {};
				t.deepEqual(parseMetrics(body, wanted, limits, memory), parseMetrics(body, wanted, limits));
			}
		}),
		1000,
	);
	const series = fc.array(fc.tuple(fc.constantFrom('m', 'm_bucket'), fc.nat(6), fc.nat(9)), { maxLength: 12 });
	check(
		t,
		fc.property(fc.array(series, { minLength: 2, maxLength: 5 }), (bodies) => {
			const memory = new SeriesMemory();
			for (const lines of bodies) {
				const body = lines
					.map(([name, label, value]) => `${name}{a="${label}"} ${value === 9 ? 'x' : value}`)
					.join('\n');
				t.deepEqual(parseMetrics(body, wanted, {}, memory), parseMetrics(body, wanted));
			}
		}),
		1000,
	);
});

/** A body of whole families, each behind its comments, as exporters write them. */
const family = fc.record({
	name: fc.constantFrom('m', 'm_bucket', 'vllm:x', 'other', 'm_other', 'vllm:', 'z'),
	help: fc.constantFrom('', 'what it is', 'an # in it', 'é'),
	series: fc.array(fc.tuple(fc.constantFrom('', '{a="1"}', '{a="2"}', '{a="#"}', '{a="ä"}', '{a="\\n"}'), fc.nat(12)), {
		maxLength: 6,
	}),
});
const values = [
	'0',
	'7',
	'12.50',
	'1e3',
	'+Inf',
	'NaN',
	'x',
	'9007199254740993',
	'0.1',
	'123456789.125',
	'5.',
	'.5 1',
	'3 # {} 1',
];

function written(
	families: readonly { name: string; help: string; series: readonly (readonly [string, number])[] }[],
): string {
	const once = families.filter(({ name }, at) => families.findIndex((other) => other.name === name) === at);
	const lines = once.map(({ name, help, series }) =>
		[help === '' ? '' : `# HELP ${name} ${help}\n`, `# TYPE ${name} gauge\n`]
			.concat(series.map(([block, value]) => `${name}${block} ${values[value]}\n`))
			.join(''),
	);
	return lines.join('');
}

/** All but the numbers of lines: those of a group that is passed over are as many as they were. */
function told(found: ReturnType<typeof parseMetrics>) {
	const { byName, problems, problemCount, complete } = found;
	return { byName, problemCount, complete, problems: problems.map(({ kind, name }) => [kind, name]) };
}

test('groups that are passed over change nothing, whatever comes and goes', (t) => {
	check(
		t,
		fc.property(
			fc.array(fc.array(family, { maxLength: 6 }), { minLength: 2, maxLength: 4 }),
			fc.array(fc.nat(3), { minLength: 4, maxLength: 20 }),
			fc.array(fc.nat(), { maxLength: 3 }),
			(versions, order, cuts) => {
				const memory = new SeriesMemory(new LabelCache(8), { passes: true });
				const names = new WantedNames(wanted);
				for (const turn of order) {
					const bytes = Buffer.from(written(versions[turn % versions.length] ?? []));
					const parser = new MetricsParser(names, {}, memory);
					let from = 0;
					for (const cut of [...cuts.map((one) => one % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
						parser.push(bytes.subarray(from, cut));
						from = cut;
					}
					if (!isDeepStrictEqual(told(parser.end()), told(parseMetrics(bytes, names)))) return false;
				}
				return true;
			},
		),
		500,
	);
});

test('what comes to stand among the lines of another metric is found when a body is read in full', (t) => {
	const memory = new SeriesMemory(new LabelCache(), { passes: true });
	const names = new WantedNames(wanted);
	const body = (more: string): string => `# TYPE other gauge\nother 1\n${more}other 2\n# TYPE m gauge\nm 1\n# EOF\n`;
	const find = (more: string): boolean => parseMetrics(body(more), names, {}, memory).byName.has('vllm:x');
	for (let at = 0; at < 20; at++) t.false(find(''));
	let bodies = 1;
	while (!find('vllm:x 5\n')) bodies++;
	t.true(bodies > 1, 'groups are passed over');
	t.true(bodies <= 16, `${bodies}`);
	t.true(find('vllm:x 6\n'), 'and is not passed over from then on');
});

test('a body as it was costs no look at what nobody asks for', (t) => {
	const memory = new SeriesMemory(new LabelCache(), { passes: true });
	const names = new WantedNames(wanted);
	const body = (bad: string): string => `# TYPE other gauge\n${bad}\n# TYPE m gauge\nm 1\n# EOF\n`;
	t.is(parseMetrics(body('other 1'), names, {}, memory).problemCount, 0);
	t.is(parseMetrics(body('{}{}{}'), names, {}, memory).problemCount, 0);
	t.is(parseMetrics(body('{}{}{}'), names, {}).problemCount, 1);
});

test('plain decimal numbers are read as Number reads them', (t) => {
	const number = new PlainNumber();
	check(
		t,
		fc.property(fc.stringMatching(/^[0-9]{0,9}\.?[0-9]{0,9}$/), (text) => {
			const read = number.read(`x${text}\n`, 1);
			const digits = text.replace('.', '').length;
			t.is(read, digits > 0 && digits <= 15);
			if (read) t.deepEqual([number.value, number.end], [Number(text), 1 + text.length]);
		}),
		5000,
	);
});
