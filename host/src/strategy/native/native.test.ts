// Native strategies: they answer as their WebAssembly twins do, in a sandbox and inline; whatever a hostile one does costs its own sandbox and one
// decision; a library that is not sound is refused by name; and no sandbox outlives its host.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { systemClock } from '../../main/clock.js';
import { prepareStrategy } from '../../project/prepare.js';
import { inspectModule } from '../admission/inspect.js';
import { strikeCauses } from '../runtime/decision.js';
import { fuelDefaults } from '../runtime/instance.js';
import { createRig } from '../runtime/rig.js';
import { checkLibrary } from './check-library.js';
import { patientLimits } from './code.js';
import { buildNativeEngine } from './engine.js';
import { compileNative, hostileC, leastQueueC, misdeeds, NativeBench, nativeModule } from './testing.js';

const SEED = 20_261_126;
const twin = (await prepareStrategy('least_queue')).module;
const leastQueue = await compileNative(leastQueueC);
const hostile = await compileNative(hostileC);

for (const kind of ['process', 'inline'] as const) {
	test.serial(`${kind}: the same frames get the same answers as from WebAssembly, seed ${SEED}`, async (t) => {
		for (const rows of [1, 16, 129]) {
			const rig = createRig(rows, SEED + rows);
			const native = new NativeBench(await nativeModule(leastQueue, { native: kind }), rig);
			const wasm = new NativeBench(twin, rig);
			for (let i = 0; i < 300; i++) {
				rig.nextRequest();
				if (i % 3 === 0) rig.touch(i % rows);
				t.is(native.decide(), wasm.decide());
				t.is(native.out.count, wasm.out.count);
				t.deepEqual(native.out.rows.slice(0, 4), wasm.out.rows.slice(0, 4), `${rows} rows, decision ${i}`);
				t.deepEqual(native.out.scores.slice(0, 4), wasm.out.scores.slice(0, 4));
			}
			native.instance.close();
		}
	});
}

const ends: ReadonlyArray<readonly [keyof typeof misdeeds, string, RegExp]> = [
	['crash', 'trap', /SIGSEGV/],
	['hang', 'deadline', /used up its time/],
	['exit', 'trap', /exited with status 0/],
	['fork', 'trap', /SIGSYS/],
	['headerWrite', 'corrupt', /the header/],
	['tableWrite', 'corrupt', /the column table/],
	['memory', 'trap', /SIGSEGV/],
	['socket', 'trap', /SIGSYS/],
	['openFile', 'trap', /SIGSYS/],
	['sleep', 'trap', /SIGSYS/],
	['deadlock', 'deadline', /waits and does not run/],
	['killHost', 'trap', /SIGSYS/],
	['thread', 'trap', /SIGSYS/],
	['executable', 'trap', /SIGSYS/],
];

/** Filling half a gibibyte takes longer than a decision may. */
const limits = { ...patientLimits, graceUs: 300_000, memoryBytes: 64 * 1024 * 1024, deadlineUs: 100_000 };

/** A loop is charged what it runs, memory is filled as it comes, and on a busy machine both are little for a while: the host must not give up first. */
const patient = { ...limits, graceUs: 20_000_000 };

/** Pages of memory are slow to come by where many want them; what ends the strategy must be its limit of memory. */
const roomy = { ...patient, deadlineUs: 5_000_000 };

for (const [misdeed, cause, why] of ends) {
	test.serial(`a strategy that does ${misdeed} costs one decision and a strike`, async (t) => {
		const given = misdeed === 'memory' ? roomy : misdeed === 'hang' ? patient : limits;
		const bench = new NativeBench(await nativeModule(hostile, { limits: given }), createRig(16, SEED));
		bench.rig.nextRequest();
		t.is(bench.decide(misdeeds.none), 'none');
		t.is(bench.decide(misdeeds[misdeed]), cause as 'trap');
		t.true(strikeCauses.has(cause as 'trap'));
		t.regex((bench.instance.lastTrap as Error).message, why);
		t.true(bench.instance.poisoned);
		t.is(bench.decide(misdeeds.none), 'none', 'the next one decides in a new sandbox');
		bench.instance.close();
	});
}

