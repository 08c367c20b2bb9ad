// Native libraries on a live mesh: every stage under streams without a pause, with the old sandboxes gone after their last decision; a state that is handed
// over; replay of what they decided; and inside the process only what a trusted key has signed.
import { execFile } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { eventually, startTestMesh, type TestMesh } from '../support/mesh.js';
import { countingLibrary, nativeLibrary, sandboxesOf } from '../support/native.js';
import { temporaryFolder } from '../support/programs.js';
import { shipped } from '../support/strategies.js';
import { type Answer, ask } from '../support/traffic.js';

const cli = fileURLToPath(new URL('../../../host/bin/infermesh.mjs', import.meta.url));

interface Ran {
	readonly code: number;
	readonly said: string;
	readonly error: string;
}

/** Runs a command of infermesh in `cwd` against the mesh. */
function run(cwd: string, { mesh }: TestMesh, args: readonly string[]): Promise<Ran> {
	return new Promise((resolve) => {
		const env = { ...process.env, INFERMESH_ADMIN: mesh.adminUrl };
		execFile(process.execPath, [cli, ...args], { cwd, env, maxBuffer: 1 << 26 }, (failed, said, error) =>
			resolve({ code: failed === null ? 0 : Number(failed.code), said, error }),
		);
	});
}

/** A busy machine is waited for: what is tested is who decides, not how fast. */
const native = { grace_us: 10_000_000, start_ms: 20_000 };
/** One that decides and a spare, in each of two workers. */
const PER_VERSION = 4;

const plain = await nativeLibrary({ name: 'plain' });

test.serial('a library goes through every stage while streams run, and its sandboxes end with it', async (t) => {
	const dir = path.join(temporaryFolder(t), 'recordings');
	const recorder = { dir, hashes: 'kept', drain_ms: 5, enabled: true };
	const mesh = await startTestMesh(t, { engines: 2, config: { strategy: { native }, recorder } });
	const { admin } = mesh;
	const answers: Answer[] = [];
	const fire = { on: true };
	const stream = async (first: number): Promise<void> => {
		for (let seed = first; fire.on; seed += 8)
			answers.push(await ask({ url: mesh.dataUrl, seed, tokens: 8, stream: true }));
	};
	const running = Promise.all(Array.from({ length: 8 }, (_, first) => stream(first)));
	t.teardown(async () => {
		fire.on = false;
		await running;
	});
	const decidedBy = async (name: string): Promise<void> => {
		const from = answers.length;
		await eventually(`${name} decides`, () => answers.slice(from).some(({ strategy }) => strategy.startsWith(name)));
	};
	const sandboxes = (): number => sandboxesOf(process.pid).length;

	await admin.load(await countingLibrary('1.0.0'));
	t.is((await admin.strategies()).find(({ name }) => name === 'counting')?.runs, 'process');
	await admin.stage('counting', 'shadow');
	await eventually('the shadow has run', async () => (await admin.metric('infermesh_shadow_decisions_total')) > 20);
	await admin.stage('counting', 'canary', { percent: 50 });
	await decidedBy('counting@1.0.0');
	await decidedBy('hybrid_mesh');
	await admin.stage('counting', 'active');
	await decidedBy('counting@1.0.0');
	t.is(sandboxes(), PER_VERSION + 1, 'and one that keeps the state');

	await admin.load(await countingLibrary('1.0.1'), { activate: true });
	await decidedBy('counting@1.0.1');
	t.is(sandboxes(), 2 * (PER_VERSION + 1), 'the copy before stays warm beside it');
	await admin.rollback();
	await decidedBy('counting@1.0.0');
	const labels = { strategy: 'counting@1.0.1' };
	await admin.unload('counting@1.0.1');
	await eventually('its sandboxes end', () => sandboxes() === PER_VERSION + 1);
	t.is(await admin.metric('infermesh_native_sandboxes', labels), 0);
	t.is(await admin.metric('infermesh_native_sandboxes'), PER_VERSION + 1);
	t.true((await admin.metric('infermesh_native_hand_over_seconds_count')) > 100);
	t.is(await admin.metric('infermesh_native_sandbox_restarts_total'), 0);

	fire.on = false;
	await running;
	t.true(answers.every(({ complete, status }) => complete && status === 200));
	t.is(await admin.metric('infermesh_strategy_strikes_total'), 0);
	t.is(await admin.metric('infermesh_fallbacks_total'), 0, 'each was decided by a strategy');
	t.is(await admin.metric('infermesh_witness_decisions_total', { result: 'differed' }), 0);
	let seen = -1;
	await eventually(
		'all outcomes since it was active are in the state',
		async () => {
			const { decision } = await ask({ url: mesh.dataUrl, seed: 1, tokens: 1 });
			const before = seen;
			seen = (await admin.explain(decision)).candidates[0]?.factors['seen'] ?? -1;
			return seen > 0 && seen === before + 1;
		},
		{ everyMs: 150 },
	);
	const stopped = await run('.', mesh, ['record', 'stop', '--json']);
	t.is(stopped.code, 0, stopped.error);
	const file = path.join(dir, readdirSync(dir)[0] ?? '');
	const library = path.join(dir, '..', 'plain.so');
	writeFileSync(library, plain);
	const replayed = await run('.', mesh, ['replay', file, '--against', library, '--json']);
	const report = JSON.parse(replayed.said) as {
		readonly ok: boolean;
		readonly identity: { readonly identical: number; readonly different: number };
		readonly against: ReadonlyArray<{ readonly label: string; readonly compared: number }>;
	};
	t.true(report.ok, replayed.error);
	t.is(report.identity.different, 0);
	t.true(report.identity.identical > 50, `${report.identity.identical}`);
	t.is(report.against[0]?.label, 'plain@1.0.0');

	await admin.stage('hybrid_mesh', 'active');
	await admin.unload('counting');
	await eventually('nothing of it is left', () => sandboxes() === 0);
});

