import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import type { Command } from 'commander';
import { createAdminServer } from '../admin/server.js';
import { FakeMesh } from '../admin/testing.js';
import type { LoadedConfig } from '../config/load.js';
import { StreamBounds } from '../mesh/stream-bounds.js';
import { createLog } from '../telemetry/logger.js';
import type { Cli } from './command.js';
import type { StartMesh } from './context.js';
import { createProgram } from './program.js';
import { run } from './testing.js';
import { parseBackend } from './up.js';

/** An admin API on a free port, closed after the test. */
async function openMesh(
	t: { teardown: (fn: () => Promise<void>) => void },
	token?: string,
): Promise<{ mesh: FakeMesh; url: string }> {
	const mesh = new FakeMesh();
	const server = createAdminServer(
		{
			tokens: token === undefined ? [] : [{ name: 'ann', token }],
			bodyMaxBytes: 1 << 20,
			requestTimeoutMs: 5000,
			version: '0.1.0',
			log: createLog({ level: 'silent', wallMs: () => 0 }),
			streams: new StreamBounds(() => undefined),
		},
		mesh,
	);
	const url = await server.listen({ host: '127.0.0.1', port: 0 });
	t.teardown(() => server.close());
	return { mesh, url };
}

function allCommands(command: Command): Command[] {
	return [command, ...command.commands.flatMap(allCommands)];
}

const program = await createProgram({ context: { version: '' }, exitCode: 0 } as unknown as Cli);
const leaves = allCommands(program).filter((command) => command.commands.length === 0);

for (const command of program.commands)
	test(`${command.name()} loaded by itself is what it is in the whole tree`, async (t) => {
		const alone = await createProgram({ context: { version: '' }, exitCode: 0 } as unknown as Cli, command.name());
		const found = alone.commands.find((one) => one.name() === command.name());
		t.is(found?.helpInformation(), command.helpInformation());
		t.true(alone.commands.length < program.commands.length, 'and comes without the others');
	});

function fullName(command: Command): string[] {
	const above: Command | null = command.parent;
	return above === null ? [] : [...fullName(above), command.name()];
}

for (const command of leaves) {
	const name = fullName(command);
	test(`${name.join(' ')} --help has a description and an example that begins with the command`, async (t) => {
		const { code, out, err } = await run([...name, '--help']);
		t.is(code, 0);
		t.is(err, '');
		t.true(out.includes(`Usage: infermesh ${name.join(' ')}`), out);
		t.true(out.includes(`example:\n  infermesh ${name.join(' ')}`), out);
	});
}

test('a wrong command line ends with 2, what is wrong and a hint', async (t) => {
	const wrong: [string[], RegExp][] = [
		[['tagret'], /unknown command 'tagret'.*Did you mean target\?/],
		[['target', 'lst'], /unknown command 'lst'.*Did you mean list\?/],
		[['target', 'list', '--jsn'], /unknown option '--jsn'.*--json/],
		[['target', 'rm'], /missing required argument 'id'/],
		[['target', 'add', 'http://a:1', '--weight', 'heavy'], /--weight.*It must be a number from 0 to 1000/],
		[['strategy', 'stage', 'x', 'primary'], /It must be one of active, canary, shadow, loaded/],
		[['up', '--port', '70000'], /It must be a whole number from 0 to 65535/],
		[['bench', '--duration', 'long'], /It must be a duration/],
		[['strategy', 'load', 'x', '--set', 'weight'], /It must be NAME=VALUE/],
		[['engine', '--fault', 'error={'], /must be followed by JSON/],
		[['target', 'list', '--admin', 'nonsense'], /"nonsense" is not an http/],
		[['strategy', 'bench', 'hybrid_mesh', '--threshold', 'p99<<5'], /p99<<5/],
		[['engine', '--profile', 'abacus'], /no engine profile 'abacus'/],
	];
	for (const [argv, expected] of wrong) {
		const { code, out, err } = await run(argv);
		t.is(code, 2, `${argv.join(' ')}: ${err}`);
		t.is(out, '');
		t.regex(err, /^IM_[A-Z_]+: /);
		t.regex(err, expected);
		t.regex(err, /\n {2}hint: ./);
	}
});

