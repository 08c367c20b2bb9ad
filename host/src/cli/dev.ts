// Owns `infermesh dev`: watch a strategy project; each save is compiled, checked and swapped into the running mesh.
import type { Command } from 'commander';
import { devProject, renderDevEvent } from '../project/dev-project.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { showMs } from './output.js';
import { uploadStrategy } from './strategy-mesh.js';

type DevOptions = MeshOptions & { readonly model?: string };

async function dev(context: CliContext, dir: string, options: DevOptions): Promise<void> {
	const client = new AdminClient(context, options);
	// Fails now, with a clear error, rather than after the first build.
	await client.get('/strategies');
	await devProject(dir, {
		clock: context.clock,
		signal: context.signal,
		load: async (wasm, sourceMap) => {
			const target = options.model === undefined ? {} : { model: options.model };
			const { strategy, admissionMs } = await uploadStrategy(client, wasm, sourceMap, { activate: true, ...target });
			return `${strategy.name}@${strategy.version} admitted in ${showMs(admissionMs)}`;
		},
		onEvent: (event) =>
			context.stdout.write(options.json === true ? `${JSON.stringify(event)}\n` : renderDevEvent(event)),
	});
}

export function addDevCommand(program: Command, cli: Cli): void {
	withExample(
		withMesh(
			program
				.command('dev')
				.description(
					'watch a strategy project: save, compile, check, swap into the running mesh (--json: one event a line)',
				)
				.argument('[dir]', 'project folder', '.'),
		).option('--model <name>', 'let it decide for one model only'),
		'infermesh dev ./my-strategy',
	).action(act(cli, (context, dir: string, options: DevOptions) => dev(context, dir, options)));
}