test.serial('answers out of range and statuses that are none are found, and cost no sandbox', async (t) => {
	const bench = new NativeBench(await nativeModule(hostile), createRig(16, SEED));
	bench.rig.nextRequest();
	t.is(bench.decide(misdeeds.outOfRange), 'invalid_row');
	t.is(bench.decide(misdeeds.badStatus), 'invalid_status');
	t.false(bench.instance.poisoned);
	t.is(bench.decide(misdeeds.none), 'none');
	bench.instance.close();
});

test.serial('a strategy that wipes all it shares with its host is a fault, not an answer', async (t) => {
	const bench = new NativeBench(await nativeModule(hostile, { limits }), createRig(16, SEED));
	bench.rig.nextRequest();
	const cause = bench.decide(misdeeds.wipe);
	t.true(strikeCauses.has(cause) || cause === 'no_instance', cause);
	bench.instance.close();
	const next = new NativeBench(await nativeModule(hostile, { limits }), bench.rig);
	t.is(next.decide(misdeeds.none), 'none');
	next.instance.close();
});

test.serial('what a sandbox says of its state once it has been ready changes nothing', async (t) => {
	const bench = new NativeBench(await nativeModule(hostile), createRig(16, SEED));
	bench.rig.nextRequest();
	t.is(bench.decide(misdeeds.unready), 'none');
	t.is(bench.decide(misdeeds.none), 'none');
	bench.instance.close();
});

const refusals: ReadonlyArray<readonly [string, (bytes: Uint8Array) => Uint8Array, string]> = [
	['cut short', (bytes) => bytes.slice(0, bytes.length - 200), 'IM_NATIVE_ELF'],
	['cut to its first page', (bytes) => bytes.slice(0, 4096), 'IM_NATIVE_ELF'],
	['for another machine', (bytes) => withByte(bytes, 18, bytes[18] === 62 ? 183 : 62), 'IM_NATIVE_PLATFORM'],
	['of 32 bits', (bytes) => withByte(bytes, 4, 1), 'IM_NATIVE_ELF'],
	[
		'without the exported function',
		(bytes) =>
			Buffer.from(
				Buffer.from(bytes).toString('latin1').replaceAll('infermesh_strategy', 'infermesh_strategx'),
				'latin1',
			),
		'IM_NATIVE_SYMBOL',
	],
	['of nothing but its first bytes', (bytes) => bytes.slice(0, 16), 'IM_NATIVE_ELF'],
];

function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
	const changed = bytes.slice();
	changed[at] = value;
	return changed;
}

for (const [what, change, expected] of refusals) {
	test.serial(`a library ${what} is refused by name`, async (t) => {
		const { report } = inspectModule(change(leastQueue), await inspection(), systemClock);
		t.false(report.admitted);
		t.is(report.refusals[0]?.code, expected, JSON.stringify(report.refusals));
	});
}

test.serial('a library cut off anywhere, or with any one byte of its headers changed, throws nothing', (t) => {
	for (let at = 0; at < 4096; at += 7)
		t.notThrows(() => checkLibrary(withByte(leastQueue, at, (leastQueue[at] as number) ^ 0xff), 'linux-x64'));
	for (let length = 0; length < leastQueue.length; length += 97)
		t.is(checkLibrary(leastQueue.slice(0, length), 'linux-x64').problems[0]?.code, 'IM_NATIVE_ELF');
});

test.serial('a sound library is admitted, with its machine and its times in the report', async (t) => {
	const { report, admitted } = inspectModule(leastQueue, await inspection(), systemClock);
	t.true(report.admitted, JSON.stringify(report.refusals));
	t.is(report.platform, `${process.platform}-${process.arch}`);
	t.deepEqual(admitted?.manifest.columns, ['load', 'weight', 'slow_start']);
	t.true((report.sizes[0]?.timeP50Us ?? 0) > 0);
});

