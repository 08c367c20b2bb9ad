import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { templates } from 'create-infermesh-strategy';
import { systemClock } from '../main/clock.js';
import { benchProject, renderBench } from './bench-project.js';
import { buildProject, renderBuild } from './build-project.js';
import { checkProject, renderCheck } from './check-project.js';
import { renderRun, runOnce } from './run-once.js';
import { renderTests, testProject } from './test-project.js';
import { generatedProject, temporaryDir } from './testing.js';

async function refusal(run: () => Promise<unknown>): Promise<MeshError> {
	try {
		await run();
	} catch (error) {
		if (error instanceof MeshError) return error;
		throw error;
	}
	throw new Error('nothing was refused');
}

/** Rust comes from Debian: its template is built in the external tests. */
const buildable = templates.filter(({ sdk }) => sdk !== 'rust');

for (const { name: template, sdk } of buildable) {
	test(`${template}: a fresh project builds, passes its own tests, is admitted and decides its example`, async (t) => {
		const dir = generatedProject(t, template);
		const built = await buildProject(dir, systemClock);
		t.true(existsSync(path.join(dir, 'build', sdk === 'c' ? 'under_test.so' : 'under_test.wasm')));
		t.regex(renderBuild(built), /^under_test@0\.1\.0: /);

		const tests = await testProject(dir);
		t.true(tests.ok, renderTests(tests));
		t.true(tests.passed >= 1);

		const report = await checkProject(dir, systemClock, {
			inspect: { calibration: { sizes: [16, 128], decisions: 40, seed: 1 } },
		});
		t.true(report.admitted, renderCheck(report));
		t.deepEqual(
			report.sizes.map((size) => size.targets),
			[16, 128],
		);

		const run = await runOnce(dir);
		t.is(run.decision.cause, 'none', renderRun(run));
		t.false(
			run.decision.ranked.some((row) => row.target === 'gpu-3'),
			'a draining target is never ranked',
		);
	});
}

test('test: a failed expectation is told with its place, the expected, the actual and the ranking', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	writeFileSync(
		path.join(dir, 'test', 'wrong.scenario.yaml'),
		"name: wrong on purpose\ntargets: [{ id: a, load: 1 }, { id: b, load: 2 }]\nrequests:\n  - expect: { first: b, fuel: '<10', share: {} }\n    repeat: 3\n",
	);
	const report = await testProject(dir);
	t.false(report.ok);
	t.is(report.failed, 1);
	const text = renderTests(report);
	t.regex(text, /wrong\.scenario\.yaml:4:22 {2}request 1: first, 3 of 3 repetitions/);
	t.regex(text, /- expected {2}b\n +\+ actual {4}a\n/);
	t.regex(text, /- expected {2}<10\n/);
	t.regex(text, /#1 a {2}score 1/);
	t.regex(text, /1 passed, 1 failed\n$/);
	t.is((await testProject(dir, { only: 'prefers' })).passed, 1);
});

test('test: mistakes in scenario files count as failed and name their place', async (t) => {
	const dir = generatedProject(t, 'strategy-as');
	writeFileSync(
		path.join(dir, 'test', 'a.scenario.yaml'),
		'name: n\ntargets: [{ id: a }]\nrequests: [{ expct: { first: a } }]\n',
	);
	writeFileSync(
		path.join(dir, 'test', 'b.scenario.yaml'),
		'name: n\ntargets: [{ id: a }]\nconfig: { queue_wieght: 1 }\nrequests: [{}]\n',
	);
	const report = await testProject(dir);
	t.is(report.broken.length, 2);
	t.regex(renderTests(report), /a\.scenario\.yaml:3:14: unknown key `expct`; did you mean `expect`\?/);
	t.regex(renderTests(report), /b\.scenario\.yaml:3:11: strategy\.yaml declares no configuration `queue_wieght`/);
});

