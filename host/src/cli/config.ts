// Owns `infermesh config`: the configuration that a mesh would run with, where each value comes from, and new API keys.
import { createHash } from 'node:crypto';
import type { Command } from 'commander';
import { type LoadedConfig, loadConfig } from '../config/load.js';
import { type ConfigRow, configRows } from '../config/show.js';
import type { FlagValue } from '../config/sources.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withJson, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { type Column, type OutputOptions, print, printItems } from './output.js';

export const CONFIG_FILE = 'infermesh.yaml';

/** Loads the configuration a command is to use: `--config`, else infermesh.yaml in the working directory if there is one. */
export function loadFor(context: CliContext, file: string | undefined, flags: readonly FlagValue[] = []): LoadedConfig {
	const { env, readText } = context;
	const found = file ?? (readable(context, CONFIG_FILE) ? CONFIG_FILE : undefined);
	return loadConfig({ env, readText, flags, ...(found === undefined ? {} : { file: found }) });
}

function readable(context: CliContext, file: string): boolean {
	try {
		context.readText(file);
		return true;
	} catch {
		return false;
	}
}

type ShowOptions = MeshOptions & { readonly config?: string; readonly origin?: boolean; readonly running?: boolean };

async function show(context: CliContext, options: ShowOptions): Promise<void> {
	const rows =
		options.running === true
			? (await new AdminClient(context, options).get<{ items: ConfigRow[] }>('/config')).items
			: configRows(loadFor(context, options.config));
	const columns: Column<ConfigRow>[] = [
		{ title: 'KEY', value: (row) => row.key },
		{ title: 'VALUE', value: (row) => JSON.stringify(row.value) },
	];
	if (options.origin === true) columns.push({ title: 'ORIGIN', value: (row) => row.origin });
	printItems(context, options, rows, columns, 'no configuration');
}

/** Bytes of randomness in an API key. */
const KEY_BYTES = 32;

function makeKey(context: CliContext, options: OutputOptions & { readonly id: string; readonly tenant: string }): void {
	const key = `im-${Buffer.from(context.randomBytes(KEY_BYTES)).toString('base64url')}`;
	const sha256 = createHash('sha256').update(key).digest('hex');
	const { id, tenant } = options;
	print(context, options, { key, id, tenant, sha256 }, () =>
		[
			`key: ${key}`,
			'It is shown once and stored nowhere. Add its hash to the configuration:',
			'keys:',
			`  - {id: ${JSON.stringify(id)}, tenant: ${JSON.stringify(tenant)}, sha256: ${sha256}}`,
			'',
		].join('\n'),
	);
}

export function addConfigCommands(program: Command, cli: Cli): void {
	const config = program.command('config').description('configuration: what a mesh runs with, and API keys');
	withExample(
		withMesh(config.command('show').description('every value a mesh started here would run with; secrets are masked'))
			.option('--config <file>', `configuration file (default: ${CONFIG_FILE} if there is one)`)
			.option('--origin', 'say where each value comes from: flag, environment, file:line:column or default')
			.option('--running', 'ask the running mesh instead'),
		'infermesh config show --origin',
	).action(act(cli, (context, options: ShowOptions) => show(context, options)));
	withExample(
		withJson(config.command('key').description('make an API key for the data plane'))
			.option('--id <id>', 'name of the key, shown in logs', 'key-1')
			.option('--tenant <name>', 'tenant its requests count for', 'default'),
		'infermesh config key --id team-a --tenant team-a',
	).action(act(cli, makeKey));
}
