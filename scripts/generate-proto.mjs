#!/usr/bin/env node
// Owns the generation of proto/src/gen from the .proto files: buf compiles them, ts-proto writes messages and grpc-js services.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const bins = path.join(root, 'node_modules', '.bin');
const env = { ...process.env, PATH: `${bins}${path.delimiter}${process.env.PATH ?? ''}` };
for (const args of [['lint'], ['generate']]) {
	const done = spawnSync(path.join(bins, 'buf'), args, { cwd: path.join(root, 'proto'), stdio: ['ignore', 2, 2], env });
	if (done.status !== 0) process.exit(done.status ?? 1);
}
