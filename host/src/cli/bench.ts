// Owns `infermesh bench`: a workload from a trace or a generator driven through a mesh, with percentiles, thresholds and a report.
import { MeshError } from '@infermesh/proto';
import { type Command, InvalidArgumentError } from 'commander';
import type { MeshStatus } from '../admin/schemas.js';
import { loadErrors } from '../load/errors.js';
import { MeasuredRows } from '../load/measured-rows.js';
import type { LoadOptions } from '../load/options.js';
import { createProgress } from '../load/progress.js';
import { renderHtml } from '../load/report/html.js';
import { renderText } from '../load/report/text.js';
import type { LoadResult } from '../load/result.js';
import { runLoad } from '../load/run.js';
import { openTraceFile, type TraceFormat } from '../load/trace/import.js';
import {
	type ArrivalOptions,
	type DiurnalOptions,
	type LengthOptions,
	type SyntheticOptions,
	syntheticTrace,
} from '../load/trace/synthetic.js';
import type { TraceSource } from '../load/trace/types.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { cliErrors, EXIT_FAILED, EXIT_OK } from './errors.js';
import { print } from './output.js';
import { collect, decimal, duration, oneOf, pair, whole } from './values.js';

/** How long a generated workload lasts when nothing bounds it. */
const DURATION_DEFAULT_MS = 30_000;
/** The router knows a request's session by this header. */
const SESSION_HEADER = 'x-infermesh-session';

interface BenchFlags extends MeshOptions {
	readonly url?: string;
	readonly model?: string;
	readonly endpoint?: 'chat' | 'completions';
	readonly stream: boolean;
	readonly apiKey?: string;
	readonly header?: readonly string[];
	readonly body?: Record<string, unknown>;
	readonly trace?: string;
	readonly format?: TraceFormat | 'auto';
	readonly rate?: number;
	readonly arrivals?: ArrivalOptions;
	readonly diurnal?: DiurnalOptions;
	readonly input?: LengthOptions;
	readonly output?: LengthOptions;
	readonly prefixes?: number;
	readonly prefixShare: number;
	readonly sessions?: number;
	readonly turns: number;
	readonly speed?: number;
	readonly requests?: number;
	readonly duration?: number;
	readonly maxInFlight?: number;
	readonly concurrency?: number;
	readonly timeout?: number;
	readonly slo?: string;
	readonly threshold?: readonly string[];
	readonly seed: number;
	readonly html?: string;
	readonly out?: string;
	readonly rows?: string;
}

/** `poisson`, `constant`, `gamma:CV` or `weibull:CV`. */
export function parseArrivals(text: string): ArrivalOptions {
	const [kind, cv] = text.split(':');
	if ((kind === 'poisson' || kind === 'constant') && cv === undefined) return { kind };
	if (kind === 'gamma' || kind === 'weibull') return { kind, cv: decimal(0.1, 20)(cv ?? '2') };
	throw new InvalidArgumentError('It must be poisson, constant, gamma:CV or weibull:CV.');
}

/** `AMPLITUDE:PERIOD`, as in 0.8:1h. */
export function parseDiurnal(text: string): DiurnalOptions {
	const [amplitude = '', period = ''] = text.split(':');
	return { amplitude: decimal(0, 1)(amplitude), periodSeconds: duration(period) / 1000 };
}

/** `fixed:TOKENS` or `MEAN` or `MEAN:CV` (lognormal). */
export function parseLengths(text: string): LengthOptions {
	const [first = '', second] = text.split(':');
	if (first === 'fixed') return { kind: 'fixed', tokens: whole(1)(second ?? '') };
	const mean = decimal(1)(first);
	return { kind: 'lognormal', mean, ...(second === undefined ? {} : { cv: decimal(0, 20)(second) }) };
}

function parseBody(text: string): Record<string, unknown> {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		value = undefined;
	}
	if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
	throw new InvalidArgumentError('It must be a JSON object, as in {"ignore_eos": true}.');
}

/** Options without those that are undefined, so that defaults of the callee stand. */
function given<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
	return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

