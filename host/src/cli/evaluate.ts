// Owns `infermesh evaluate`: what recordings say of strategies that were not in charge, and what forks of a simulation say of choices that were not made.
import type { Command } from 'commander';
import { offPolicyInChild, replayLimits } from '../main/replay-service.js';
import { prepareStrategy } from '../project/prepare.js';
import { renderOffPolicy } from '../recorder/off-policy/text.js';
import { settingsOf, specOf } from '../simulator/grid/plan.js';
import { renderTrueRegret, trueRegret } from '../simulator/regret/forks.js';
import { SCENARIO_DEFAULT } from '../simulator/scenario/shipped.js';
import { openWorkload } from '../simulator/workload/open-workload.js';
import { act, type Cli, withExample, withJson } from './command.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { type OutputOptions, print } from './output.js';
import { pause } from './pause.js';
import { scenarioFor } from './simulate.js';
import { decimal, duration, whole } from './values.js';

interface OffPolicyFlags extends OutputOptions {
	readonly against: string;
	readonly slo: string;
	readonly seed: number;
	readonly memoryMib: number;
	readonly timeout: number;
}

async function offPolicy(context: CliContext, paths: readonly string[], flags: OffPolicyFlags): Promise<number> {
	const { stderr } = context;
	let told = false;
	const report = await offPolicyInChild(
		{ paths, against: flags.against, slo: flags.slo, seed: flags.seed, version: context.version },
		{ timeoutMs: flags.timeout, memoryMib: flags.memoryMib },
		context.clock,
		context.signal,
		(decisions) => {
			if (stderr.isTTY !== true) return;
			stderr.write(`\r\x1b[2Kreplaying: ${decisions} decisions`);
			told = true;
		},
	);
	if (told) stderr.write('\r\x1b[2K');
	print(context, flags, report, () => renderOffPolicy(report));
	return report.ok ? EXIT_OK : EXIT_FAILED;
}

interface RegretFlags extends OutputOptions {
	readonly scenario: string;
	readonly trace?: string;
	readonly requests: number;
	readonly speed: number;
	readonly decisions: number;
	readonly alternatives: number;
	readonly seed: number;
}

async function regret(context: CliContext, name: string, flags: RegretFlags): Promise<void> {
	const scenario = scenarioFor(context, flags, flags.scenario);
	const [setting] = settingsOf(scenario);
	if (setting === undefined) throw new Error('a scenario has at least one setting');
	const { module } = await prepareStrategy(name);
	const workload = await openWorkload(scenario.workload, flags.seed, setting.segment);
	const { stderr, signal } = context;
	const made = await trueRegret(specOf(scenario, setting, flags.speed, flags.seed), workload, module, {
		decisions: flags.decisions,
		alternatives: flags.alternatives,
		seed: flags.seed,
		after: async (runs, total) => {
			if (stderr.isTTY === true) stderr.write(`\r\x1b[2Kforking: ${runs} of ${total} runs`);
			// Lets an interrupt in.
			await pause(context, 0);
			return signal.aborted && runs < total;
		},
	});
	if (stderr.isTTY === true) stderr.write('\r\x1b[2K');
	print(context, flags, { strategy: module.label, ...made }, () => renderTrueRegret(module.label, made));
}

export function addEvaluateCommands(program: Command, cli: Cli): void {
	const evaluate = program
		.command('evaluate')
		.description('what recordings say of strategies, and forked simulations of choices, that were not in charge');
	withExample(
		withJson(
			evaluate
				.command('off-policy')
				.description(
					'estimate from recorded decisions with exploration what single decisions of another strategy would have brought; exit code 1 when the recording does not support any estimate',
				)
				.argument('<file...>', 'recording files, or a folder of them')
				.requiredOption('--against <strategy>', 'a .wasm or .so file, a project folder or a shipped name'),
		)
			.option('--slo <objectives>', 'what a request is to meet', 'ttft<5s,tpot<100ms')
			.option('--seed <number>', 'of the bootstrap', whole(0, 4_294_967_295), 1)
			.option('--memory-mib <count>', 'heap of the process that replays', whole(64, 65_536), replayLimits.memoryMib)
			.option('--timeout <duration>', 'time it may take, like 10m', duration, replayLimits.timeoutMs),
		'infermesh evaluate off-policy .infermesh/recordings --against least_request',
	).action(act(cli, (context, paths: readonly string[], flags: OffPolicyFlags) => offPolicy(context, paths, flags)));
	withExample(
		withJson(
			evaluate
				.command('regret')
				.description('true regret of decisions, by forks of a simulation: the same arrivals with one choice changed')
				.argument('<strategy>', 'a .wasm file, a project folder or a shipped name'),
		)
			.option('--scenario <file|name>', 'YAML file, or one that ships; its first setting is run', SCENARIO_DEFAULT)
			.option('--trace <file>', 'workload (default: the scenario’s)')
			.option('--requests <number>', 'the first so many of it', whole(1), 400)
			.option('--speed <factor>', 'arrival times are divided by it', decimal(0.001), 1)
			.option('--decisions <number>', 'sampled; each costs a run for every alternative', whole(1, 10_000), 200)
			.option('--alternatives <number>', 'other targets tried at each', whole(1, 64), 3)
			.option('--seed <number>', 'of the workload, the sample and the bootstrap', whole(0, 4_294_967_295), 1),
		'infermesh evaluate regret hybrid_mesh --requests 300 --decisions 100',
	).action(act(cli, (context, strategy: string, flags: RegretFlags) => regret(context, strategy, flags)));
}
