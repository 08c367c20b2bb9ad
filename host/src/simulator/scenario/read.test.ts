// Scenario files: what ships is valid, defaults are filled in, and every mistake is told with line, column and what was meant.
import { readFileSync } from 'node:fs';
import test from 'ava';
import { isMeshError } from '../../load/testing.js';
import { readScenario } from './read.js';
import { openScenario, shippedScenarios } from './shipped.js';

const read = (text: string, files: Readonly<Record<string, string>> = {}) =>
	readScenario(text, {
		file: '/s/test.yaml',
		readText: (file) => {
			const found = files[file];
			if (found === undefined) throw new Error(`ENOENT: ${file}`);
			return found;
		},
	});

const MINIMAL = 'name: small\nfleet:\n  - id: gpu\n    count: 2\n';

/** The message of a refusal, its first place in front. */
function refusal(text: string, files: Readonly<Record<string, string>> = {}): string {
	try {
		read(text, files);
	} catch (error) {
		if (isMeshError(error, 'IM_SIMULATION_SCENARIO_INVALID') || isMeshError(error, 'IM_SIMULATION_SCENARIO_SYNTAX'))
			return `${error.where}: ${error.message}`;
		throw error;
	}
	return 'accepted';
}

for (const name of shippedScenarios()) {
	test(`the scenario ${name} that ships is valid and called by its name`, (t) => {
		const scenario = openScenario(name, (file) => readFileSync(file, 'utf8'));
		t.is(scenario.name, name);
		t.true(scenario.description.length > 20);
	});
}

test('what is left out has its default, in the names of the simulator', (t) => {
	const scenario = read(MINIMAL);
	t.like(scenario.fleet[0], {
		id: 'gpu',
		count: 2,
		blockTokens: 16,
		stepTokensMax: 2048,
		latency: { kind: 'roofline' },
	});
	t.false('kvTokens' in (scenario.fleet[0] ?? {}), 'the profile decides');
	t.like(scenario.signals, { delayMs: 50, prefix: 'events' });
	t.like(scenario.network, { transferBytesPerSecond: 25e9 });
	t.deepEqual(scenario.grid.loads.values, [1]);
	t.is(scenario.slo.ttftMs, 5000);
});

test('names that the author chose stay as they are; a variant holds only what it changes', (t) => {
	const scenario = read(
		`${MINIMAL}grid:\n  variants:\n    very_stale: { signals: { delay_ms: 900 } }\n  faults:\n    one_slow: [{ kind: slow, factor: 2 }]\n`,
	);
	t.deepEqual(scenario.grid.variants, { very_stale: { signals: { delayMs: 900 } } });
	t.deepEqual(scenario.grid.faults, { one_slow: [{ kind: 'slow', target: '*', fromMs: 0, factor: 2 }] });
});

test('traces and strategies are named from the folder of the file', (t) => {
	const { workload, grid } = read(
		`${MINIMAL}workload: { trace: traces/a.csv }\ngrid: { strategies: [{ name: hybrid_mesh }, { name: ../mine }, { name: a.wasm, label: a }] }\n`,
	);
	t.is(workload.trace, '/s/traces/a.csv');
	t.deepEqual(
		grid.strategies.map(({ name, label }) => [name, label]),
		[
			['hybrid_mesh', undefined],
			['/mine', '../mine'],
			['/s/a.wasm', 'a'],
		],
	);
});

