// Owns what the flags of `infermesh experiment start` and `matched start` ask for, and the question before anything begins.
import { createInterface } from 'node:readline';
import { MeshError } from '@infermesh/proto';
import { didYouMean } from '@infermesh/sdk';
import type { Command } from 'commander';
import { guardrailDefaults } from '../experiments/design/guardrail-rules.js';
import type { StartRequest } from '../experiments/view.js';
import type { MeshOptions } from './command.js';
import type { CliContext } from './context.js';
import { cliErrors } from './errors.js';
import { decimal, duration, whole } from './values.js';

const limits = Object.keys(guardrailDefaults);

/** Objectives, blocks and bounds: what every design with blocks has. */
export function withDesign(command: Command): Command {
	return command
		.option('--ttft <duration>', 'a good request has its first token within it', duration)
		.option('--tpot <duration>', 'and each further one within it, on average', duration)
		.option('--ttft-per-token <ms>', 'time for the first token that each token of the prompt adds', decimal(0))
		.option('--effect <points>', 'difference in the good share that the hours are told for', decimal(0.01, 100))
		.option('--margin <points>', 'smallest difference that matters', decimal(0, 100))
		.option('--clip <points>', 'differences of pairs are clipped to plus or minus this', decimal(0.1, 100))
		.option('--alpha <probability>', 'of a wrong verdict', decimal(0.000001, 0.5))
		.option('--max-hours <hours>', 'a switchback ends undecided after so long', decimal(0.001))
		.option('--block <duration>', 'length of a block; default: by the traffic, 3m at least', duration)
		.option('--burn-in <duration>', 'of a block, not measured; default: p95 of requests', duration)
		.option('--settle <duration>', 'after a block, for its requests to end', duration)
		.option('--block-requests-min <number>', 'a block with fewer does not count', whole(1));
}

export type StartOptions = MeshOptions & {
	readonly kind: StartRequest['kind'];
	readonly model?: string;
	readonly promote?: true | NonNullable<StartRequest['promote']>;
	readonly block?: number;
	readonly burnIn?: number;
	readonly settle?: number;
	readonly maxHours?: number;
	readonly effect?: number;
	readonly margin?: number;
	readonly clip?: number;
	readonly alpha?: number;
	readonly seed?: number;
	readonly percent?: number;
	readonly by?: StartRequest['splitBy'];
	readonly requestsMin?: number;
	readonly duration?: number;
	readonly blockRequestsMin?: number;
	readonly ttft?: number;
	readonly tpot?: number;
	readonly ttftPerToken?: number;
	readonly guardrail?: Record<string, number | boolean>;
	readonly yes?: boolean;
	readonly dryRun?: boolean;
	readonly follow?: boolean;
};

/** Leaves out what was not given. */
function given<T extends object>(values: T): Partial<T> {
	return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

export function requestOf(candidate: string, options: StartOptions): StartRequest {
	const objectives = given({
		ttftMs: options.ttft,
		tpotMs: options.tpot,
		ttftPerTokenMs: options.ttftPerToken,
	});
	const request = {
		kind: options.kind,
		candidate,
		model: options.model,
		promote: options.promote === true ? 'win' : options.promote,
		objectives: Object.keys(objectives).length === 0 ? undefined : objectives,
		effect: options.effect === undefined ? undefined : options.effect / 100,
		margin: options.margin === undefined ? undefined : options.margin / 100,
		clip: options.clip === undefined ? undefined : options.clip / 100,
		share: options.percent === undefined ? undefined : options.percent / 100,
		maxHours: options.maxHours,
		alpha: options.alpha,
		seed: options.seed,
		blockMs: options.block,
		burnInMs: options.burnIn,
		settleMs: options.settle,
		splitBy: options.by,
		requestsMin: options.requestsMin,
		durationMsMin: options.duration,
		blockRequestsMin: options.blockRequestsMin,
		guardrails: options.guardrail,
	};
	for (const name of Object.keys(options.guardrail ?? {}))
		if (!(name in guardrailDefaults))
			throw new MeshError(cliErrors, 'IM_CLI_USAGE', `no guardrail has the limit ${name}${didYouMean(name, limits)}`, {
				hint: `The limits are ${limits.join(', ')}.`,
			});
	return given(request) as StartRequest;
}

/** Asks on a terminal; elsewhere `--yes` must say so. */
export async function confirm(context: CliContext, question: string): Promise<void> {
	if (context.stdin.isTTY !== true)
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', 'nobody can be asked here: give --yes to start it, or --dry-run');
	context.stderr.write(`${question} [y/N] `);
	const lines = createInterface({ input: context.stdin });
	const answer = await lines[Symbol.asyncIterator]().next();
	lines.close();
	if (answer.done === true || !/^y(es)?$/i.test(answer.value.trim()))
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', 'not started');
}