for (const command of leaves.filter(({ options }) => options.some(({ long }) => long === '--json'))) {
	const name = fullName(command);
	test(`${name.join(' ')} --json says what is wrong in one JSON document on standard error`, async (t) => {
		const { code, out, err } = await run([...name, '--json', '--no-such-option']);
		t.is(code, 2);
		t.is(out, '');
		t.is(err.trimEnd().split('\n').length, 1, err);
		t.like(JSON.parse(err), { error: { code: 'IM_CLI_USAGE', retryable: false } });
	});
}

test('an error of the mesh, or of the way to it, is a document too; what comes after -- is no option', async (t) => {
	const away = await run(['target', 'list', '--admin', 'http://127.0.0.1:1', '--json']);
	t.is(away.code, 4);
	t.like(JSON.parse(away.err), { error: { code: 'IM_CLI_UNREACHABLE' } });
	const { url } = await openMesh(t);
	const gone = await run(['target', 'rm', 'a', '--admin', url, '--json']);
	t.deepEqual(JSON.parse(gone.err), {
		error: { code: 'IM_TEST_UNKNOWN', message: 'no target a', hint: 'list first', retryable: false },
	});
	t.regex((await run(['target', 'rm', '--admin', url, '--', '--json'])).err, /^IM_TEST_UNKNOWN: no target --json/);
});

test('capacity shows what is advised, as a table and as JSON', async (t) => {
	const { mesh, url } = await openMesh(t);
	const text = await run(['capacity', '--admin', url]);
	t.regex(text.out, /^MODEL +READY +DESIRED +REASON/);
	t.regex(text.out, /^llama +3 +2 +demand fell +12\.0 +7\.50 +99\.0% +a$/m);
	t.deepEqual((await run(['capacity', '--admin', url, '--json'])).json, { items: mesh.capacity() });
});

test('a drain that is waited for ends when nothing is in flight, in time or not', async (t) => {
	const { mesh, url } = await openMesh(t);
	await run(['target', 'add', 'http://127.0.0.1:9', '--id', 'a', '--model', 'x', '--admin', url]);
	const target = mesh.targets.get('a');
	const wait = (timeout: string) =>
		run(['target', 'drain', 'a', '--timeout', timeout, '--admin', url, '--json'], {
			signal: new AbortController().signal,
		});
	const late = await wait('300ms');
	t.is(late.code, 1);
	const [progress = '', error = ''] = late.err.split('\n');
	t.is(progress, 'a: 3 in flight');
	t.like(JSON.parse(error), { error: { code: 'IM_TARGET_DRAIN_TIMEOUT', retryable: true } });
	t.true(mesh.targets.get('a')?.draining, 'it stays drained');
	mesh.targets.set('a', { ...(target as NonNullable<typeof target>), inFlight: 0 });
	const done = await wait('1m');
	t.is(done.code, 0, done.err);
	t.like(done.json, { id: 'a', inFlight: 0, draining: true });
	const interrupted = await run(['target', 'drain', 'a', '--timeout', '1m', '--admin', url]);
	t.is(interrupted.code, 1);
	t.regex(interrupted.err, /no longer waited for/);
});

test('no command at all shows the help on standard error and ends with 2', async (t) => {
	const { code, out, err } = await run([]);
	t.is(code, 2);
	t.is(out, '');
	t.regex(err, /Usage: infermesh/);
});