function openWorkload(flags: BenchFlags): Promise<TraceSource> | TraceSource {
	if (flags.trace !== undefined)
		return openTraceFile(flags.trace, { seed: flags.seed, ...given({ format: flags.format }) });
	const options: SyntheticOptions = given({
		ratePerSecond: flags.rate,
		arrivals: flags.arrivals,
		diurnal: flags.diurnal,
		input: flags.input,
		output: flags.output,
		seed: flags.seed,
		prefixes: flags.prefixes === undefined ? undefined : { count: flags.prefixes, share: flags.prefixShare },
		sessions: flags.sessions === undefined ? undefined : { active: flags.sessions, turns: flags.turns },
	});
	return syntheticTrace(options);
}

/** A server that does not say what it serves within this is asked by name only. */
const MODELS_TIMEOUT_MS = 10_000;

/** The first model that the server lists. */
async function firstModelOf(url: string, flags: BenchFlags): Promise<string> {
	const headers = new Headers((flags.header ?? []).map(pair).map(([name, value]) => [name, value]));
	if (flags.apiKey !== undefined) headers.set('authorization', `Bearer ${flags.apiKey}`);
	let answer: { readonly data?: readonly { readonly id?: unknown }[] } | null;
	try {
		const signal = AbortSignal.timeout(MODELS_TIMEOUT_MS);
		const response = await fetch(`${url.replace(/\/+$/, '')}/v1/models`, { headers, signal });
		answer = response.ok ? ((await response.json()) as typeof answer) : null;
	} catch (cause) {
		throw new MeshError(cliErrors, 'IM_CLI_UNREACHABLE', `${url}: the server does not answer`, {
			hint: 'check --url; it is the address before /v1',
			cause,
		});
	}
	const id = answer?.data?.[0]?.id;
	if (typeof id === 'string') return id;
	const hint = 'say which model to ask for';
	throw new MeshError(cliErrors, 'IM_CLI_USAGE', `${url} lists no model`, { where: '--model', hint });
}

/** What to drive: as given, else the mesh that the admin API knows. */
async function destination(context: CliContext, flags: BenchFlags): Promise<{ url: string; model: string }> {
	if (flags.url !== undefined) return { url: flags.url, model: flags.model ?? (await firstModelOf(flags.url, flags)) };
	const status = await new AdminClient(context, flags).get<MeshStatus>('/status');
	const model = flags.model ?? status.models[0];
	if (model === undefined)
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', 'the mesh serves no model yet', {
			where: '--model',
			hint: 'add a target first: infermesh target add URL',
		});
	if (status.dataUrl === null)
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', `${status.node} runs no router`, {
			where: '--admin',
			hint: 'name a router’s admin API, or the data plane itself with --url; `infermesh nodes list` shows the roles of all',
		});
	return { url: status.dataUrl, model };
}

function loadOptions(flags: BenchFlags, to: { url: string; model: string }): LoadOptions {
	const endless = flags.trace === undefined && flags.requests === undefined && flags.duration === undefined;
	return given({
		...to,
		endpoint: flags.endpoint,
		stream: flags.stream,
		apiKey: flags.apiKey,
		headers: flags.header === undefined ? undefined : Object.fromEntries(flags.header.map(pair)),
		sessionHeader: SESSION_HEADER,
		extraBody: flags.body,
		speed: flags.speed,
		requests: flags.requests,
		durationMs: endless ? DURATION_DEFAULT_MS : flags.duration,
		maxInFlight: flags.maxInFlight,
		concurrency: flags.concurrency,
		requestTimeoutMs: flags.timeout,
		slo: flags.slo,
		thresholds: flags.threshold,
		seed: flags.seed,
	});
}

/** Where single requests are kept. Throws IM_LOAD_OPTION where a client cannot know the batch. */
function measuredRows(flags: BenchFlags): MeasuredRows | undefined {
	if (flags.rows === undefined) return undefined;
	if (flags.concurrency !== undefined && flags.stream) return new MeasuredRows(flags.concurrency);
	throw new MeshError(
		loadErrors,
		'IM_LOAD_OPTION',
		'rows need a closed loop and streams: --concurrency N, without --no-stream',
		{
			where: '--rows',
			hint: 'one run a size: --concurrency 1 for prompts alone, then 4, 16, 64 for steps of batches',
		},
	);
}

