// Owns `infermesh snapshot save`: the whole replicated state of a running mesh into a file, with its digest.
import { createHash } from 'node:crypto';
import type { Command } from 'commander';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { print } from './output.js';

/** Progress is told after each further megabyte. */
const PROGRESS_BYTES = 1024 * 1024;

async function save(context: CliContext, file: string, options: MeshOptions): Promise<void> {
	const client = new AdminClient(context, options);
	const hash = createHash('sha256');
	let bytes = 0;
	let told = 0;
	const pieces = async function* (): AsyncGenerator<Uint8Array> {
		for await (const piece of client.stream('/snapshot')) {
			hash.update(piece);
			bytes += piece.length;
			if (bytes - told >= PROGRESS_BYTES) {
				told = bytes;
				context.stderr.write(`${Math.floor(bytes / PROGRESS_BYTES)} MiB\n`);
			}
			yield piece;
		}
	};
	await context.saveStream(file, pieces());
	const sha256 = hash.digest('hex');
	print(context, options, { file, bytes, sha256 }, () => `saved ${file}: ${bytes} bytes\n  SHA-256  ${sha256}\n`);
}

export function addSnapshotCommands(program: Command, cli: Cli): void {
	const snapshot = program.command('snapshot').description('backups of the replicated state');
	withExample(
		withMesh(
			snapshot
				.command('save')
				.description('save the whole replicated state; ask a coordinator')
				.argument('<file>', 'written when the snapshot is complete'),
		),
		'infermesh snapshot save backup.snap --admin http://10.0.0.1:8081',
	).action(act(cli, save));
}
