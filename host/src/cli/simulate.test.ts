// `infermesh simulate`, `simulate calibrate` and `strategy gate` as a user types them: what is printed, exit codes, and what bad input is told.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { generatedProject } from '../project/testing.js';
import type { GateReport } from '../simulator/gate/gate.js';
import { smallText } from '../simulator/grid/testing.js';
import type { SimulationReport } from '../simulator/report/document.js';
import { compileNative, leastQueueC, sandboxesOf } from '../strategy/native/testing.js';
import { type Ran, type RunOptions, run as runCommand } from './testing.js';

const SMALL = smallText('grid: { seeds: 1 }');
const files = { 'small.yaml': SMALL };

/** Not told to stop: these commands end by themselves. */
function run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
	return runCommand(argv, { signal: new AbortController().signal, files, ...options });
}

const simulate = ['simulate', '--scenario', 'small.yaml', '--strategies', 'baseline_rr', '--threads', '1'];

function inFolder(t: { teardown: (fn: () => void) => void }, name: string, content: string | Uint8Array): string {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-simulate-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	const file = path.join(folder, name);
	writeFileSync(file, content);
	return file;
}

test.serial('a table of strategies for people, one document for programs, a page for browsers', async (t) => {
	const text = await run(simulate);
	t.is(text.code, 0, text.err);
	t.regex(text.out, /^small: 2 engines, /);
	t.regex(text.out, /^strategy +TTFT mean +p50 +p99 +TPOT p99 +hit +goodput/m);
	t.regex(text.out, /^least_queue .* baseline$/m);
	t.regex(text.out, /^baseline_rr +\d.*%$/m);
	const written = new Map<string, string>();
	const json = await run([...simulate, '--json', '--html', 'out.html'], { written });
	const report = json.json as SimulationReport;
	t.like(report, { schema: 'infermesh.simulation/v1', baseline: 'least_queue', partial: false, passed: true });
	t.is(report.cells.length, 2);
	t.true(report.cells.every(({ outcome }) => outcome !== undefined && !('timelines' in outcome)));
	t.regex(written.get('out.html') ?? '', /^<!doctype html>[\s\S]*small[\s\S]*<\/html>\s$/);
});

