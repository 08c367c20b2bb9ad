// Owns `infermesh evaluate`: what recordings say of strategies that were not in charge.
import type { Command } from 'commander';
import { offPolicyInChild, replayLimits } from '../main/replay-service.js';
import { renderOffPolicy } from '../recorder/off-policy/text.js';
import { act, type Cli, withExample, withJson } from './command.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { type OutputOptions, print } from './output.js';
import { duration, whole } from './values.js';

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

export function addEvaluateCommands(program: Command, cli: Cli): void {
	const evaluate = program.command('evaluate').description('what recordings say of strategies that were not in charge');
	withExample(
		withJson(
			evaluate
				.command('off-policy')
				.description(
					'estimate from recorded decisions with exploration what single decisions of another strategy would have brought; exit code 1 when the recording does not support any estimate',
				)
				.argument('<file...>', 'recording files, or a folder of them')
				.requiredOption('--against <strategy>', 'a .wasm file, a project folder or a shipped name'),
		)
			.option('--slo <objectives>', 'what a request is to meet', 'ttft<5s,tpot<100ms')
			.option('--seed <number>', 'of the bootstrap', whole(0, 4_294_967_295), 1)
			.option('--memory-mib <count>', 'heap of the process that replays', whole(64, 65_536), replayLimits.memoryMib)
			.option('--timeout <duration>', 'time it may take, like 10m', duration, replayLimits.timeoutMs),
		'infermesh evaluate off-policy .infermesh/recordings --against least_request',
	).action(act(cli, (context, paths: readonly string[], flags: OffPolicyFlags) => offPolicy(context, paths, flags)));
}