test('targets of a running mesh: add, list, drain, rm', async (t) => {
	const { mesh, url } = await openMesh(t);
	const added = await run([
		'target',
		'add',
		'http://127.0.0.1:9',
		'--id',
		'a',
		'--model',
		'x',
		'--model',
		'y',
		'--weight',
		'2',
		'--admin',
		url,
		'--json',
	]);
	t.is(added.code, 0, added.err);
	t.like(added.json, { id: 'a', models: ['x', 'y'], weight: 2 });
	const listed = await run(['target', 'list', '--json'], { env: { INFERMESH_ADMIN: url } });
	t.deepEqual(listed.json, { items: mesh.listTargets() });
	const text = await run(['target', 'list', '--admin', url]);
	t.regex(text.out, /^TARGET +MODELS +STATE/);
	t.regex(text.out, /^a +x,y +ready .*http:\/\/127\.0\.0\.1:9$/m);
	t.regex(
		(await run(['target', 'drain', 'a', '--admin', url])).out,
		/^draining a; 3 requests there end by themselves\n$/,
	);
	t.like((await run(['target', 'undrain', 'a', '--admin', url, '--json'])).json, { draining: false });
	t.is((await run(['target', 'rm', 'a', '--admin', url])).code, 0);
	const gone = await run(['target', 'rm', 'a', '--admin', url]);
	t.is(gone.code, 1);
	t.is(gone.err, 'IM_TEST_UNKNOWN: no target a\n  hint: list first\n');
	t.is((await run(['target', 'list', '--admin', url])).out, 'no targets; add one with `infermesh target add URL`\n');
});

test('strategies of a running mesh: load, list, stage, rollback, unload', async (t) => {
	const { mesh, url } = await openMesh(t);
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-cli-'));
	t.teardown(() => rmSync(folder, { recursive: true }));
	const file = path.join(folder, 'mine.wasm');
	writeFileSync(file, Buffer.from('\0asm\x01\0\0\0', 'latin1'));
	const loaded = await run([
		'strategy',
		'load',
		file,
		'--activate',
		'--set',
		'wait_weight=2',
		'--set',
		'strict=true',
		'--admin',
		url,
	]);
	t.is(loaded.code, 0, loaded.err);
	t.is(loaded.out, 'loaded mine@1.0.0 (active), admitted in 120 ms\n');
	t.deepEqual(mesh.loads[0]?.settings, { wait_weight: 2, strict: true });
	t.true(mesh.loads[0]?.activate);
	t.like(((await run(['strategy', 'list', '--admin', url, '--json'])).json as { items: unknown[] }).items[1], {
		name: 'mine',
		version: '1.0.0',
		stage: 'active',
	});
	const staged = await run(['strategy', 'stage', 'mine', 'canary', '--percent', '5', '--admin', url]);
	t.is(staged.out, 'mine@1.0.0 is canary 5%\n');
	t.is((await run(['strategy', 'rollback', '--admin', url])).out, 'hybrid_mesh@1.0.0 decides again\n');
	t.is((await run(['strategy', 'unload', 'mine@1.0.0', '--admin', url])).code, 0);
	t.deepEqual(mesh.calls, ['rollback *', 'unload mine@1.0.0']);
	writeFileSync(file, 'hello');
	const refused = await run(['strategy', 'load', file, '--admin', url]);
	t.is(refused.code, 1);
	t.regex(refused.err, /^IM_TEST_REFUSED: not a module/);
});

test('explain and status', async (t) => {
	const { url } = await openMesh(t);
	const explained = await run(['explain', 'd-1', '--admin', url]);
	t.is(explained.code, 0);
	for (const part of [
		/^chosen +engine-a$/m,
		/^runner-up +engine-b, 12\.5 behind$/m,
		/^engine-b +52\.5 +42\.5 +10$/m,
		/engine-a {2}ok 200/,
	])
		t.regex(explained.out, part);
	t.like((await run(['explain', 'd-1', '--admin', url, '--json'])).json, { id: 'd-1', chosen: 'engine-a' });
	const unknown = await run(['explain', 'd-2', '--admin', url]);
	t.is(unknown.code, 1);
	t.regex(unknown.err, /^IM_ADMIN_DECISION_UNKNOWN: decision d-2 is not remembered\n {2}hint: .*x-infermesh-decision/);
	t.regex(
		(await run(['status', '--admin', url])).out,
		/strategy {2}hybrid_mesh@1\.0\.0\n +least_queue@1\.0\.0 for llama\n/,
		'what a model has of its own stands beside what the mesh has',
	);
});