test.serial('inside the process runs what a trusted key has signed, and nothing else', async (t) => {
	const folder = temporaryFolder(t);
	const mesh = await startTestMesh(t, { engines: 1, config: { strategy: { native } } });
	const of = (...args: string[]): Promise<Ran> => run(folder, mesh, args);
	writeFileSync(path.join(folder, 'plain.so'), plain);
	writeFileSync(path.join(folder, 'module.wasm'), shipped('least_queue'));
	const inline = ['strategy', 'load', 'plain.so', '--inline', '--json'];
	t.is((await of('signing-key', 'new', 'release')).code, 0);
	t.is((await of('strategy', 'sign', 'plain.so', '--key', 'release.key')).code, 0);

	t.regex((await of(...inline)).error, /IM_NATIVE_INLINE.*unsigned/s);
	t.is((await of('signing-key', 'trust', 'release.pub')).code, 0);
	const merely = await of(...inline, '--signature', 'plain.sig');
	t.regex(merely.error, /IM_NATIVE_INLINE.*is signed/s);
	t.regex(merely.error, /--grade trusted/, 'the hint says what to do');
	t.is((await of('signing-key', 'trust', 'release.pub', '--grade', 'trusted')).code, 0);
	t.regex((await of('strategy', 'load', 'module.wasm', '--inline', '--key', 'release.key')).error, /IM_NATIVE_INLINE/);

	const loaded = await of(...inline, '--signature', 'plain.sig', '--activate');
	t.is(loaded.code, 0, loaded.error);
	t.like((JSON.parse(loaded.said) as { strategy: object }).strategy, { runs: 'inline', grade: 'trusted' });
	t.deepEqual(sandboxesOf(process.pid), []);
	t.is((await ask({ url: mesh.dataUrl, seed: 1, tokens: 1 })).strategy, 'plain@1.0.0');
	t.regex((await of('strategy', 'list')).said, /plain@1\.0\.0 +active +trusted +inline/);
	t.regex((await of('signing-key', 'trust', 'release.pub')).error, /IM_SIGNING_KEY_IN_USE/, 'it cannot be moved out');
	t.regex(await mesh.admin.metricsText(), /infermesh_strategy_info\{strategy="plain@1\.0\.0".*runs="inline"\} 1/);

	const strict = await startTestMesh(t, {
		engines: 1,
		config: { strategy: { native: { ...native, inline: 'never' } } },
	});
	t.is((await run(folder, strict, ['signing-key', 'trust', 'release.pub', '--grade', 'trusted'])).code, 0);
	const never = await run(folder, strict, [...inline, '--signature', 'plain.sig']);
	t.regex(never.error, /IM_NATIVE_INLINE.*allows it to none/s);
});