test.serial('thresholds set the exit code', async (t) => {
	t.is((await run([...simulate, '--threshold', 'ttft.p99<1000s'])).code, 0);
	const failed = await run([...simulate, '--threshold', 'ttft.p99<1us']);
	t.is(failed.code, 1);
	t.regex(failed.out, /^FAIL {2}baseline_rr: ttft\.p99<1us {2}\(/m);
});

test.serial('--until finds a capacity', async (t) => {
	const { code, json } = await run([...simulate, '--until', 'ttft.mean<100ms', '--json']);
	t.is(code, 0);
	t.true((json as SimulationReport).capacities.every(({ speed }) => speed > 1));
});

test('the scenarios that ship are listed', async (t) => {
	const proxy = new Proxy<Record<string, string>>({}, { get: (_, file: string) => readFileSync(file, 'utf8') });
	const { code, json } = await run(['simulate', '--list', '--json'], { files: proxy });
	t.is(code, 0);
	const names = new Set((json as { items: { name: string }[] }).items.map(({ name }) => name));
	for (const name of ['conversation-70b', 'azure-chat-8b', 'universal-prefix', 'tie-break', 'flapping', 'default'])
		t.true(names.has(name), name);
});

for (const [what, argv, code, told] of [
	['an unknown scenario', ['--scenario', 'defautl'], 2, /IM_SIMULATION_SCENARIO_NOT_FOUND: .*did you mean `default`/],
	[
		'a scenario with an unknown key',
		['--scenario', 'bad.yaml'],
		3,
		/IM_SIMULATION_SCENARIO_INVALID: bad\.yaml:2:1: unknown key `flet`/,
	],
	[
		'an unknown strategy',
		['--scenario', 'small.yaml', '--strategies', 'hybrid_mash'],
		1,
		/IM_PROJECT_NOT_FOUND: .*did you mean `hybrid_mesh`/,
	],
	[
		'a condition that more load makes no worse',
		['--scenario', 'small.yaml', '--until', 'hit>=5%'],
		2,
		/IM_SIMULATE_UNTIL/,
	],
	[
		'a threshold of no metric',
		['--scenario', 'small.yaml', '--threshold', 'ttft.p98<1s'],
		2,
		/IM_THRESHOLD_METRIC: .*\n.*Did you mean ttft\.p9/,
	],
	['a trace that is not there', ['--scenario', 'small.yaml', '--trace', '/nowhere/trace.csv'], 1, /IM_TRACE_READ/],
	['loads that are no numbers', ['--loads', '1,fast'], 2, /IM_CLI_USAGE: .*It must be a number/],
	['an empty strategy', ['--scenario', 'small.yaml', '--strategies', 'a,,b'], 2, /IM_SIMULATE_OPTION/],
] as const) {
	test(`told and refused: ${what}`, async (t) => {
		const ran = await run(['simulate', ...argv], {
			files: { ...files, 'bad.yaml': 'name: x\nflet: []\nfleet: [{ id: a }]\n' },
		});
		t.is(ran.code, code, ran.err);
		t.is(ran.out, '');
		t.regex(ran.err, told);
	});
}

test.serial(
	'a trace is simulated; a clock that goes back and a prompt of nothing are refused with their place, or mended and told',
	async (t) => {
		const row = (at: number, tokens: number): string =>
			JSON.stringify({ timestamp: at, input_length: tokens, output_length: 3, hash_ids: [at] });
		const back = inFolder(t, 'back.jsonl', `${row(100, 50)}\n${row(700, 60)}\n${row(400, 70)}\n`);
		const refused = await run([...simulate, '--trace', back]);
		t.is(refused.code, 1);
		t.regex(refused.err, /IM_TRACE_DEFECT: back\.jsonl:3:2: the clock goes back by 300 ms/);
		const empty = inFolder(t, 'empty.jsonl', `${row(0, 50)}\n${row(9, 0)}\n`);
		t.regex(
			(await run([...simulate, '--trace', empty])).err,
			/IM_TRACE_DEFECT: empty\.jsonl:2:\d+: the prompt has no tokens/,
		);
		const mended = await run([...simulate, '--trace', back, '--mend', '--json']);
		const { workload } = mended.json as SimulationReport;
		t.like(workload, { name: 'back.jsonl', requests: 3 });
		t.deepEqual(workload.notes, ['1 rows stepped back in time and were moved to the row before']);
		t.regex(workload.digest, /^[0-9a-f]{64}$/);
	},
);

test('calibrate prints the error and YAML, or writes it', async (t) => {
	const rows = ['input_tokens,ttft_ms,context_tokens,batch,itl_ms'];
	for (let i = 1; i <= 30; i++)
		rows.push(`${i * 50},${20 + i * 3},${i * 900},${1 + (i % 7)},${8 + i * 0.05 + (i % 7) * 0.1}`);
	const measured = { 'm.csv': rows.join('\n') };
	const text = await run(['simulate', 'calibrate', 'm.csv'], { files: measured });
	t.is(text.code, 0, text.err);
	t.regex(text.out, /^prefill, held out +6 +0\.0/m);
	t.regex(text.out, /^latency:\n {2}kind: polynomial$/m);
	const written = new Map<string, string>();
	const json = await run(['simulate', 'calibrate', 'm.csv', '--kind', 'table', '--out', 'fit.yaml', '--json'], {
		files: measured,
		written,
	});
	t.like(json.json, { latency: { kind: 'table' } });
	t.regex(written.get('fit.yaml') ?? '', /kind: table/);
	const bad = await run(['simulate', 'calibrate', 'm.csv'], { files: { 'm.csv': 'input_tokens,ttft_ms\n5,soon\n' } });
	t.is(bad.code, 1);
	t.regex(bad.err, /IM_CALIBRATE_INPUT: m\.csv:2:3: /);
});

/** Ten replications and no search: quick. */
const GATE = smallText('grid: { seeds: 10 }');
const gate = (what: string, ...more: string[]): Promise<Ran> =>
	run(['strategy', 'gate', what, '--scenario', 'gate.yaml', '--threads', '1', '--json', ...more], {
		files: { 'gate.yaml': GATE },
	});

function passedAll(t: ExecutionContext, code: number, report: GateReport, err: string): void {
	t.is(code, 0, err + JSON.stringify(report.checks));
	t.deepEqual(
		report.checks.map(({ check, verdict }) => [check, verdict]),
		['admission', 'conformance', 'golden', 'determinism', 'faults', 'simulation'].map((check) => [check, 'pass']),
	);
	t.is(report.simulation?.comparisons[0]?.replications, 10);
}

test.serial('a strategy passes the gate with everything that was checked', async (t) => {
	const { code, json, err } = await gate('least_request');
	const report = json as GateReport;
	passedAll(t, code, report, err);
	t.regex(report.strategy.digest, /^[0-9a-f]{64}$/);
	t.is(report.simulation?.strategies[1]?.digest, report.strategy.digest);
	t.regex(report.trace?.digest ?? '', /^[0-9a-f]{64}$/);
	t.deepEqual(report.seeds, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test.serial('and fails with the reasons: a margin out of reach, too few replications', async (t) => {
	const { code, json } = await gate('least_request', '--margin', '50', '--seeds', '2');
	t.is(code, 1);
	const { passed, checks } = json as GateReport;
	t.false(passed);
	const reasons = checks.find(({ check }) => check === 'simulation')?.reasons ?? [];
	t.true(
		reasons.some((reason) => reason.startsWith('margin ')),
		String(reasons),
	);
	t.true(
		reasons.some((reason) => reason.startsWith('2 replications')),
		String(reasons),
	);
});

test.serial('a strategy is not worse than itself', async (t) => {
	const { code, json } = await gate('least_queue');
	t.is(code, 0);
	t.like((json as GateReport).simulation?.comparisons[0], { wins: 0, ties: 10, losses: 0, margin: 0, ttftRatio: 1 });
});

const hostileC = leastQueueC.replace(
	'\tconst uint32_t rows',
	'\tif (im_request_in(frame)->tokens_in > 0) *(volatile int *)8 = 1;\n\tconst uint32_t rows',
);

test.serial('a native library goes through the gate as a module does', async (t) => {
	const { code, json, err } = await gate(generatedProject(t, 'strategy-c'));
	const report = json as GateReport;
	passedAll(t, code, report, err);
	t.like(report.simulation?.means[1], { fuelMean: null, fuelMax: null }, 'nothing of it is metered');
	t.deepEqual(sandboxesOf(process.pid), [], 'no sandbox is left');
});

test.serial('and is stopped there when it crashes, with what it did', async (t) => {
	const file = inFolder(t, 'hostile.so', await compileNative(hostileC));
	const { code, json } = await gate(file);
	t.is(code, 1);
	const { passed, checks, simulation } = json as GateReport;
	t.false(passed);
	t.is(simulation, null);
	// Each frame of admission takes another sandbox: on a busy machine its own limit of time may come first.
	t.regex(checks.flatMap(({ reasons }) => reasons).join('\n'), /SIGSEGV|IM_ADMISSION_TIMEOUT/);
	t.deepEqual(sandboxesOf(process.pid), []);
});

test('a module that admission refuses fails, and is not simulated', async (t) => {
	const file = inFolder(t, 'broken.wasm', '\0asm\x01\0\0\0');
	const { code, json } = await gate(file);
	t.is(code, 1);
	const report = json as GateReport;
	t.is(report.simulation, null);
	t.is(report.checks[0]?.verdict, 'fail');
	t.true((report.checks[0]?.reasons.length ?? 0) > 0);
});