test('a mesh that does not answer ends with 4, and so does something else on that port', async (t) => {
	const { code, err, out } = await run(['target', 'list', '--admin', 'http://127.0.0.1:1']);
	t.is(code, 4);
	t.is(out, '');
	t.regex(err, /^IM_CLI_UNREACHABLE: http:\/\/127\.0\.0\.1:1: the mesh does not answer: .*\n {2}hint: start one with/);
	const server = createServer((_request, response) => response.end('hello'));
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	t.teardown(() => server.close());
	const { port } = server.address() as AddressInfo;
	const other = await run(['target', 'list', '--admin', `http://127.0.0.1:${port}`]);
	t.is(other.code, 4);
	t.regex(other.err, /^IM_CLI_NOT_A_MESH: /);
});

test('a wrong token ends with 5; the right one comes from the flag, the environment or the state folder', async (t) => {
	const { url } = await openMesh(t, 'right');
	const list = ['target', 'list', '--admin', url];
	for (const options of [
		{},
		{ env: { INFERMESH_TOKEN: 'wrong' } },
		{ files: { '.infermesh/admin.token': 'wrong\n' } },
	]) {
		const { code, err } = await run(list, options);
		t.is(code, 5);
		t.regex(err, /^IM_ADMIN_UNAUTHENTICATED: /);
	}
	t.is((await run([...list, '--token', 'right'], { env: { INFERMESH_TOKEN: 'wrong' } })).code, 0);
	t.is((await run(list, { env: { INFERMESH_TOKEN: 'right' } })).code, 0);
	t.is((await run(list, { files: { '.infermesh/admin.token': 'right\n' } })).code, 0);
});

test('config show prints every value with its origin; a broken file ends with 3', async (t) => {
	const files = { 'infermesh.yaml': 'data:\n  port: 9000\nadmin: {token: hunter2}\n' };
	const { code, json, out } = await run(['config', 'show', '--json'], { files, env: { INFERMESH_DATA__WORKERS: '2' } });
	t.is(code, 0);
	t.false(out.includes('hunter2'));
	const { items } = json as { items: { key: string; value: unknown; origin: string }[] };
	const row = (key: string) => items.find((item) => item.key === key);
	t.like(row('data.port'), { value: 9000, origin: 'infermesh.yaml:2:3' });
	t.like(row('data.workers'), { value: 2, origin: 'INFERMESH_DATA__WORKERS' });
	t.like(row('admin.port'), { value: 8081, origin: 'default' });
	t.regex((await run(['config', 'show', '--origin'], { files })).out, /^data\.port +9000 +infermesh\.yaml:2:3$/m);
	const broken = await run(['config', 'show', '--config', 'node.yaml'], { files: { 'node.yaml': 'data: {prot: 1}' } });
	t.is(broken.code, 3);
	t.regex(broken.err, /^IM_CONFIG_UNKNOWN_KEY: node\.yaml:1:8: unknown key "data\.prot"; did you mean "port"\?/);
	t.is((await run(['config', 'show', '--config', 'absent.yaml'])).code, 3);
	t.is((await run(['agent', '--config', 'absent.yaml'])).code, 3);
});

test('config key makes a key whose hash fits the configuration', async (t) => {
	const { json } = await run(['config', 'key', '--id', 'a', '--tenant', 'acme', '--json']);
	const { key, sha256, tenant } = json as { key: string; sha256: string; tenant: string };
	t.is(createHash('sha256').update(key).digest('hex'), sha256);
	t.is(tenant, 'acme');
	const yaml = `data: {host: "0.0.0.0"}\nkeys: [{id: a, tenant: acme, sha256: ${sha256}}]\n`;
	t.is((await run(['config', 'show'], { files: { 'infermesh.yaml': yaml } })).code, 0);
});

