// Owns starting the command line under the pinned Node when the one that runs is too old. Plain JavaScript that runs on Node 20.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 24;
const here = path.dirname(fileURLToPath(import.meta.url));
const main = path.join(here, '..', 'dist', 'src', 'cli', 'main.js');

function fail(message, hint) {
	process.stderr.write(`IM_BOOTSTRAP_FAILED: ${message}\n  hint: ${hint}\n`);
	process.exit(1);
}

/** The pinned Node of the nearest node_modules at or above this package. */
function pinnedNode() {
	for (let folder = here; ; folder = path.dirname(folder)) {
		const node = path.join(folder, 'node_modules', 'node', 'bin', 'node');
		if (existsSync(node)) return node;
		if (folder === path.dirname(folder)) return undefined;
	}
}

/** Runs the command line with `args` put before the user's own. */
export async function run(...args) {
	if (!existsSync(main)) fail('the mesh is not built', 'run `npm run build` in the clone');
	if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN) {
		process.argv.splice(2, 0, ...args);
		await import(main);
		return;
	}
	const node = pinnedNode();
	if (node === undefined)
		fail(
			`Node ${NODE_MAJOR_MIN} or newer is needed, this is ${process.version}`,
			'run `npm ci`: it brings a pinned Node',
		);
	const child = spawn(node, [main, ...args, ...process.argv.slice(2)], { stdio: 'inherit' });
	for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
	child.on('exit', (code, signal) => {
		if (signal === null) process.exit(code ?? 1);
		process.removeAllListeners(signal);
		process.kill(process.pid, signal);
	});
}
