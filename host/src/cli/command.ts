// Owns how a command is put together: shared options, an example in its help, and running it with its exit code kept for runCli.
import type { Command } from 'commander';
import type { AdminOptions } from './admin-client.js';
import { ADMIN_DEFAULT, TOKEN_FILE } from './admin-client.js';
import type { CliContext } from './context.js';
import { EXIT_OK } from './errors.js';
import type { OutputOptions } from './output.js';

/** What command files share: the context, and where an action leaves its exit code. */
export interface Cli {
	readonly context: CliContext;
	exitCode: number;
}

export type MeshOptions = AdminOptions & OutputOptions;

/** Adds `--json`. */
export function withJson(command: Command): Command {
	return command.option('--json', 'print one JSON document on standard output, an error as one on standard error');
}

/** Adds `--admin`, what goes with it, and `--json`. */
export function withMesh(command: Command): Command {
	return withJson(
		command
			.option('--admin <url>', `admin API of the mesh (default: INFERMESH_ADMIN, else ${ADMIN_DEFAULT})`)
			.option('--token <token>', `its token (default: INFERMESH_TOKEN, else ${TOKEN_FILE})`)
			.option(
				'--admin-ca <file>',
				'authorities of its certificate, PEM (default: INFERMESH_ADMIN_CA, else the system’s)',
			)
			.option('--admin-cert <file>', 'certificate to show it, PEM (default: INFERMESH_ADMIN_CERT)')
			.option('--admin-key <file>', 'key of that, PEM (default: INFERMESH_ADMIN_KEY)'),
	);
}

/** Adds an example to the help. */
export function withExample(command: Command, ...lines: readonly string[]): Command {
	return command.addHelpText('after', `\nexample:\n${lines.map((line) => `  ${line}`).join('\n')}\n`);
}

/** The action of a command: its exit code, or nothing for success. */
export function act<A extends readonly unknown[]>(
	cli: Cli,
	run: (context: CliContext, ...args: A) => Promise<number | void> | number | void,
): (...args: A) => Promise<void> {
	return async (...args) => {
		cli.exitCode = (await run(cli.context, ...args)) ?? EXIT_OK;
	};
}