test('check names what is unfit and ends with 1 for it', async (t) => {
	const fit = await run(['check', '--json'], { files: { '/proc/sys/net/ipv4/tcp_migrate_req': '0\n' } });
	const { items } = fit.json as { items: { name: string; status: string; detail: string }[] };
	t.is(items.find((item) => item.name === 'node')?.status, 'ok');
	t.is(items.find((item) => item.name === 'tcp_migrate_req')?.status, 'warn');
	// A mesh of somebody else may answer at this machine's default address, and is asked then.
	const mesh = items.find((item) => item.name === 'mesh');
	if (mesh === undefined) t.true(items.some(({ name }) => name.startsWith('mesh ')));
	else t.true(mesh.status === 'ok' || !mesh.detail.startsWith('IM_CLI_UNREACHABLE'), 'that none answers is no fault');
	const unfit = await run(['check', '--config', 'x.yaml'], { files: { 'x.yaml': 'data: {port: -1}' } });
	t.is(unfit.code, 1);
	t.regex(unfit.out, /^fail {2}config: IM_CONFIG_INVALID: x\.yaml:1:8: data\.port must be >= 0/m);
});

test('check asks a mesh that answers whether it is well; one that was named and does not answer is a fault', async (t) => {
	const { url } = await openMesh(t);
	const { json } = await run(['check', '--admin', url, '--json']);
	const { items, nodes } = json as { items: { name: string; status: string }[]; nodes: { name: string }[] };
	t.is(items.find(({ name }) => name === 'mesh quorum')?.status, 'ok');
	t.deepEqual(
		nodes.map(({ name }) => name),
		['one'],
	);
	t.regex((await run(['check', '--admin', url])).out, /^NODE .*CERTIFICATE UNTIL\none /m);
	const silent = await run(['check', '--admin', 'http://127.0.0.1:1']);
	t.is(silent.code, 1);
	t.regex(silent.out, /^fail {2}mesh: IM_CLI_UNREACHABLE/m);
});

test('a folder that is no strategy is named as such, without a stack trace', async (t) => {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-cli-'));
	t.teardown(() => rmSync(folder, { recursive: true }));
	for (const command of ['build', 'check', 'test', 'run', 'bench']) {
		const { code, err } = await run(['strategy', command, folder]);
		t.is(code, 1, command);
		t.regex(err, /^IM_(PROJECT|MANIFEST|BUILD)_[A-Z_]+: /, command);
		t.notRegex(err, /\n\s+at /, command);
	}
	const unknown = await run(['strategy', 'check', 'hybrid_mash']);
	t.is(unknown.code, 1);
	t.regex(unknown.err, /did you mean `hybrid_mesh`/);
});

/** A start that records its configuration and a close that is counted. */
function fakeStart(): { start: StartMesh; seen: LoadedConfig[]; closed: () => number } {
	const seen: LoadedConfig[] = [];
	let closed = 0;
	return {
		seen,
		closed: () => closed,
		start: (loaded) => {
			seen.push(loaded);
			return Promise.resolve({
				dataUrl: 'http://127.0.0.1:18080',
				adminUrl: 'http://127.0.0.1:18081',
				close: () => {
					closed++;
					return Promise.resolve();
				},
			});
		},
	};
}

test('up starts three engines when nothing else is given, prints how to try it, and closes', async (t) => {
	const { start, seen, closed } = fakeStart();
	const { code, out, err } = await run(['up', '--engine-port', '0', '--port', '0', '--strategy', 'least_queue'], {
		startMesh: start,
	});
	t.is(code, 0, err);
	t.is(closed(), 1);
	const config = seen[0]?.config;
	t.deepEqual(
		config?.targets.map((target) => [target.id, target.runtime, target.models.length]),
		[
			['engine-1', 'vllm', 1],
			['engine-2', 'vllm', 1],
			['engine-3', 'vllm', 1],
		],
	);
	t.is(config?.strategy.active, 'least_queue');
	t.is(seen[0]?.origins.of(['data', 'port']).label, '--port');
	for (const part of [
		'loopback only',
		'http://127.0.0.1:18080/v1',
		'http://127.0.0.1:18081/metrics',
		'curl -N http',
		`"model":"${config?.targets[0]?.models[0]}"`,
	])
		t.true(out.includes(part), part);
});

