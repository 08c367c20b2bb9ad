// Owns the command tree and the way from arguments to an exit code. Every failure ends as one message with code, place and hint.
import { MeshError } from '@infermesh/proto';
import { Command, CommanderError } from 'commander';
import type { Cli } from './command.js';
import type { CliContext } from './context.js';
import { cliErrors, EXIT_OK, EXIT_USAGE, exitCodeOf } from './errors.js';

type AddCommands = (program: Command, cli: Cli) => void;

/** Top-level commands by the file that has them: a command loads what it needs and no more, the daemon above all. */
const groups: readonly { readonly names: readonly string[]; readonly load: () => Promise<AddCommands> }[] = [
	{ names: ['up', 'agent'], load: async () => (await import('./up.js')).addUpCommands },
	{ names: ['status'], load: async () => (await import('./status.js')).addStatusCommand },
	{ names: ['adapter'], load: async () => (await import('./adapter.js')).addAdapterCommands },
	{ names: ['capacity'], load: async () => (await import('./capacity.js')).addCapacityCommand },
	{ names: ['target'], load: async () => (await import('./target.js')).addTargetCommands },
	{ names: ['gpu'], load: async () => (await import('./gpu.js')).addGpuCommands },
	{ names: ['policy'], load: async () => (await import('./policy.js')).addPolicyCommands },
	{ names: ['quota'], load: async () => (await import('./quota.js')).addQuotaCommands },
	{ names: ['tenant'], load: async () => (await import('./tenant.js')).addTenantCommands },
	{ names: ['key'], load: async () => (await import('./tenant.js')).addKeyCommands },
	{ names: ['signing-key'], load: async () => (await import('./signing-key.js')).addSigningKeyCommands },
	{ names: ['nodes'], load: async () => (await import('./nodes.js')).addNodeCommands },
	{
		names: ['members', 'topology', 'cells', 'raft'],
		load: async () => (await import('./fabric.js')).addFabricCommands,
	},
	{ names: ['events'], load: async () => (await import('./events.js')).addEventsCommand },
	{ names: ['snapshot'], load: async () => (await import('./snapshot.js')).addSnapshotCommands },
	{ names: ['experiment'], load: async () => (await import('./experiment.js')).addExperimentCommands },
	{ names: ['report'], load: async () => (await import('./report-signature.js')).addReportCommands },
	{ names: ['strategy'], load: strategyCommands },
	{ names: ['strategies'], load: async () => (await import('./strategies.js')).addStrategiesCommand },
	{ names: ['dev'], load: async () => (await import('./dev.js')).addDevCommand },
	{ names: ['evaluate'], load: async () => (await import('./evaluate.js')).addEvaluateCommands },
	{ names: ['replay'], load: async () => (await import('./replay.js')).addReplayCommand },
	{ names: ['record'], load: async () => (await import('./record.js')).addRecordCommands },
	{ names: ['explain'], load: async () => (await import('./explain.js')).addExplainCommand },
	{ names: ['bench'], load: async () => (await import('./bench.js')).addBenchCommand },
	{ names: ['simulate'], load: async () => (await import('./simulate.js')).addSimulateCommands },
	{ names: ['engine'], load: async () => (await import('./engine.js')).addEngineCommand },
	{ names: ['config'], load: async () => (await import('./config.js')).addConfigCommands },
	{ names: ['check'], load: async () => (await import('./check.js')).addCheckCommand },
	{ names: ['ca', 'join-token'], load: async () => (await import('./identity.js')).addIdentityCommands },
	{ names: ['version'], load: async () => (await import('./version.js')).addVersionCommand },
];

async function strategyCommands(): Promise<AddCommands> {
	const [project, gate, mesh, shadow, signing] = await Promise.all([
		import('./strategy-project.js'),
		import('./gate.js'),
		import('./strategy-mesh.js'),
		import('./strategy-shadow.js'),
		import('./signing-key.js'),
	]);
	return (program, cli) => {
		const strategy = program.command('strategy').description('write, test, load and stage strategies');
		project.addStrategyProjectCommands(strategy, cli);
		gate.addGateCommand(strategy, cli);
		mesh.addStrategyMeshCommands(strategy, cli);
		shadow.addStrategyShadowCommand(strategy, cli);
		signing.addStrategySignCommand(strategy, cli);
	};
}

/** Builds the tree: with only the commands that come with `first`, when it is the name of one, else whole; docs/cli.md is generated from the whole. */
export async function createProgram(cli: Cli, first?: string): Promise<Command> {
	const program = new Command('infermesh')
		.description('A mesh for inference: strategies decide where requests go.')
		.version(cli.context.version, '-V, --version', 'print the version')
		.helpCommand(false)
		// A command may have options and commands of its own: what stands behind a name belongs to it.
		.enablePositionalOptions()
		.showSuggestionAfterError(true);
	const named = groups.filter(({ names }) => first !== undefined && names.includes(first));
	const adding = await Promise.all((named.length > 0 ? named : groups).map(({ load }) => load()));
	for (const add of adding) add(program, cli);
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
	const program = await createProgram(cli, argv[0]);
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
		return report(error, context, asksForJson(argv));
	}
}

/** Also where the command line is not understood: who asked for JSON reads nothing else. */
function asksForJson(argv: readonly string[]): boolean {
	const end = argv.indexOf('--');
	return (end < 0 ? argv : argv.slice(0, end)).includes('--json');
}

/** With --json an error is one JSON document on one line of standard error, the last that is written there. */
function write(error: MeshError, context: CliContext, json: boolean): void {
	context.stderr.write(json ? `${JSON.stringify({ error: error.toJSON() })}\n` : `${error.format()}\n`);
}

function report(error: unknown, context: CliContext, json: boolean): number {
	if (error instanceof CommanderError) {
		if (error.exitCode === 0) return EXIT_OK;
		if (error.code === 'commander.help') return EXIT_USAGE;
		const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
		write(new MeshError(cliErrors, 'IM_CLI_USAGE', message), context, json);
		return EXIT_USAGE;
	}
	const named = error instanceof MeshError ? error : unnamed(error);
	write(named, context, json);
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
