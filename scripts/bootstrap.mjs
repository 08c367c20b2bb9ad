#!/usr/bin/env node
// Owns the way from a bare clone to a running command: installs when the lockfile has changed, builds what is stale, then runs
// the command under the Node pinned in package.json. Plain JavaScript that runs on Node 20, because nothing is built yet.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const stampFile = path.join(root, 'node_modules', '.infermesh-stamp');
const pinnedNode = path.join(root, 'node_modules', 'node', 'bin', 'node');
const bin = (name) => path.join(root, 'node_modules', '.bin', name);

function fail(message, hint) {
	process.stderr.write(`IM_BOOTSTRAP_FAILED: ${message}\n  hint: ${hint}\n`);
	process.exit(1);
}

function lockDigest() {
	const hash = createHash('sha256');
	for (const file of ['package.json', 'package-lock.json']) hash.update(readFileSync(path.join(root, file)));
	return hash.digest('hex');
}

function install() {
	const wanted = lockDigest();
	if (existsSync(stampFile) && existsSync(pinnedNode) && readFileSync(stampFile, 'utf8') === wanted) return;
	process.stderr.write('infermesh: installing dependencies (first run, or the lockfile changed) …\n');
	const npm = process.env.npm_execpath;
	const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
	const options = { cwd: root, stdio: ['ignore', 2, 2] };
	const done = npm?.endsWith('.js')
		? spawnSync(process.execPath, [npm, ...args], options)
		: spawnSync('npm', args, options);
	if (done.status !== 0)
		fail('npm ci did not finish', 'read the lines above; a proxy or registry setting is the usual cause');
	if (!existsSync(pinnedNode))
		fail(
			'the pinned Node is missing after npm ci',
			'run `npm rebuild node`; npm must be allowed to run its install script',
		);
	writeFileSync(stampFile, wanted);
}

/** Runs a tool to its end under the pinned Node; exits with its code when that is not 0. */
function step(title, args) {
	const done = spawnSync(pinnedNode, args, { cwd: root, stdio: ['ignore', 2, 2] });
	if (done.status !== 0) fail(`${title} failed (exit ${done.status ?? done.signal})`, 'read the lines above');
}

function build() {
	step('the TypeScript build', [bin('tsc'), '-b']);
	step('building the shipped strategies', [path.join(root, 'sdk/dist/src/build/build-plugins.js')]);
	step('building what runs native strategies', [path.join(root, 'host/dist/src/strategy/native/prebuild.js')]);
}

/** Hands the terminal to `args` under the pinned Node, passes signals on, and ends as it ends. */
function become(args, variables = {}) {
	const PATH = `${path.dirname(pinnedNode)}${path.delimiter}${process.env.PATH ?? ''}`;
	const env = { ...process.env, PATH, ...variables };
	const child = spawn(pinnedNode, args, { cwd: process.env.INIT_CWD ?? process.cwd(), stdio: 'inherit', env });
	for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
	child.on('exit', (code, signal) => {
		if (signal === null) process.exit(code ?? 1);
		process.removeAllListeners(signal);
		process.kill(process.pid, signal);
	});
}

const formatted = ['.'];
const linted = ['proto', 'sdk', 'adapters', 'fabric', 'templates', 'host', 'test'];
const cli = path.join(root, 'host/dist/src/cli/main.js');

/** Tests run compiled: `host/src/x.test.ts` is `host/dist/src/x.test.js`. Anything else, a pattern or an option, stays as it is. */
function compiled(arg) {
	return arg.replace(/^(?:\.\/)?([a-z]+)\/(?!dist\/)(.+)\.ts$/, '$1/dist/$2.js');
}

/** Hundreds of processes that load the same modules: each is compiled once. */
function ava(...args) {
	build();
	process.env.INIT_CWD = root;
	become([bin('ava'), ...args], { NODE_COMPILE_CACHE: path.join(root, 'node_modules/.cache/compiled') });
}

const commands = {
	up: (args) => {
		build();
		become([cli, 'up', ...args]);
	},
	test: (args) => ava(...args.map(compiled)),
	external: (args) => ava('--config', 'ava.external.config.mjs', ...args.map(compiled)),
	long: (args) => ava('--config', 'ava.long.config.mjs', ...args.map(compiled)),
	build: () => build(),
	generate: () => {
		step('generating from the .proto files', [path.join(root, 'scripts/generate-proto.mjs')]);
		step('the TypeScript build', [bin('tsc'), '-b', 'sdk']);
		step('generating the ABI', [path.join(root, 'sdk/dist/abi/generate.js')]);
		build();
		step('generating the reference pages', [path.join(root, 'host/dist/src/docs/generate.js')]);
	},
	lint: (args) => {
		step('the TypeScript build', [bin('tsc'), '-b']);
		process.env.INIT_CWD = root;
		become([bin('oxlint'), '--type-aware', '--deny-warnings', ...linted, ...args]);
	},
	format: (args) => {
		process.env.INIT_CWD = root;
		become([bin('biome'), 'check', ...(args.length > 0 ? args : ['--write']), ...formatted]);
	},
	sim: (args) => {
		step('the TypeScript build', [bin('tsc'), '-b', 'test']);
		process.env.INIT_CWD = root;
		become(['--enable-source-maps', path.join(root, 'test/dist/sim/main.js'), ...args]);
	},
	chaos: (args) => {
		build();
		process.env.INIT_CWD = root;
		become(['--enable-source-maps', path.join(root, 'test/dist/chaos/main.js'), ...args]);
	},
	fuzz: (args) => {
		step('the TypeScript build', [bin('tsc'), '-b', 'test']);
		process.env.INIT_CWD = root;
		become(['--enable-source-maps', path.join(root, 'test/dist/fuzz/main.js'), ...args]);
	},
	bench: (args) => {
		build();
		process.env.INIT_CWD = root;
		become([path.join(root, 'test/dist/bench/main.js'), ...args]);
	},
};

const [name, ...rest] = process.argv.slice(2);
const command = commands[name];
if (command === undefined) fail(`unknown command ${name ?? '(none)'}`, `one of: ${Object.keys(commands).join(', ')}`);
install();
command(rest);