test('up with backends starts no engines', async (t) => {
	const { start, seen } = fakeStart();
	const argv = [
		'up',
		'--backend',
		'http://10.0.0.5:8000,model=llama,id=gpu-5',
		'--backend',
		'http://10.0.0.6:8000',
		'--json',
	];
	const { code, json } = await run(argv, { startMesh: start });
	t.is(code, 0);
	t.deepEqual(
		seen[0]?.config.targets.map(({ id, url, models }) => ({ id, url, models })),
		[
			{ id: 'gpu-5', url: 'http://10.0.0.5:8000', models: ['llama'] },
			{ id: undefined, url: 'http://10.0.0.6:8000', models: [] },
		],
	);
	t.like(json, { data: 'http://127.0.0.1:18080', admin: 'http://127.0.0.1:18081', engines: [] });
	t.deepEqual(parseBackend('http://a:1,weight=2,zone=z'), { url: 'http://a:1', weight: 2, zone: 'z' });
});

test('up refuses to listen beyond loopback even when the configuration has credentials', async (t) => {
	const yaml = `data: {host: "0.0.0.0"}\nkeys: [{id: k, sha256: "${'0'.repeat(64)}"}]\n`;
	const { start, seen } = fakeStart();
	const { code, err } = await run(['up'], { files: { 'infermesh.yaml': yaml }, startMesh: start });
	t.is(code, 2);
	t.regex(err, /^IM_CLI_NOT_LOOPBACK: infermesh\.yaml:1:8: data\.host is 0\.0\.0\.0/);
	t.is(seen.length, 0);
});

test('a port in use is told as such; what breaks inside is told without a stack trace', async (t) => {
	const inUse = Object.assign(new Error('listen EADDRINUSE: address already in use 127.0.0.1:8080'), {
		code: 'EADDRINUSE',
	});
	const busy = await run(['up', '--engines', '0'], { startMesh: () => Promise.reject(inUse) });
	t.is(busy.code, 1);
	t.regex(busy.err, /^IM_CLI_PORT_IN_USE: listen EADDRINUSE.*127\.0\.0\.1:8080\n {2}hint: another mesh/);
	const bug = await run(['up', '--engines', '0'], {
		startMesh: () => Promise.reject(new TypeError('x is not a function')),
	});
	t.is(bug.code, 1);
	t.regex(bug.err, /^IM_CLI_BUG: x is not a function\n {2}hint: [^\n]*\n$/);
});

test('agent runs from a file and logs JSON lines', async (t) => {
	const { start, seen, closed } = fakeStart();
	const { code, out, err } = await run(['agent', '--config', 'node.yaml'], {
		files: { 'node.yaml': 'node: {id: n7}\n' },
		startMesh: start,
	});
	t.is(code, 0);
	t.is(out, '');
	t.is(closed(), 1);
	t.is(seen[0]?.config.node.id, 'n7');
	const lines = err
		.trim()
		.split('\n')
		.map((line) => JSON.parse(line) as Record<string, unknown>);
	t.like(lines[0], { level: 'info', message: 'mesh started', data: 'http://127.0.0.1:18080', config: 'node.yaml' });
	t.is(lines.at(-1)?.['message'], 'mesh stopped');
});

