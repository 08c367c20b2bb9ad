// Owns `infermesh replay`: recordings run again, with what decided them and against other strategies, in a process of its own.
import type { Command } from 'commander';
import { replayInChild, replayLimits } from '../main/replay-service.js';
import { renderReplayHtml } from '../recorder/replay/html.js';
import { replayDefaults } from '../recorder/replay/replay.js';
import { renderReplay } from '../recorder/replay/text.js';
import { act, type Cli, withExample, withJson } from './command.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { type OutputOptions, print } from './output.js';
import { collect, duration, whole } from './values.js';

interface ReplayOptions extends OutputOptions {
	readonly against?: readonly string[];
	readonly with?: readonly string[];
	readonly html?: string;
	readonly differences: number;
	readonly memoryMib: number;
	readonly timeout: number;
}

const list = (text: string, before: readonly string[] | undefined): string[] =>
	text
		.split(',')
		.reduce<string[]>((all, one) => (one.trim() === '' ? all : collect(one.trim(), all)), [...(before ?? [])]);

async function replay(context: CliContext, paths: readonly string[], options: ReplayOptions): Promise<number> {
	const { stderr } = context;
	let lines = 0;
	const report = await replayInChild(
		{
			paths,
			against: options.against ?? [],
			given: options.with ?? [],
			differencesMax: options.differences,
			version: context.version,
		},
		{ timeoutMs: options.timeout, memoryMib: options.memoryMib },
		context.clock,
		context.signal,
		(decisions) => {
			// One line redrawn on a terminal; elsewhere progress would only be noise between lines of a log.
			if (stderr.isTTY === true) stderr.write(`\r\x1b[2Kreplaying: ${decisions} decisions`);
			lines++;
		},
	);
	if (stderr.isTTY === true && lines > 0) stderr.write('\r\x1b[2K');
	if (options.html !== undefined) {
		context.writeFile(options.html, renderReplayHtml(report));
		stderr.write(`report: ${options.html}\n`);
	}
	print(context, options, report, () => renderReplay(report));
	return report.ok ? EXIT_OK : EXIT_FAILED;
}

export function addReplayCommand(program: Command, cli: Cli): void {
	withExample(
		withJson(
			program
				.command('replay')
				.description('run recorded decisions again: bit for bit, and against other strategies')
				.argument('<file...>', 'recording files, or a folder of them'),
		)
			.option(
				'--against <strategies>',
				'strategies to compare with, comma-separated or repeated: a .wasm or .so file, a project folder or a shipped name',
				list,
			)
			.option(
				'--with <modules>',
				'modules or libraries of strategies that decided, where the recording does not hold them',
				list,
			)
			.option('--html <file>', 'write the report as one HTML page')
			.option(
				'--differences <count>',
				'differences listed of each kind',
				whole(0, 1_000_000),
				replayDefaults.differencesMax,
			)
			.option('--memory-mib <count>', 'heap of the process that replays', whole(64, 65_536), replayLimits.memoryMib)
			.option('--timeout <duration>', 'time it may take, like 10m', duration, replayLimits.timeoutMs),
		'infermesh replay .infermesh/recordings --against least_request,./my-strategy --html replay.html',
	).action(act(cli, (context, paths: readonly string[], options: ReplayOptions) => replay(context, paths, options)));
}
