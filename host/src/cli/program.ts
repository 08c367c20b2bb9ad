// Owns the command tree and the way from arguments to an exit code. Every failure ends as one message with code, place and hint.
import { MeshError } from '@infermesh/proto';
import { Command, CommanderError } from 'commander';
import { addBenchCommand } from './bench.js';
import { addCheckCommand } from './check.js';
import type { Cli } from './command.js';
import { addConfigCommands } from './config.js';
import type { CliContext } from './context.js';
import { addDevCommand } from './dev.js';
import { addEngineCommand } from './engine.js';
import { cliErrors, EXIT_OK, EXIT_USAGE, exitCodeOf } from './errors.js';
import { addEventsCommand } from './events.js';
import { addExplainCommand } from './explain.js';
import { addFabricCommands } from './fabric.js';
import { addIdentityCommands } from './identity.js';
import { addNodeCommands } from './nodes.js';
import { addPolicyCommands } from './policy.js';
import { addSnapshotCommands } from './snapshot.js';
import { addStatusCommand } from './status.js';
import { addStrategyMeshCommands } from './strategy-mesh.js';
import { addStrategiesCommand, addStrategyProjectCommands } from './strategy-project.js';
import { addTargetCommands } from './target.js';
import { addKeyCommands, addTenantCommands } from './tenant.js';
import { addUpCommands } from './up.js';
import { addVersionCommand } from './version.js';

/** Builds the whole tree; also what docs/cli.md is generated from. */
export function createProgram(cli: Cli): Command {
	const program = new Command('infermesh')
		.description('A mesh for inference: strategies decide where requests go.')
		.version(cli.context.version, '-V, --version', 'print the version')
		.helpCommand(false)
		.showSuggestionAfterError(true);
	addUpCommands(program, cli);
	addStatusCommand(program, cli);
	addTargetCommands(program, cli);
	addPolicyCommands(program, cli);
	addTenantCommands(program, cli);
	addKeyCommands(program, cli);
	addNodeCommands(program, cli);
	addFabricCommands(program, cli);
	addEventsCommand(program, cli);
	addSnapshotCommands(program, cli);
	const strategy = program.command('strategy').description('write, test, load and stage strategies');
	addStrategyProjectCommands(strategy, cli);
	addStrategyMeshCommands(strategy, cli);
	addStrategiesCommand(program, cli);
	addDevCommand(program, cli);
	addExplainCommand(program, cli);
	addBenchCommand(program, cli);
	addEngineCommand(program, cli);
	addConfigCommands(program, cli);
	addCheckCommand(program, cli);
	addIdentityCommands(program, cli);
	addVersionCommand(program, cli);
	return program;
}

/** Applies settings that commander does not inherit. */
function everyCommand(command: Command, apply: (command: Command) => void): void {
	apply(command);
	for (const inner of command.commands) everyCommand(inner, apply);
}

/** Runs one command line (without `node` and the script). Never throws; the message of a failure goes to standard error. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
	const cli: Cli = { context, exitCode: EXIT_OK };
	const program = createProgram(cli);
	everyCommand(program, (command) => {
		command.exitOverride();
		command.configureOutput({
			writeOut: (text) => void context.stdout.write(text),
			// Help asked for goes to standard output; help shown because something is missing, to standard error.
			writeErr: (text) => void context.stderr.write(text),
			outputError: () => undefined,
		});
	});
	try {
		await program.parseAsync([...argv], { from: 'user' });
		return cli.exitCode;
	} catch (error) {
		return report(error, context);
	}
}

function report(error: unknown, context: CliContext): number {
	if (error instanceof CommanderError) {
		if (error.exitCode === 0) return EXIT_OK;
		if (error.code === 'commander.help') return EXIT_USAGE;
		const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
		context.stderr.write(`${new MeshError(cliErrors, 'IM_CLI_USAGE', message).format()}\n`);
		return EXIT_USAGE;
	}
	const named = error instanceof MeshError ? error : unnamed(error);
	context.stderr.write(`${named.format()}\n`);
	if (named.code === 'IM_CLI_BUG' && context.env['INFERMESH_DEBUG'] === '1')
		context.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
	return exitCodeOf(named);
}

/** What no room has named: the system's own words where there are some, else a bug. */
function unnamed(error: unknown): MeshError {
	const { code, message } = (error ?? {}) as NodeJS.ErrnoException;
	const system = typeof code === 'string' && /^E[A-Z]+$/.test(code);
	return new MeshError(cliErrors, system ? 'IM_CLI_SYSTEM' : 'IM_CLI_BUG', message, { cause: error });
}
