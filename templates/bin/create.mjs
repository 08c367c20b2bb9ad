#!/usr/bin/env node
// Owns the entry of `npm create infermesh-strategy`: runs the generator under the Node this installation pins when it is there,
// since the one on PATH may be older. Plain JavaScript that runs on Node 20.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));

function pinnedNode() {
	for (let dir = here; dir !== path.dirname(dir); dir = path.dirname(dir)) {
		const candidate = path.join(dir, 'node_modules', 'node', 'bin', 'node');
		if (existsSync(candidate)) return candidate;
	}
	return undefined;
}

const built = path.join(here, '..', 'dist', 'src', 'index.js');
const pinned = Number(process.versions.node.split('.')[0]) < 24 ? pinnedNode() : undefined;
if (!existsSync(built)) {
	process.stderr.write(
		'IM_TEMPLATE_NOT_BUILT: the generator has not been compiled\n  hint: run `npm run build` in the InferMesh checkout\n',
	);
	process.exitCode = 1;
} else if (pinned === undefined) {
	const { runCreate } = await import('../dist/src/index.js');
	process.exitCode = await runCreate(process.argv.slice(2), process);
} else {
	const done = spawnSync(pinned, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
	process.exitCode = done.status ?? 1;
}