test('test: the cause of a fault is shown with the source line of the trap', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	const entry = path.join(dir, 'assembly', 'index.ts');
	const source = readFileSync(entry, 'utf8');
	writeFileSync(entry, source.replace('const cost = scratch(0);', 'const cost = scratch(<i32>load<u32>(0xfffffff0));'));
	const report = await testProject(dir);
	t.false(report.ok);
	const failure = report.scenarios[0]?.failures[0];
	t.is(failure?.key, 'cause');
	t.is(failure?.actual, 'trap');
	t.regex(failure?.trap ?? '', /assembly\/index\.ts:10:\d+ in /, renderTests(report));
});

test('test: a strategy that never ends costs fuel and is named so', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	const entry = path.join(dir, 'assembly', 'index.ts');
	writeFileSync(
		entry,
		readFileSync(entry, 'utf8').replace(
			'begin(frame);',
			'begin(frame);\n\tfor (let i: u32 = 0; ; i++) store<u32>(frame + 1024, i);',
		),
	);
	const report = await testProject(dir);
	t.is(report.scenarios[0]?.failures[0]?.actual, 'fuel', renderTests(report));
});

test('test: time passes, telemetry ages, tick publishes state, retries mask rows, and the log is shown', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	writeFileSync(
		path.join(dir, 'strategy.yaml'),
		'name: under_test\nversion: 0.1.0\nhooks: [rank, tick]\ncolumns: [telemetry_at_ms, inflight]\nstate_bytes: 64\nlog_bytes: 256\n',
	);
	writeFileSync(
		path.join(dir, 'assembly', 'index.ts'),
		`import { begin, logLine, logText, putStateF32, rankLowest, request, rowCount, scratch, stateF32, Status } from 'infermesh';
import { columns } from './manifest';
export { init } from 'infermesh';
export function rank(frame: usize): i32 {
	begin(frame);
	logText('asked');
	logLine();
	const cost = scratch(0);
	for (let row = 0; row < rowCount(); row++) cost[row] = <f32>columns.telemetry_at_ms.ageMs(row) + stateF32(0) + columns.inflight[row];
	return rankLowest(cost);
}
export function tick(frame: usize): i32 {
	begin(frame);
	putStateF32(0, stateF32(0) + <f32>request().now_ms / 1000);
	return Status.ok;
}
`,
	);
	writeFileSync(
		path.join(dir, 'test', 'time.scenario.yaml'),
		`name: time
targets: [{ id: fresh }, { id: stale, telemetry_age_ms: 250 }]
requests:
  - expect: { order: [fresh, stale], score: 0, score_margin: 250 }
  - { after_ms: 100, expect: { first: fresh, score: 100 } }
  - { tick: true, expect: { first: fresh, score: 1100.1 } }
  - { exclude: [fresh], dispatch: true, repeat: 2, expect: { first: stale, count: 1, score: '1350..1352' } }
  - { outcomes: [{ target: fresh }], expect: { first: fresh } }
`,
	);
	const report = await testProject(dir, { only: 'time' });
	const [scenario] = report.scenarios;
	t.deepEqual(
		scenario?.failures.map(
			(failure) => `${failure.where.split(':').slice(1).join(':')} ${failure.key}: ${failure.actual}`,
		),
		['8:17 outcomes: the strategy exports no `observe`'],
		renderTests(report),
	);
	t.is(scenario?.log[0], 'asked');
	t.regex(renderTests(report), /log {2}asked/);
});

test('check: a refused module is a report with the hint', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	const entry = path.join(dir, 'assembly', 'index.ts');
	writeFileSync(
		entry,
		readFileSync(entry, 'utf8').replace(
			'return rankLowest(cost);',
			'rankLowest(cost);\n\tstore<u32>(0, 7, 0);\n\treturn 3;',
		),
	);
	const report = await checkProject(dir, systemClock);
	t.false(report.admitted);
	t.regex(renderCheck(report), /^under_test@0\.1\.0: refused\n {2}IM_ADMISSION_CONFORMANCE: /);
});