for (const [what, text, told] of [
	[
		'an unknown key',
		`${MINIMAL}signals:\n  delay_m: 5\n`,
		'/s/test.yaml:6:3: unknown key `delay_m`; did you mean `delay_ms`?',
	],
	['a missing key', 'name: x\n', '/s/test.yaml:1:1: the file lacks `fleet`'],
	[
		'a value out of range',
		`${MINIMAL}router: { hedge_budget: 3 }\n`,
		'/s/test.yaml:5:25: `router.hedge_budget` must be <= 1',
	],
	[
		'a word that is none of the choices',
		`${MINIMAL}signals: { prefix: orcale }\n`,
		'/s/test.yaml:5:20: `signals.prefix` cannot be `orcale`; did you mean `oracle`?',
	],
	[
		'an unknown profile',
		`${MINIMAL}    profile: h100-8c\n`,
		'/s/test.yaml:5:14: `fleet.0.profile`: there is no engine profile `h100-8c`; did you mean `h100-8b`?',
	],
	[
		'a fault of no target',
		`${MINIMAL}faults:\n  - { kind: lost, target: gpu9 }\n`,
		'/s/test.yaml:6:27: `faults.0.target`: there is no target `gpu9`; did you mean `gpu0`?',
	],
	[
		'a fault that ends first',
		`${MINIMAL}faults:\n  - { kind: lost, from_ms: 9, to_ms: 3 }\n`,
		'/s/test.yaml:6:38: `faults.0.to_ms`: ends before it begins',
	],
	[
		'an unknown key in a variant',
		`${MINIMAL}grid:\n  variants:\n    a: { signal: { delay_ms: 1 } }\n`,
		'/s/test.yaml:7:10: unknown key `signal`; did you mean `signals`?',
	],
	[
		'a search that more load makes no worse',
		`${MINIMAL}grid:\n  loads: { of: capacity, until: 'goodput<5%' }\n`,
		'/s/test.yaml:6:33: `grid.loads.until`: more load moves goodput down: write > or >=',
	],
	[
		'a polynomial of two coefficients',
		`${MINIMAL}    latency: { kind: polynomial, prefill: [1, 2], decode: [1, 2, 3] }\n`,
		'/s/test.yaml:5:43: `fleet.0.latency.prefill` must be three numbers from 0: [a, b, c]',
	],
	['a seed named twice', `${MINIMAL}grid:\n  seeds: [1, 1]\n`, '/s/test.yaml:6:10: `grid.seeds`: names a seed twice'],
] as const) {
	test(`refused with its place: ${what}`, (t) => t.is(refusal(text), told));
}

test('text that is no YAML is refused with its place', (t) => {
	t.regex(refusal('name: x\nfleet: [\n'), /^\/s\/test\.yaml:\d+:\d+: /);
});

test('all mistakes are told at once', (t) => {
	const told = refusal('name: 5\nfleet: []\nsped: 2\n');
	t.is(told.split('\n').length, 3, told);
});

test('a latency in a file of its own is read from beside the scenario, and its mistakes are told with both places', (t) => {
	const text = `${MINIMAL}    latency: { file: fit.yaml }\n`;
	const good =
		'latency:\n  kind: table\n  prefill: { tokens: [0, 10], us: [5, 6] }\n  decode: { context_tokens: [1], batch: [1, 2], us: [[3, 4]] }\n';
	t.deepEqual(read(text, { '/s/fit.yaml': good }).fleet[0]?.latency, {
		kind: 'table',
		prefill: { tokens: [0, 10], us: [5, 6] },
		decode: { contextTokens: [1], batch: [1, 2], us: [[3, 4]] },
	});
	t.is(
		refusal(text, { '/s/fit.yaml': good.replace('[0, 10]', '[10, 0]') }),
		'/s/test.yaml:5:22: `fleet.0.latency.file` fit.yaml:3:12: must have `tokens`: numbers from 0, rising',
	);
	t.regex(refusal(text), /`fleet\.0\.latency\.file` cannot be read: ENOENT/);
});

test('a scenario that does not exist is told with the nearest that ships', (t) => {
	const error = t.throws(() =>
		openScenario('flaping', () => {
			throw new Error('ENOENT');
		}),
	);
	t.true(isMeshError(error, 'IM_SIMULATION_SCENARIO_NOT_FOUND'));
	t.regex(error?.message ?? '', /did you mean `flapping`/);
});