test.serial('a hostile library is refused by the run over frames that make it answer wrong', async (t) => {
	const wrong = await compileNative(
		'static int32_t rank(uint8_t *frame) { im_output_in(frame)->count = 1; im_output_in(frame)->rows[0] = 99999; return IM_STATUS_OK; }\nIM_STRATEGY(IM_NATIVE_HAS_RANK, .rank = rank)\n',
	);
	const { report } = inspectModule(wrong, await inspection(), systemClock);
	t.is(report.refusals[0]?.code, 'IM_ADMISSION_CONFORMANCE');
});

test.serial('wrong words about itself are refused', async (t) => {
	const rank = 'static int32_t rank(uint8_t *frame) { (void)frame; return IM_STATUS_DECLINE; }\n';
	for (const claim of [
		`${rank}IM_STRATEGY(IM_NATIVE_HAS_RANK | IM_NATIVE_HAS_TICK, .rank = rank)\n`,
		`${rank}IM_STRATEGY(IM_NATIVE_HAS_RANK | IM_NATIVE_WANTS_THREADS, .rank = rank)\n`,
		`${rank}const im_native_strategy *infermesh_strategy(void) { (void)rank; (void)im_manifest; return 0; }\n`,
	]) {
		const { report } = inspectModule(await compileNative(claim), await inspection(), systemClock);
		t.is(report.refusals[0]?.code, 'IM_NATIVE_ABI', JSON.stringify(report.refusals));
	}
});

test.serial('without a compiler the error says so', async (t) => {
	const into = mkdtempSync(path.join(tmpdir(), 'infermesh-no-compiler-'));
	t.teardown(() => rmSync(into, { recursive: true }));
	const error = await t.throwsAsync(buildNativeEngine({ command: '/nowhere/g++', into }), { instanceOf: MeshError });
	t.is(error?.code, 'IM_NATIVE_COMPILER');
});

test.serial('a compiler that takes too long is ended, says so, and leaves nothing behind', async (t) => {
	const into = mkdtempSync(path.join(tmpdir(), 'infermesh-slow-compiler-'));
	t.teardown(() => rmSync(into, { recursive: true }));
	const error = await t.throwsAsync(buildNativeEngine({ timeoutMs: 20, into }), { instanceOf: MeshError });
	t.is(error?.code, 'IM_NATIVE_BUILD');
	t.regex(error?.message ?? '', /not done within 20 ms/);
	t.deepEqual(readdirSync(into), []);
});

test.serial('no sandbox outlives a host that is killed', async (t) => {
	const child = spawn(process.execPath, [fileURLToPath(new URL('./orphan-child.js', import.meta.url))], {
		stdio: ['pipe', 'pipe', 'inherit'],
	});
	child.stdin.end(Buffer.from(leastQueue));
	const [first] = (await once(child.stdout, 'data')) as [Buffer];
	const pid = Number(first.toString());
	t.true(existsSync(`/proc/${pid}`));
	child.kill('SIGKILL');
	await once(child, 'exit');
	await t.notThrowsAsync(untilGone(pid));
});

/** A zombie that nobody has reaped yet is gone, too. */
function isAlive(pid: number): boolean {
	try {
		return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
	} catch {
		return false;
	}
}

async function untilGone(pid: number): Promise<void> {
	for (let look = 0; look < 500; look++) {
		if (!isAlive(pid)) return;
		await new Promise<void>((resolve) => systemClock.after(2, resolve));
	}
	throw new Error(`sandbox ${pid} still lives`);
}

test.serial('instances that come and go leave no process and no descriptor behind', async (t) => {
	const strategy = await nativeModule(leastQueue);
	const rig = createRig(16, SEED);
	rig.nextRequest();
	new NativeBench(strategy, rig).instance.close();
	const before = readdirSync('/proc/self/fd').length;
	for (let i = 0; i < 30; i++) {
		const bench = new NativeBench(strategy, rig);
		t.is(bench.decide(), 'none');
		bench.instance.close();
	}
	// Ended sandboxes are reaped at the latest when sixteen of them wait for it.
	t.true(readdirSync('/proc/self/fd').length <= before + 16);
});

async function inspection() {
	return {
		fuel: fuelDefaults,
		moduleBytesMax: 1024 * 1024,
		calibration: { sizes: [16], decisions: 40, seed: 1 },
		sourceMap: undefined,
		native: { engine: await buildNativeEngine(), limits: patientLimits },
	};
}
