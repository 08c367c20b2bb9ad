import test from 'ava';
import * as fc from 'fast-check';
import { parseScenario, type ScenarioResult } from './parse.js';

const sound = `name: prefers the emptier target
defaults: { prefill_rate: 8000 }
targets:
  - { id: a, queue_depth: 4, load: 6, zone: here }
  - { id: b, queue_depth: 0, load: 1 }
  - { id: c, state: draining }
config: { wait_weight: 1.0 }
requests:
  - { tokens_in: 512, tokens_out: 128, hits: [{ target: a, tokens: 512 }], seed: 7,
      expect: { first: b, not: [c], order: [b, a], fuel: '<5000', verdict: route, score_margin: '>0' } }
  - { repeat: 100, expect: { share: { a: '40%..60%', b: '40%..60%' } } }
`;

function problems(text: string): string[] {
	const result: ScenarioResult = parseScenario('x.scenario.yaml', text);
	return result.ok ? [] : result.problems.map((problem) => `${problem.where} ${problem.message}`);
}

test('the format of the handbook parses', (t) => {
	const result = parseScenario('x.scenario.yaml', sound);
	t.deepEqual(problems(sound), []);
	t.deepEqual(result.ok ? result.scenario.ids : [], ['a', 'b', 'c']);
	t.is(result.ok ? result.scenario.spec.requests.length : 0, 2);
});

test('`count` writes targets out', (t) => {
	const result = parseScenario(
		'x',
		'name: n\ntargets: [{ id: t, count: 3 }, { id: last }]\nrequests: [{ expect: { first: t2 } }]\n',
	);
	t.true(result.ok);
	if (result.ok) t.deepEqual(result.scenario.ids, ['t0', 't1', 't2', 'last']);
});

const mistakes: [title: string, text: string, expected: string][] = [
	[
		'an unknown key of a target',
		sound.replace('queue_depth: 4', 'queue_dept: 4'),
		'x.scenario.yaml:4:14 unknown key `queue_dept`; did you mean `queue_depth`?',
	],
	[
		'an unknown key at the top',
		sound.replace('config:', 'confg:'),
		'x.scenario.yaml:7:1 unknown key `confg`; did you mean `config`?',
	],
	[
		'an unknown key of an expectation',
		sound.replace('first: b', 'fist: b'),
		'x.scenario.yaml:10:17 unknown key `fist`; did you mean `first`?',
	],
	[
		'an unknown state',
		sound.replace('state: draining', 'state: drainin'),
		'x.scenario.yaml:6:21 `targets.2.state` cannot be `drainin`; did you mean `draining`?',
	],
	[
		'text where a number belongs',
		sound.replace('load: 1', 'load: low'),
		'x.scenario.yaml:5:36 `targets.1.load` must be a number, and is text (`low`)',
	],
	[
		'a target that is not there',
		sound.replace('first: b', 'first: bb'),
		'x.scenario.yaml:10:24 there is no target `bb`; did you mean `b`?',
	],
	[
		'a hit on a target that is not there',
		sound.replace('target: a', 'target: z9'),
		'x.scenario.yaml:9:57 there is no target `z9`',
	],
	[
		'a comparison that is none',
		sound.replace("'<5000'", "'<many'"),
		'x.scenario.yaml:10:58 `<many` is not a number, a comparison like `<5000`, or a range like `40%..60%`',
	],
	[
		'a share without repetition',
		sound.replace('repeat: 100, ', ''),
		'x.scenario.yaml:11:17 `share` needs `repeat` above 1',
	],
	[
		'a share of a target that is not there',
		sound.replace("share: { a: '40%", "share: { d: '40%"),
		'x.scenario.yaml:11:39 there is no target `d`',
	],
	[
		'a target that is there twice',
		sound.replace('id: b', 'id: a'),
		'x.scenario.yaml:5:11 the target `a` is there twice',
	],
	[
		'no targets',
		'name: n\ntargets: []\nrequests: [{}]\n',
		'x.scenario.yaml:2:10 `targets` must NOT have fewer than 1 items',
	],
	['no name', 'targets: [{ id: a }]\nrequests: [{}]\n', 'x.scenario.yaml:1:1 the file lacks `name`'],
];

for (const [title, text, expected] of mistakes) {
	test(`named with its place: ${title}`, (t) => {
		const found = problems(text);
		t.true(
			found.some((problem) => problem.startsWith(expected)),
			`expected ${expected}\nfound ${found.join('\n') || 'nothing'}`,
		);
	});
}

test('broken YAML is named with its place', (t) => {
	const result = parseScenario('x.scenario.yaml', 'name: n\ntargets:\n  - { id: a\n');
	t.false(result.ok);
	if (!result.ok) {
		t.true(result.syntax);
		t.regex(result.problems[0]?.where ?? '', /^x\.scenario\.yaml:\d+:\d+$/);
	}
});

test('aliases cannot blow a small file up', (t) => {
	const lines = ['name: n', 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
	for (let i = 1; i <= 9; i++)
		lines.push(`a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]`);
	t.true(problems(lines.join('\n')).length > 0);
});

test('no text makes the parser throw', (t) => {
	const piece = fc.constantFrom(
		'name: n\n',
		'targets:\n',
		'- ',
		'{ id: a }',
		'requests: ',
		'[',
		']',
		'*a',
		'&a',
		': ',
		'"',
		'\n',
		'!!js',
		'? ',
		'%',
	);
	fc.assert(
		fc.property(
			fc.oneof(
				fc.string({ maxLength: 80 }),
				fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
			),
			(text) => {
				t.is(typeof parseScenario('x', text).ok, 'boolean');
			},
		),
		{ seed: 20_263 },
	);
});