test('engine serves until it is told to stop', async (t) => {
	const stop = new AbortController();
	const checks: Promise<unknown>[] = [];
	const running = run(['engine', '--port', '0', '--model', 'm', '--json'], {
		signal: stop.signal,
		onOutput: (text) => {
			const { url } = JSON.parse(text) as { url: string };
			checks.push(
				fetch(`${url}/v1/models`)
					.then((response) => response.json())
					.finally(() => stop.abort()),
			);
		},
	});
	const { code, err } = await running;
	t.is(code, 0, err);
	t.like(((await checks[0]) as { data: unknown[] }).data[0], { id: 'm' });
	t.true(((await run(['engine', '--list-profiles', '--json'])).json as { items: unknown[] }).items.length > 2);
});

test('bench drives an engine, writes the report, and a missed threshold ends with 1', async (t) => {
	const stop = new AbortController();
	const written = new Map<string, string>();
	const results: Promise<Awaited<ReturnType<typeof run>>[]>[] = [];
	await run(['engine', '--port', '0', '--model', 'm', '--speed', '100', '--json'], {
		signal: stop.signal,
		onOutput: (text) => {
			const { url } = JSON.parse(text) as { url: string };
			const bench = (...more: string[]) =>
				run(
					[
						'bench',
						'--url',
						url,
						'--model',
						'm',
						'--requests',
						'5',
						'--rate',
						'50',
						'--output',
						'fixed:4',
						'--json',
						...more,
					],
					{
						signal: new AbortController().signal,
						written,
					},
				);
			results.push(
				Promise.all([
					bench('--html', 'r.html', '--threshold', 'fail.rate<=0'),
					bench('--threshold', 'ttft.p99<1us'),
				]).finally(() => stop.abort()),
			);
		},
	});
	const [good, missed] = (await results[0]) ?? [];
	t.is(good?.code, 0, good?.err);
	t.like(good?.json, { model: 'm', requests: { completed: 5, failed: 0 } });
	t.regex(written.get('r.html') ?? '', /^<!doctype html>/i);
	t.is(missed?.code, 1);
});

test('a bench of which every request failed ends with 1, though no threshold was given', async (t) => {
	const server = createServer((request, response) => {
		request.resume();
		response.writeHead(500).end('{}');
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
	t.teardown(() => void server.close());
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	const bench = (...more: string[]) =>
		run(['bench', '--url', url, '--model', 'm', '--requests', '3', '--rate', '100', '--json', ...more], {
			signal: new AbortController().signal,
		});
	const failed = await bench();
	t.is(failed.code, 1);
	t.like(failed.json, { requests: { completed: 0, failed: 3 } });
	t.is((await bench('--threshold', 'fail.rate<=100%')).code, 0, 'who says what is good is believed');
});

test('bench asks a server that is named by its URL alone which model it serves, and no mesh', async (t) => {
	const models = { listed: [{ id: 'first' }, { id: 'second' }] as { id: string }[] };
	const keys: (string | undefined)[] = [];
	const server = createServer((request, response) => {
		request.resume();
		if (request.url === '/v1/models') keys.push(request.headers.authorization);
		response
			.writeHead(request.url === '/v1/models' ? 200 : 500)
			.end(JSON.stringify({ object: 'list', data: models.listed }));
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
	t.teardown(() => void server.close());
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	const bench = (at: string) =>
		run(
			[
				'bench',
				'--url',
				at,
				'--admin',
				'http://127.0.0.1:1',
				'--api-key',
				'k',
				'--requests',
				'1',
				'--rate',
				'9',
				'--json',
			],
			{ signal: new AbortController().signal },
		);
	t.like((await bench(url)).json, { model: 'first' });
	t.deepEqual(keys, ['Bearer k']);
	models.listed = [];
	const none = await bench(url);
	t.is(none.code, 2);
	t.regex(none.err, /IM_CLI_USAGE.*lists no model/);
	const nobody = await bench('http://127.0.0.1:1');
	t.is(nobody.code, 4);
	t.regex(nobody.err, /IM_CLI_UNREACHABLE/);
});

test('bench without a mesh or URL ends with 4', async (t) => {
	const { code, err } = await run(['bench', '--admin', 'http://127.0.0.1:1']);
	t.is(code, 4);
	t.regex(err, /IM_CLI_UNREACHABLE/);
});
