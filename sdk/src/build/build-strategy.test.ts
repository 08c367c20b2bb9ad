import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import { readManifest } from '../manifest/section.js';
import { createKit } from '../testkit/kit.js';
import type { Diagnostic } from './asc.js';
import { buildStrategy, sdkSourceDir } from './build-strategy.js';

const yaml = `name: probe
version: 1.0.0
columns: [queue_depth, telemetry_at_ms]
config:
  - { name: wait_weight, type: f32, default: 2, min: 0, unit: ms }
  - { name: strict, type: bool, default: true }
factors: [wait]
`;

const entry = `import { begin, rankLowest, rowCount, scratch } from 'infermesh';
import { columns, config } from './manifest';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	const queue = columns.queue_depth;
	const cost = scratch(0);
	for (let row = 0; row < rowCount(); row++) cost[row] = queue[row] * config.wait_weight;
	return rankLowest(cost);
}
`;

function project(t: ExecutionContext, source: string | undefined = entry, manifest: string = yaml): string {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-build-'));
	t.teardown(() => rmSync(dir, { recursive: true }));
	mkdirSync(path.join(dir, 'assembly'));
	writeFileSync(path.join(dir, 'strategy.yaml'), manifest);
	if (source !== undefined) writeFileSync(path.join(dir, 'assembly/index.ts'), source);
	return dir;
}

async function refusal(t: ExecutionContext, source: string, manifest?: string): Promise<MeshError> {
	const dir = project(t, source, manifest);
	const error = await t.throwsAsync(buildStrategy(dir), { instanceOf: MeshError });
	t.false(existsSync(path.join(dir, 'build')), 'a refused build leaves no module');
	return error;
}

/** `assembly/index.ts:LINE:COLUMN` of an error in a project. */
function placeOf(error: MeshError): string {
	return (error.where ?? '').replace(/^.*(?=assembly\/)/, '');
}

test.serial('a first strategy of a few lines builds, carries its manifest and ranks', async (t) => {
	const dir = project(t);
	const built = await buildStrategy(dir);
	t.is(built.outFile, path.join(dir, 'build/probe.wasm'));
	const wasm = new Uint8Array(readFileSync(path.join(dir, 'build/probe.wasm')));
	t.deepEqual(wasm, built.wasm);
	t.deepEqual(readManifest(wasm), built.manifest);
	const module = new WebAssembly.Module(wasm);
	t.deepEqual(WebAssembly.Module.imports(module), [{ module: 'env', name: 'memory', kind: 'memory' }]);
	const exports = WebAssembly.Module.exports(module).map((item) => item.name);
	t.deepEqual(exports.sort(), ['__heap_base', 'init', 'rank']);
	const kit = createKit(wasm, { rows: [{ queue_depth: 3 }, { queue_depth: 1 }, { queue_depth: 2 }] });
	const answer = kit.rank();
	t.deepEqual(answer.rows, [1, 2, 0]);
	t.deepEqual(answer.scores, [2, 4, 6]);
	const tuned = createKit(wasm, { rows: 2, config: { wait_weight: 0.5 } });
	tuned.set(0, { queue_depth: 8 });
	t.deepEqual(tuned.rank().scores, [0, 4]);
});

test.serial('the source map names the author’s file and carries its text', async (t) => {
	const built = await buildStrategy(project(t), { dryRun: true });
	const map = JSON.parse(built.sourceMap) as { sources: string[]; sourcesContent: string[] };
	t.is(map.sourcesContent[map.sources.indexOf('assembly/index.ts')], entry);
	t.is(built.outFile, undefined);
});