test('run: JSON inputs, with the ranking, factors and fuel', async (t) => {
	const dir = generatedProject(t, 'strategy-as');
	const fleetFile = path.join(dir, 'fleet.json');
	const requestFile = path.join(dir, 'request.json');
	writeFileSync(fleetFile, '[{ "id": "x", "load": 9, "prefill_rate": 1000 }, { "id": "y", "prefill_rate": 1000 }]');
	writeFileSync(requestFile, '{ "tokens_in": 100 }');
	const report = await runOnce(dir, { fleetFile, requestFile });
	t.deepEqual(
		report.decision.ranked.map((row) => row.target),
		['y', 'x'],
	);
	t.is(report.decision.ranked[0]?.factors['work_ms'], 100);
	const { fuelBudget, decision } = report;
	t.true(decision.fuel !== null && fuelBudget !== null && decision.fuel > 0 && decision.fuel < fuelBudget);
	t.regex(renderRun(report), /under_test@0\.1\.0: route\n/);
	t.regex(renderRun(report), /1 +y +100 +100 /);
});

test('run: mistakes in the inputs name their place', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	const fleetFile = path.join(dir, 'fleet.json');
	writeFileSync(fleetFile, '[\n  { "id": "x", "lod": 9 }\n]');
	const fleet = await refusal(() => runOnce(dir, { fleetFile }));
	t.is(fleet.code, 'IM_RUN_INPUT_INVALID');
	t.regex(fleet.format(), /fleet\.json:2:16: unknown key `lod`; did you mean `load`\?/);
	const requestFile = path.join(dir, 'request.json');
	writeFileSync(requestFile, '{ "hits": [{ "target": "nobody", "tokens": 1 }] }');
	t.regex(
		(await refusal(() => runOnce(dir, { requestFile }))).format(),
		/request\.json:1:24: there is no target `nobody`/,
	);
	writeFileSync(requestFile, '{ "tokens_in": ');
	t.is((await refusal(() => runOnce(dir, { requestFile }))).code, 'IM_RUN_INPUT_INVALID');
	t.is((await refusal(() => runOnce(dir, { requestFile: path.join(dir, 'none.json') }))).code, 'IM_PROJECT_UNREADABLE');
});

test('a native library is not metered: test, run and bench say so, and a threshold on its fuel does not hold', async (t) => {
	const dir = generatedProject(t, 'strategy-c');
	const tests = await testProject(dir);
	t.true(tests.scenarios.length > 0 && tests.scenarios.every(({ fuelMax }) => fuelMax === null));
	t.regex(renderTests(tests), /^ok .* \(\d+ decisions, not metered\)$/m);
	const run = await runOnce(dir);
	t.like(run, { fuelBudget: null, decision: { fuel: null } });
	t.regex(renderRun(run), /targets eligible; not metered$/m);
	const measure = { warmupDecisions: 20, decisionsMax: 50, durationMsMax: 200 };
	const report = await benchProject(dir, systemClock, { targets: [16], thresholds: ['fuel<=10', 'p50<10s'], measure });
	t.like(report.sizes[0], { fuelP50: null, fuelMax: null, fuelBudget: null });
	t.deepEqual(
		report.thresholds.map(({ passed, actual }) => [passed, actual !== null]),
		[
			[false, false],
			[true, true],
		],
	);
	const text = renderBench(report);
	t.regex(text, /on this machine; not metered$/m);
	t.regex(text, /FAIL {2}fuel<=10 {2}\(not metered\)/);
	t.notRegex(text, /fuel p50/);
	const only = "name: asks for fuel\ntargets: [{ id: a, load: 1 }]\nrequests:\n  - expect: { fuel: '<10' }\n";
	writeFileSync(path.join(dir, 'test/fuel.scenario.yaml'), only);
	const asked = await testProject(dir, { only: 'asks for fuel' });
	t.is(asked.scenarios[0]?.failures[0]?.actual, 'not metered', renderTests(asked));
});