async function bench(context: CliContext, flags: BenchFlags): Promise<number> {
	const rows = measuredRows(flags);
	const source = await openWorkload(flags);
	const options = loadOptions(flags, await destination(context, flags));
	const progress = createProgress(context.stderr);
	const result = await runLoad(options, {
		clock: context.clock,
		source,
		signal: context.signal,
		onProgress: (snapshot) => progress.update(snapshot),
		onOutcome: (outcome) => rows?.add(outcome),
	}).finally(() => progress.done());
	if (flags.html !== undefined) {
		context.writeFile(flags.html, renderHtml(result));
		context.stderr.write(`report: ${flags.html}\n`);
	}
	if (flags.rows !== undefined && rows !== undefined) context.writeFile(flags.rows, rows.csv());
	if (flags.out !== undefined) context.writeFile(flags.out, `${JSON.stringify(result, null, 2)}\n`);
	print(context, flags, result, () => renderText(result));
	return passed(result) ? EXIT_OK : EXIT_FAILED;
}

/** Thresholds say what is good; without any, a run of which nothing came is not. */
function passed({ thresholds, requests }: LoadResult): boolean {
	if (thresholds.length > 0) return thresholds.every((verdict) => verdict.passed);
	return requests.completed > 0 || requests.failed + requests.dropped === 0;
}

export function addBenchCommand(program: Command, cli: Cli): void {
	withExample(
		withMesh(program.command('bench').description('drive a workload through a mesh and measure what clients see'))
			.option('--url <url>', 'OpenAI-compatible server (default: the data plane of the mesh)')
			.option('--model <name>', 'model to ask for (default: the first that is served there)')
			.option('--endpoint <name>', 'chat or completions', oneOf('chat', 'completions'))
			.option('--no-stream', 'ask for answers in one piece; only their whole time is measured')
			.option('--api-key <key>', 'bearer token of the data plane')
			.option('--header <name=value>', 'further request header, repeatable', collect)
			.option('--body <json>', 'merged into every request, as in {"ignore_eos":true}', parseBody)
			.option('--trace <file>', 'replay a trace: Azure CSV or Mooncake JSONL')
			.option('--format <name>', 'auto, azure or mooncake', oneOf('auto', 'azure', 'mooncake'))
			.option('--rate <number>', 'generator: requests a second (default: 2)', decimal(0.001, 100_000))
			.option('--arrivals <kind>', 'generator: poisson, constant, gamma:CV or weibull:CV', parseArrivals)
			.option('--diurnal <amplitude:period>', 'generator: a wave on the rate, as 0.8:1h', parseDiurnal)
			.option('--input <tokens>', 'generator: prompt length, MEAN[:CV] or fixed:N (default: 512)', parseLengths)
			.option('--output <tokens>', 'generator: answer length, MEAN[:CV] or fixed:N (default: 128)', parseLengths)
			.option('--prefixes <number>', 'generator: distinct shared prefixes', whole(1, 65_536))
			.option('--prefix-share <ratio>', 'generator: part of a prompt that is its prefix', decimal(0, 1), 0.5)
			.option('--sessions <number>', 'generator: conversations open at a time', whole(1, 10_000))
			.option('--turns <number>', 'generator: mean turns of a conversation', decimal(1), 5)
			.option('--speed <factor>', 'send this many times faster than the workload says', decimal(0.001, 10_000))
			.option('--requests <number>', 'stop sending after this many', whole(1))
			.option('--duration <time>', 'stop sending after this long: 30s, 5m (default for the generator: 30s)', duration)
			.option(
				'--max-in-flight <number>',
				'due requests beyond it are dropped and counted (default: 1024)',
				whole(1, 65_536),
			)
			.option(
				'--concurrency <number>',
				'closed loop: keep this many under way, arrival times ignored',
				whole(1, 65_536),
			)
			.option('--timeout <time>', 'a request fails when it is not over by then (default: 10m)', duration)
			.option('--slo <expression>', 'what counts as good (default: ttft<5s,tpot<100ms)')
			.option(
				'--threshold <expression>',
				'sets the exit code, repeatable: ttft.p99<2s, fail.rate<=0, goodput>=99%',
				collect,
			)
			.option('--seed <number>', 'seed of generator and prompts', whole(0, 0xffff_ffff), 1)
			.option('--html <file>', 'write a self-contained report with plots')
			.option(
				'--rows <file>',
				'write single requests as CSV for `simulate calibrate`; with --concurrency, on one engine',
			)
			.option('--out <file>', 'write the result as JSON'),
		"infermesh bench --rate 20 --duration 60s --threshold 'ttft.p99<2s' --html report.html",
	).action(act(cli, bench));
}