test.serial('accessors are generated from the manifest, typed and documented', async (t) => {
	const dir = project(t);
	await buildStrategy(dir, { outFile: path.join(dir, 'out/other.wasm') });
	const text = readFileSync(path.join(dir, 'assembly/manifest.ts'), 'utf8');
	t.regex(text, /static get queue_depth\(\): F32Column/);
	t.regex(text, /static get telemetry_at_ms\(\): U32Column/);
	t.regex(text, /\/\*\* ms: wait_weight \(default 2\) \*\//);
	t.regex(text, /static get strict\(\): bool/);
	t.regex(text, /FACTOR_WAIT: u32 = 0/);
	t.true(existsSync(path.join(dir, 'out/other.wasm.map')));
});

test.serial('a project with its own copy of the SDK is built from that copy', async (t) => {
	const dir = project(t);
	cpSync(sdkSourceDir, path.join(dir, 'sdk'), { recursive: true });
	const ranking = path.join(dir, 'sdk/ranking.ts');
	writeFileSync(
		ranking,
		readFileSync(ranking, 'utf8').replace('putRanked(count++, row, lowest)', 'putRanked(count++, row, lowest + 1)'),
	);
	const built = await buildStrategy(dir);
	t.deepEqual(createKit(built.wasm, { rows: 1 }).rank().scores, [1]);
});

test.serial('a column the manifest does not declare is a compile error with its place', async (t) => {
	const error = await refusal(t, entry.replace('columns.queue_depth', 'columns.load'));
	t.is(error.code, 'IM_BUILD_COMPILE');
	t.is(placeOf(error), 'assembly/index.ts:7:24');
	t.regex(error.message, /load/);
	const [first] = (error.details as { diagnostics: Diagnostic[] }).diagnostics;
	t.is(first?.line, 7);
	t.is(first?.severity, 'error');
});

test.serial('a syntax error names its line', async (t) => {
	const error = await refusal(t, entry.replace('begin(frame);', 'begin(frame'));
	t.is(error.code, 'IM_BUILD_COMPILE');
	t.regex(placeOf(error), /^assembly\/index\.ts:[67]:\d+$/);
});

test.serial('allocation is refused with the line that allocates', async (t) => {
	const array = await refusal(
		t,
		entry.replace(
			'const cost',
			'const rows = new Array<i32>(rowCount());\n\tif (rows.length > 3) return 1;\n\tconst cost',
		),
	);
	t.is(array.code, 'IM_BUILD_ALLOCATES');
	t.is(placeOf(array).split(':')[1], '8');
	const helper = `${entry}\nfunction label(row: i32): string {\n\treturn 'row ' + row.toString();\n}\n`;
	const text = await refusal(
		t,
		helper.replace('begin(frame);', 'begin(frame);\n\tif (label(rowCount()).length > 7) return 1;'),
	);
	t.is(text.code, 'IM_BUILD_ALLOCATES');
	t.is(placeOf(text).split(':')[1], '15');
});

test.serial('code at load time is refused with its line; constants are not', async (t) => {
	const error = await refusal(
		t,
		`${entry}\nfunction later(): f32 {\n\treturn load<f32>(64);\n}\nlet scale: f32 = later();\n`.replace(
			'queue[row] *',
			'queue[row] * scale *',
		),
	);
	t.is(error.code, 'IM_BUILD_START');
	t.is(placeOf(error).split(':')[1], '16');
	const dir = project(t, `${entry}\nconst HALF: f32 = 0.25 + 0.25;\n`.replace('queue[row] *', 'queue[row] * HALF *'));
	t.is((await buildStrategy(dir)).diagnostics.length, 0);
});

test.serial('imports are refused', async (t) => {
	const error = await refusal(
		t,
		`${entry}\n@external('env', 'now')\ndeclare function now(): f64;\n`.replace(
			'queue[row] *',
			'queue[row] * <f32>now() *',
		),
	);
	t.is(error.code, 'IM_BUILD_IMPORT');
	t.regex(error.message, /env\.now/);
});

test.serial('exports and hooks must agree', async (t) => {
	const missing = await refusal(t, entry.replace('export function rank', 'export function rankAll'));
	t.is(missing.code, 'IM_BUILD_HOOKS');
	t.regex(missing.message, /`rank` is not exported/);
	const signature = await refusal(t, entry.replace('frame: usize): i32', 'frame: usize, more: f32): i32'));
	t.regex(signature.message, /`export function rank\(frame: usize\): i32`/);
	const undeclared = await refusal(
		t,
		`${entry}\nexport function tick(frame: usize): i32 {\n\tbegin(frame);\n\treturn 0;\n}\n`,
	);
	t.regex(undeclared.message, /`tick` is exported but not listed/);
	const noSdk = await refusal(t, 'export function rank(frame: usize): i32 {\n\treturn frame > 8 ? 0 : 1;\n}\n');
	t.is(noSdk.code, 'IM_BUILD_HOOKS');
	t.regex(noSdk.message, /`__heap_base`/);
});

test.serial('a missing entry and a faulty manifest are named before anything is compiled', async (t) => {
	const dir = project(t);
	rmSync(path.join(dir, 'assembly/index.ts'));
	const entryError = await t.throwsAsync(buildStrategy(dir), { instanceOf: MeshError });
	t.is(entryError.code, 'IM_BUILD_ENTRY');
	const manifest = await refusal(t, entry, yaml.replace('queue_depth', 'queue_dept'));
	t.is(manifest.code, 'IM_MANIFEST_INVALID');
});

test.serial('a warm build takes well under 1.5 s', async (t) => {
	const dir = project(t);
	await buildStrategy(dir);
	const times: number[] = [];
	for (let run = 0; run < 3; run++) {
		writeFileSync(path.join(dir, 'assembly/index.ts'), `${entry}// ${run}\n`);
		const startedMs = performance.now();
		await buildStrategy(dir);
		times.push(performance.now() - startedMs);
	}
	t.true(Math.min(...times) < 1500, `${times.map((time) => time.toFixed(0)).join(', ')} ms`);
	t.log(`${Math.min(...times).toFixed(0)} ms`);
});

test.serial('only Rust has a choice of targets', async (t) => {
	const error = await t.throwsAsync(buildStrategy(project(t), { target: 'native' }), { instanceOf: MeshError });
	t.is(error.code, 'IM_BUILD_TARGET');
	t.regex(error.message, /assembly\/index\.ts is not in Rust/);
});
