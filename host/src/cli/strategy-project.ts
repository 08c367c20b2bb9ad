// Owns the commands of the author's loop that need no running mesh: new, build, check, test, run and bench.

import { type BuildTarget, buildTargets } from '@infermesh/sdk';
import { type Command, Option } from 'commander';
import { askMissing, defaultTemplate, generate, renderGenerated, templates } from 'create-infermesh-strategy';
import { benchProject, benchTargets, renderBench } from '../project/bench-project.js';
import { buildProject, renderBuild } from '../project/build-project.js';
import { checkProject, renderCheck } from '../project/check-project.js';
import { renderRun, runOnce } from '../project/run-once.js';
import { renderTests, testProject } from '../project/test-project.js';
import { act, type Cli, withExample, withJson } from './command.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { type OutputOptions, print } from './output.js';
import { collect, STRATEGY_WHAT, wholeList } from './values.js';

interface NewOptions extends OutputOptions {
	readonly template?: string;
	readonly name?: string;
	readonly description?: string;
	readonly yes?: boolean;
	readonly force?: boolean;
}

async function create(context: CliContext, path: string, options: NewOptions): Promise<void> {
	const { json, yes, ...rest } = options;
	const asked = await askMissing({ ...rest, path }, yes === true || json === true, context);
	const result = generate(asked);
	print(context, options, result, () => renderGenerated(result));
}

interface BuildOptions extends OutputOptions {
	readonly out?: string;
	readonly target?: BuildTarget;
	readonly debug?: boolean;
}

interface BenchOptions extends OutputOptions {
	readonly targets?: readonly number[];
	readonly threshold?: readonly string[];
	readonly profile?: boolean;
}

async function bench(context: CliContext, what: string, options: BenchOptions): Promise<number> {
	const report = await benchProject(what, context.clock, {
		...(options.targets === undefined ? {} : { targets: options.targets }),
		...(options.threshold === undefined ? {} : { thresholds: options.threshold }),
		...(options.profile === true ? { profile: true } : {}),
		onProgress: (targets) => context.stderr.write(`measuring at ${targets} targets …\n`),
	});
	print(context, options, report, () => renderBench(report));
	return report.ok ? EXIT_OK : EXIT_FAILED;
}

export function addStrategyProjectCommands(strategy: Command, cli: Cli): void {
	withExample(
		withJson(
			strategy
				.command('new')
				.description('write a strategy project that builds, tests and loads at once')
				.argument('<path>', 'folder to make'),
		)
			.option(
				'--template <name>',
				`one of ${templates.map((template) => template.name).join(', ')} (default: ${defaultTemplate})`,
			)
			.option('--name <name>', 'name of the strategy (default: of the folder)')
			.option('--description <text>', 'one line')
			.option('-y, --yes', 'ask nothing')
			.option('--force', 'overwrite files that were changed'),
		'infermesh strategy new ./my-strategy --yes',
	).action(act(cli, (context, path: string, options: NewOptions) => create(context, path, options)));
	withExample(
		withJson(strategy.command('build').description('compile a project').argument('[dir]', 'project folder', '.'))
			.option('--out <file>', 'where it goes (default: build/NAME.wasm of the project, of a native strategy NAME.so)')
			.addOption(
				new Option(
					'--target <target>',
					'what a strategy in Rust is built to (default: `target` in strategy.yaml, else wasm32-unknown-unknown)',
				).choices(buildTargets),
			)
			.option('--debug', 'keep names and assertions'),
		'infermesh strategy build ./my-strategy',
	).action(
		act(cli, async (context, dir: string, options: BuildOptions) => {
			const { out, target, debug } = options;
			const report = await buildProject(dir, context.clock, {
				...(out === undefined ? {} : { outFile: out }),
				...(target === undefined ? {} : { target }),
				...(debug === undefined ? {} : { debug }),
			});
			print(context, options, report, () => renderBuild(report));
		}),
	);
	withExample(
		withJson(
			strategy
				.command('check')
				.description('the verdict the mesh would give, with figures')
				.argument('[what]', STRATEGY_WHAT, '.'),
		),
		'infermesh strategy check ./my-strategy',
	).action(
		act(cli, async (context, what: string, options: OutputOptions) => {
			const report = await checkProject(what, context.clock);
			print(context, options, report, () => renderCheck(report));
			return report.admitted ? EXIT_OK : EXIT_FAILED;
		}),
	);
	withExample(
		withJson(
			strategy
				.command('test')
				.description('run the scenarios of a project on its module')
				.argument('[dir]', 'project folder', '.'),
		).option('--only <text>', 'only scenarios whose name or file contains this'),
		'infermesh strategy test ./my-strategy',
	).action(
		act(cli, async (context, dir: string, options: OutputOptions & { readonly only?: string }) => {
			const report = await testProject(dir, options.only === undefined ? {} : { only: options.only });
			print(context, options, report, () => renderTests(report));
			return report.ok ? EXIT_OK : EXIT_FAILED;
		}),
	);
	withExample(
		withJson(
			strategy
				.command('run')
				.description('one decision from a request and a fleet in files')
				.argument('[what]', STRATEGY_WHAT, '.'),
		)
			.option('--request <file>', 'JSON or YAML of a request (default: examples/request.json of the project)')
			.option('--fleet <file>', 'JSON or YAML of targets (default: examples/fleet.json of the project)'),
		'infermesh strategy run hybrid_mesh --request request.json --fleet fleet.json',
	).action(
		act(
			cli,
			async (
				context,
				what: string,
				options: OutputOptions & { readonly request?: string; readonly fleet?: string },
			) => {
				const report = await runOnce(what, {
					...(options.request === undefined ? {} : { requestFile: options.request }),
					...(options.fleet === undefined ? {} : { fleetFile: options.fleet }),
				});
				print(context, options, report, () => renderRun(report));
				return report.decision.cause === 'none' ? EXIT_OK : EXIT_FAILED;
			},
		),
	);
	withExample(
		withJson(
			strategy
				.command('bench')
				.description('latency and fuel of one decision at several fleet sizes')
				.argument('[what]', STRATEGY_WHAT, '.'),
		)
			.option('--targets <list>', `fleet sizes (default: ${benchTargets.join(',')})`, wholeList)
			.option(
				'--threshold <expression>',
				'sets the exit code, repeatable: p50 p90 p99 max mean sync fuel, @SIZE',
				collect,
			)
			.option('--profile', 'where the fuel goes, by source line, at the largest size'),
		"infermesh strategy bench hybrid_mesh --targets 16,1024 --threshold 'p99@1024<5us'",
	).action(act(cli, (context, what: string, options: BenchOptions) => bench(context, what, options)));
}
