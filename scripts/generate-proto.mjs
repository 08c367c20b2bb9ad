#!/usr/bin/env node
// Owns the generation of proto/src/gen from the .proto files: buf compiles them, ts-proto writes messages and grpc-js services. `--into DIR` writes
// under another folder, for the test that compares.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const bins = path.join(root, 'node_modules', '.bin');
const env = { ...process.env, PATH: `${bins}${path.delimiter}${process.env.PATH ?? ''}` };
const [flag, folder] = process.argv.slice(2);
const output = flag === '--into' && folder !== undefined ? ['--output', folder] : [];
for (const args of [['lint'], ['generate', ...output]]) {
	const done = spawnSync(path.join(bins, 'buf'), args, { cwd: path.join(root, 'proto'), stdio: ['ignore', 2, 2], env });
	if (done.status !== 0) process.exit(done.status ?? 1);
}
