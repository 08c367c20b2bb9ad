// Owns `infermesh snapshot`: the whole mesh into a file, what is in such a file, and the beginning of a mesh from it.
import { type BackupHeader, BackupReader, Store } from '@infermesh/fabric';
import type { Command } from 'commander';
import { allKeys, readBackup, restoreBackup } from '../main/fabric/offline.js';
import { recordKinds } from '../records/kinds.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withJson, withMesh } from './command.js';
import { CONFIG_FILE, loadFor } from './config.js';
import type { CliContext } from './context.js';
import { type OutputOptions, print, renderTable, showTime } from './output.js';

/** Progress is told after each further megabyte. */
const PROGRESS_BYTES = 1024 * 1024;

async function save(context: CliContext, file: string, options: MeshOptions): Promise<void> {
	const client = new AdminClient(context, options);
	// What comes in is read as a restore would read it: a file that could not be restored is never given its name.
	const reader = new BackupReader();
	let bytes = 0;
	let told = 0;
	const pieces = async function* (): AsyncGenerator<Uint8Array> {
		for await (const piece of client.stream('/snapshot')) {
			reader.push(piece);
			bytes += piece.length;
			if (bytes - told >= PROGRESS_BYTES) {
				told = bytes;
				context.stderr.write(`${Math.floor(bytes / PROGRESS_BYTES)} MiB\n`);
			}
			yield piece;
		}
		reader.finish();
	};
	await context.saveStream(file, pieces());
	const { header, blobs, missing, sha256 } = reader.finish();
	const saved = { file, bytes, ...header, blobs: blobs.length, missing, sha256 };
	for (const id of missing) context.stderr.write(`missing: no holder has blob ${id}, which a strategy is made of\n`);
	print(context, options, saved, () =>
		[`saved ${file}: ${bytes} bytes, revision ${header.revision}`, `  SHA-256  ${sha256}`, ''].join('\n'),
	);
}

interface Inspected extends BackupHeader {
	readonly file: string;
	readonly bytes: number;
	readonly stateBytes: number;
	readonly keys: Readonly<Record<string, number>>;
	readonly blobs: readonly { readonly id: string; readonly bytes: number }[];
	readonly missing: readonly string[];
	readonly sha256: string;
}

/** Keys by kind of record; those of none by what stands before their first slash. */
function keysByKind(store: Store): Record<string, number> {
	const counts = new Map<string, number>();
	for (const { key } of allKeys(store)) {
		const kind = Object.entries(recordKinds).find(([, { prefix }]) => key.startsWith(prefix))?.[0];
		const name = kind ?? key.slice(0, key.indexOf('/') + 1 || key.length);
		counts.set(name, (counts.get(name) ?? 0) + 1);
	}
	return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function inspect(context: CliContext, file: string, options: OutputOptions): Promise<void> {
	const store = new Store();
	const restore = store.beginRestore();
	const reader = new BackupReader({ state: (piece) => restore.push(piece) });
	const { header, ...rest } = await readBackup(context.readPieces(file), reader);
	restore.finish();
	const inspected: Inspected = { file, ...header, ...rest, keys: keysByKind(store) };
	print(context, options, inspected, () => renderInspected(inspected));
}

function renderInspected(backup: Inspected): string {
	const { blobs, missing } = backup;
	const blobBytes = blobs.reduce((sum, { bytes }) => sum + bytes, 0);
	const lines = [
		`mesh      ${backup.meshId}`,
		`taken     ${showTime(backup.takenAtMs)} by ${backup.node}, version ${backup.version}`,
		`revision  ${backup.revision}, applied index ${backup.appliedIndex}`,
		`size      ${backup.bytes} bytes: state ${backup.stateBytes}, ${blobs.length} blobs ${blobBytes}`,
		`SHA-256   ${backup.sha256}`,
		...missing.map((id) => `missing   blob ${id}`),
	];
	const kinds = renderTable(Object.entries(backup.keys), [
		{ title: 'KIND', value: ([kind]) => kind },
		{ title: 'KEYS', value: ([, count]) => String(count), right: true },
	]);
	return `${lines.join('\n')}\n${kinds}`;
}

interface RestoreOptions extends OutputOptions {
	readonly config?: string;
	readonly replace?: boolean;
}

async function restore(context: CliContext, file: string, options: RestoreOptions): Promise<void> {
	const { config } = loadFor(context, options.config);
	const restored = await restoreBackup(config, () => context.readPieces(file), { replace: options.replace === true });
	for (const id of restored.missing)
		context.stderr.write(`missing: blob ${id} is not in the backup; load the strategy it belongs to again\n`);
	print(context, options, restored, () =>
		[
			`restored ${file} into ${config.state_dir}`,
			`  cluster   ${restored.clusterId} (was ${restored.from})`,
			`  revision  ${restored.revision} (was ${restored.revisionBefore})`,
			...(restored.aside === undefined ? [] : [`  put aside ${restored.aside}`]),
			'next: put the certificate authority in its place, start this node, then let the others join with empty state folders',
			'',
		].join('\n'),
	);
}

export function addSnapshotCommands(program: Command, cli: Cli): void {
	const snapshot = program.command('snapshot').description('backups of the whole mesh');
	withExample(
		withMesh(
			snapshot
				.command('save')
				.description('save replicated state and the strategies it names; ask a coordinator')
				.argument('<file>', 'written when the backup is complete'),
		),
		'infermesh snapshot save backup.snap --admin http://10.0.0.1:8081',
	).action(act(cli, save));
	withExample(
		withJson(
			snapshot
				.command('inspect')
				.description('check a backup and say what is in it')
				.argument('<file>', 'as `infermesh snapshot save` wrote it'),
		),
		'infermesh snapshot inspect backup.snap',
	).action(act(cli, inspect));
	withExample(
		withJson(
			snapshot
				.command('restore')
				.description('begin a mesh from a backup, on one node that does not run')
				.argument('<file>', 'as `infermesh snapshot save` wrote it'),
		)
			.option('--config <file>', `configuration file of that node (default: ${CONFIG_FILE} if there is one)`)
			.option('--replace', 'put aside the group that the state folder holds'),
		'infermesh snapshot restore backup.snap --config node-1.yaml',
	).action(act(cli, restore));
}
