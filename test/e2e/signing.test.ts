// Strategies and their signatures on a real mesh, by the commands people type: a node that asks for signed strategies takes those of keys it knows and no others, says
// who vouches for what, and forgets no key that something rests on.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { eventually, startTestMesh } from '../support/mesh.js';
import { shipped } from '../support/strategies.js';
import { ask, keyOf } from '../support/traffic.js';

const cli = fileURLToPath(new URL('../../../host/dist/src/cli/main.js', import.meta.url));

interface Ran {
	readonly code: number;
	readonly said: string;
	readonly error: string;
}

/** Runs a command of infermesh in `cwd` against the mesh at `admin`. */
function run(cwd: string, admin: string, args: readonly string[]): Promise<Ran> {
	return new Promise((resolve) => {
		const env = { ...process.env, INFERMESH_ADMIN: admin };
		execFile(process.execPath, [cli, ...args], { cwd, env }, (failed, stdout, stderr) =>
			resolve({ code: failed === null ? 0 : Number(failed.code), said: stdout, error: stderr }),
		);
	});
}

test.serial('a mesh that asks for signatures takes strategies of keys it knows', async (t) => {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-signing-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	const mesh = await startTestMesh(t, { engines: [{}], config: { strategy: { require: 'signed' } } });
	const of = (...args: string[]): Promise<Ran> => run(folder, mesh.mesh.adminUrl, args);
	const wasm = path.join(folder, 'least_queue.wasm');
	writeFileSync(wasm, shipped('least_queue'));

	for (const name of ['release', 'stranger']) t.is((await of('signing-key', 'new', name)).code, 0);
	t.is(statSync(path.join(folder, 'release.key')).mode & 0o777, 0o600);
	t.is((await of('signing-key', 'new', 'release')).code, 1, 'a key is never written over');
	t.regex((await of('signing-key', 'trust', 'release.key')).error, /IM_SIGNING_KEY/);
	t.regex((await of('strategy', 'load', wasm)).error, /IM_SIGNING_REQUIRED/);
	t.regex((await of('strategy', 'load', wasm, '--key', 'release.key')).error, /IM_SIGNING_REQUIRED/);

	const trusted = await of('signing-key', 'trust', 'release.pub', '--json');
	t.is(trusted.code, 0, trusted.error);
	const { id } = JSON.parse(trusted.said) as { id: string };
	t.regex((await of('strategy', 'load', wasm, '--key', 'stranger.key')).error, /IM_SIGNING_REQUIRED/);
	t.is((await of('strategy', 'sign', wasm, '--key', 'release.key')).code, 0);
	const sound = readFileSync(path.join(folder, 'least_queue.sig'), 'utf8');
	const forged = JSON.parse(sound) as { key: string; value: string };
	writeFileSync(path.join(folder, 'forged.sig'), JSON.stringify({ ...forged, value: `AAAA${forged.value.slice(4)}` }));
	t.regex((await of('strategy', 'load', wasm, '--signature', 'forged.sig')).error, /IM_SIGNING_SIGNATURE/);

	const loaded = await of('strategy', 'load', wasm, '--signature', 'least_queue.sig', '--activate', '--json');
	t.is(loaded.code, 0, loaded.error);
	t.like((JSON.parse(loaded.said) as { strategy: object }).strategy, {
		grade: 'signed',
		signedBy: id,
		stage: 'active',
	});
	t.regex((await of('signing-key', 'distrust', id)).error, /IM_SIGNING_KEY_IN_USE/);
	t.is((await of('signing-key', 'trust', 'release.pub', '--grade', 'trusted')).code, 0);
	t.regex((await of('strategy', 'list')).said, /least_queue@\S+ +active +trusted/);

	t.is((await of('strategy', 'rollback')).code, 0);
	t.is((await of('strategy', 'unload', 'least_queue')).code, 0);
	t.is((await of('signing-key', 'distrust', id)).code, 0);
	t.deepEqual((JSON.parse((await of('signing-key', 'list', '--json')).said) as { items: unknown[] }).items, []);
	t.regex((await of('signing-key', 'distrust', id)).error, /IM_SIGNING_KEY_UNKNOWN/);
});

test.serial('a tenant may ask that only signed strategies decide its requests', async (t) => {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-signing-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	const [careful, careless] = [keyOf('sk-careful'), keyOf('sk-careless')];
	const keys = [
		{ id: 'careful', sha256: careful.sha256, tenant: 'careful' },
		{ id: 'careless', sha256: careless.sha256, tenant: 'careless' },
	];
	const mesh = await startTestMesh(t, { engines: [{}], config: { keys } });
	const of = (...args: string[]): Promise<Ran> => run(folder, mesh.mesh.adminUrl, args);
	const decider = async (key: string): Promise<string> =>
		(await ask({ url: mesh.dataUrl, seed: 1, tokens: 1, headers: { authorization: `Bearer ${key}` } })).strategy;
	const wasm = path.join(folder, 'least_queue.wasm');
	writeFileSync(wasm, shipped('least_queue'));
	t.is((await of('signing-key', 'new', 'release')).code, 0);
	t.is((await of('signing-key', 'trust', 'release.pub')).code, 0);
	t.is((await of('tenant', 'set', 'careful', '--strategies', 'signed')).code, 0);
	t.regex(await decider('sk-careless'), /^hybrid_mesh@/);
	t.is(await decider('sk-careful'), 'least_queue@builtin');

	t.is((await of('strategy', 'load', wasm, '--key', 'release.key', '--activate')).code, 0);
	for (const key of ['sk-careless', 'sk-careful']) t.regex(await decider(key), /^least_queue@\d/);
	t.is((await of('tenant', 'set', 'careful', '--strategies', 'trusted')).code, 0);
	t.is(await decider('sk-careful'), 'least_queue@builtin');
	t.is((await of('signing-key', 'trust', 'release.pub', '--grade', 'trusted')).code, 0);
	await eventually('the key counts for more', async () => /^least_queue@\d/.test(await decider('sk-careful')));
	t.pass();
});