test('bench: sizes, exact fuel and thresholds', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	const measure = { warmupDecisions: 50, decisionsMax: 200, durationMsMax: 200 };
	const options = { targets: [16, 64], thresholds: ['p99@64<10s', 'fuel@16<=10'], measure, profile: true };
	const report = await benchProject(dir, systemClock, options);
	t.deepEqual(
		report.thresholds.map((verdict) => verdict.passed),
		[true, false],
	);
	t.false(report.ok);
	t.regex(renderBench(report), /FAIL {2}fuel@16<=10/);
	const profile = report.profile;
	t.is(profile?.targets, 64);
	t.true(
		profile?.lines.some((line) => line.source?.endsWith('infermesh/ranking.ts') === true),
		renderBench(report),
	);
	t.true(
		Math.abs((profile?.fuel ?? 0) / (profile?.decisions ?? 1) - (report.sizes[1]?.fuelP50 ?? 0)) < 500,
		'the profile accounts for all fuel',
	);
	const again = await benchProject(dir, systemClock, options);
	t.deepEqual(
		again.sizes.map((size) => [size.fuelP50, size.fuelMax]),
		report.sizes.map((size) => [size.fuelP50, size.fuelMax]),
		'fuel is exact',
	);
});

test('bench: options that make no sense are refused before anything is built', async (t) => {
	const nowhere = path.join(temporaryDir(t), 'nowhere');
	t.is((await refusal(() => benchProject(nowhere, systemClock, { targets: [0] }))).code, 'IM_BENCH_OPTION_INVALID');
	t.is(
		(await refusal(() => benchProject(nowhere, systemClock, { thresholds: ['p99@77<5us'] }))).code,
		'IM_BENCH_OPTION_INVALID',
	);
	t.is(
		(await refusal(() => benchProject(nowhere, systemClock, { thresholds: ['p98<5us'] }))).code,
		'IM_THRESHOLD_METRIC',
	);
	t.is((await refusal(() => benchProject(nowhere, systemClock, { thresholds: ['p99<'] }))).code, 'IM_THRESHOLD_SYNTAX');
});

test('what is no strategy is refused by name, without a stack trace', async (t) => {
	const dir = temporaryDir(t);
	const file = (name: string, contents: string | Uint8Array): string => {
		writeFileSync(path.join(dir, name), contents);
		return path.join(dir, name);
	};
	const empty = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
	const cases: [string, string][] = [
		[dir, 'IM_MANIFEST_NOT_FOUND'],
		[path.join(dir, 'nowhere'), 'IM_PROJECT_NOT_FOUND'],
		['hybrid_mash', 'IM_PROJECT_NOT_FOUND'],
		[file('notes.txt', 'hello'), 'IM_MANIFEST_NOT_WASM'],
		[file('other.wasm', empty), 'IM_MANIFEST_MISSING'],
		[file('cut.wasm', Uint8Array.from([...empty, 0, 0xff, 0xff])), 'IM_MANIFEST_CORRUPT'],
	];
	for (const [where, code] of cases) {
		const error = await refusal(() => runOnce(where));
		t.true(error.code === code, `${where}: ${error.code}`);
		t.notRegex(error.format(), /\n\s+at /);
	}
});

test('a broken source is refused with its line, a project without scenarios by name', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	rmSync(path.join(dir, 'test'), { recursive: true });
	t.is((await refusal(() => testProject(dir))).code, 'IM_SCENARIO_NONE');
	writeFileSync(
		path.join(dir, 'assembly', 'index.ts'),
		'export function rank(frame: usize): i32 {\n\treturn nonsense;\n}\n',
	);
	const error = await refusal(() => testProject(dir));
	t.is(error.code, 'IM_BUILD_COMPILE');
	t.regex(error.format(), /assembly\/index\.ts:2:9: /);
});

test('a built module can be tested and run without its project folder', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	await buildProject(dir, systemClock);
	const wasm = path.join(dir, 'build', 'under_test.wasm');
	const run = await runOnce(wasm, {
		fleetFile: path.join(dir, 'examples', 'fleet.json'),
		requestFile: path.join(dir, 'examples', 'request.json'),
	});
	t.is(run.decision.ranked[0]?.target, 'gpu-1');
	t.is((await refusal(() => testProject(wasm))).code, 'IM_SCENARIO_NONE');
	t.true(
		(await checkProject(wasm, systemClock, { inspect: { calibration: { sizes: [16], decisions: 10, seed: 1 } } }))
			.admitted,
	);
});
