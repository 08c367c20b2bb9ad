// Owns `infermesh experiment`: whether a strategy is better, found out on the running mesh. What a command shows is the mesh's answer; nothing is computed here.
import { createInterface } from 'node:readline';
import { MeshError } from '@infermesh/proto';
import { didYouMean } from '@infermesh/sdk';
import type { Command } from 'commander';
import { experimentKinds } from '../experiments/design/design.js';
import { guardrailDefaults } from '../experiments/design/guardrail-rules.js';
import { promotionRules } from '../experiments/design/promotion.js';
import { renderExperimentHtml } from '../experiments/report-html.js';
import type { ExperimentView, PlanView, StartRequest } from '../experiments/view.js';
import type { ExperimentDocument } from '../experiments/views.js';
import type { Interval } from '../statistics/interval.js';
import { splitKeys } from '../strategy/runtime/plan.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { cliErrors, EXIT_FAILED, EXIT_OK } from './errors.js';
import { type Column, print, printItems, showMs, showTime } from './output.js';
import { pause } from './pause.js';
import { type SignFlags, signedOf, withSign } from './report-signature.js';
import { decimal, duration, oneOf, setting, whole } from './values.js';

const FOLLOW_MS = 1000;
const limits = Object.keys(guardrailDefaults);

const percent = (share: number | null, digits = 1): string =>
	share === null ? '-' : `${(share * 100).toFixed(digits)} %`;
const points = (share: number): string => `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)}`;

/** A span that may be days. */
function showSpan(ms: number): string {
	if (ms >= 3_600_000) return `${(ms / 3_600_000).toFixed(1)} h`;
	if (ms >= 60_000) return `${(ms / 60_000).toFixed(1)} min`;
	return ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : showMs(ms);
}

function outcomeText({ state, end, verdict }: ExperimentView): string {
	return end === null ? `${state}, ${verdict}` : `${end.how}: ${end.reason}`;
}

function effectText({ difference, interval, evidence }: ExperimentView): string {
	if (difference !== null && interval !== null)
		return `${points(difference)} (${points(interval.lower)} … ${points(interval.upper)}) points`;
	return evidence === null ? '-' : `evidence of harm ${evidence.toPrecision(3)}`;
}

const columns: readonly Column<ExperimentView>[] = [
	{ title: 'EXPERIMENT', value: ({ id }) => id },
	{ title: 'KIND', value: ({ kind }) => kind },
	{ title: 'MODEL', value: ({ model }) => model },
	{ title: 'CANDIDATE', value: ({ candidate }) => candidate },
	{ title: 'BASELINE', value: ({ baseline }) => baseline },
	{ title: 'PAIRS', value: ({ pairs }) => String(pairs), right: true },
	{ title: 'EFFECT', value: effectText },
	{ title: 'STARTED', value: ({ startedAtMs }) => showTime(startedAtMs) },
	{ title: 'OUTCOME', value: outcomeText },
];

function planText(plan: PlanView): string {
	const { ttftMs, tpotMs, ttftPerTokenMs } = plan.objectives;
	const perToken = ttftPerTokenMs === 0 ? '' : ` + ${ttftPerTokenMs} ms a prompt token`;
	const shape =
		plan.kind === 'switchback'
			? `blocks of ${showSpan(plan.blockMs)}, burn-in ${showSpan(plan.burnInMs)}, at most ${showSpan(plan.hours * 3_600_000)}`
			: `${percent(plan.share)} of the requests`;
	return [
		`${plan.kind} on ${plan.model}: ${plan.candidate} against ${plan.baseline}`,
		`  good request    TTFT within ${showMs(ttftMs)}${perToken}, TPOT within ${showMs(tpotMs)}`,
		`  design          ${shape}; seed ${plan.seed}, digest ${plan.designDigest.slice(0, 12)}`,
		`  traffic         ${plan.requestsPerS.toFixed(1)} requests a second`,
		`  duration        ${plan.text}`,
		`  promotion       ${plan.promote === 'never' ? 'left to you' : `on ${plan.promote}`}`,
		...plan.notes.map((note) => `  note            ${note}`),
		'',
	].join('\n');
}

function statusText(view: ExperimentView): string {
	const { block, end, trip, bad, requests } = view;
	const lines = [
		`${view.id}: ${view.kind} on ${view.model}, ${view.candidate} against ${view.baseline}`,
		`  outcome     ${outcomeText(view)}`,
	];
	if (block !== null)
		lines.push(
			`  now         block ${block.number}, ${block.arm}${block.burnIn ? ' (burn-in)' : ''}, another ${showSpan(block.endsInMs)}`,
		);
	if (view.kind === 'switchback')
		lines.push(`  pairs       ${view.pairs} judged, ${view.pairsDropped} dropped, of ${view.pairsMax}`);
	lines.push(`  effect      ${effectText(view)}`);
	if (view.winRate !== null && view.winRateInterval !== null)
		lines.push(
			`  win rate    ${percent(view.winRate)} (${percent(view.winRateInterval.lower)} … ${percent(view.winRateInterval.upper)})`,
		);
	lines.push(
		`  bad         baseline ${bad.baseline} of ${requests.baseline}, candidate ${bad.candidate} of ${requests.candidate}`,
	);
	if (trip !== null) lines.push(`  guardrail   ${trip.rule}: ${trip.reason}`);
	if (view.leftMs !== null) lines.push(`  left        about ${showSpan(view.leftMs)}`);
	if (view.runner !== null) lines.push(`  run by      ${view.runner}`);
	if (end?.restoredAtMs !== undefined)
		lines.push(`  in force    on all routers ${showMs(Math.max(0.1, end.restoredAtMs - end.atMs))} after the decision`);
	return `${lines.join('\n')}\n`;
}

const ID_TEXT = 'id of the experiment (default: the newest)';

const listed = async (client: AdminClient): Promise<readonly ExperimentView[]> =>
	(await client.get<{ items: ExperimentView[] }>('/experiments')).items;

/** Which one is meant where none is named: the one that began last. */
async function newest(client: AdminClient): Promise<string> {
	const [first] = await listed(client);
	if (first !== undefined) return first.id;
	throw new MeshError(cliErrors, 'IM_CLI_USAGE', 'there is no experiment yet', {
		hint: 'infermesh experiment start NAME begins one',
	});
}

/** What ends something guesses only where nothing else can be meant. */
async function onlyRunning(client: AdminClient): Promise<string> {
	const running = (await listed(client)).filter(({ state }) => state === 'running');
	const [first] = running;
	if (first !== undefined && running.length === 1) return first.id;
	throw new MeshError(
		cliErrors,
		'IM_CLI_USAGE',
		first === undefined
			? 'no experiment runs'
			: `name one of those that run: ${running.map(({ id }) => id).join(', ')}`,
	);
}

type StartOptions = MeshOptions & {
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

function requestOf(candidate: string, options: StartOptions): StartRequest {
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
async function confirm(context: CliContext, question: string): Promise<void> {
	if (context.stdin.isTTY !== true)
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', 'nobody can be asked here: give --yes to start it, or --dry-run');
	context.stderr.write(`${question} [y/N] `);
	const lines = createInterface({ input: context.stdin });
	const answer = await lines[Symbol.asyncIterator]().next();
	lines.close();
	if (answer.done === true || !/^y(es)?$/i.test(answer.value.trim()))
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', 'not started');
}

/** Shows the plan on standard error, and starts it once that is agreed to. */
async function start(context: CliContext, candidate: string, options: StartOptions): Promise<number> {
	const client = new AdminClient(context, options);
	const request = requestOf(candidate, options);
	const plan = await client.post<PlanView>('/experiments/plan', request);
	if (options.dryRun === true) {
		print(context, options, plan, () => planText(plan));
		return EXIT_OK;
	}
	context.stderr.write(planText(plan));
	if (options.yes !== true) await confirm(context, 'Start it?');
	// What was shown is what is started.
	const begun = await client.post<ExperimentView>('/experiments', { ...request, seed: plan.seed });
	if (options.follow === true) return follow(context, client, begun.id, options);
	print(context, options, begun, () => `started ${begun.id}; next: infermesh experiment status ${begun.id}\n`);
	return EXIT_OK;
}

function progressText({ kind, block, pairs }: ExperimentView): string {
	if (kind !== 'switchback') return '';
	const counted = `${pairs} ${pairs === 1 ? 'pair' : 'pairs'}, `;
	return block === null ? counted : `block ${block.number} (${block.arm}), ${counted}`;
}

/** Until it has ended. Exit code 1 when the candidate was rolled back. */
async function follow(context: CliContext, client: AdminClient, id: string, options: MeshOptions): Promise<number> {
	let told = '';
	for (;;) {
		const view = await client.get<ExperimentView>(`/experiments/${encodeURIComponent(id)}`);
		const text = `${id}: ${progressText(view)}${effectText(view)}\n`;
		if (text !== told && view.state !== 'ended') context.stderr.write(text);
		told = text;
		if (view.state === 'ended' || context.signal.aborted) {
			print(context, options, view, () => statusText(view));
			return view.end?.how === 'rollback' ? EXIT_FAILED : EXIT_OK;
		}
		await pause(context, FOLLOW_MS);
	}
}

type ReportOptions = MeshOptions & SignFlags & { readonly html?: string };

async function report(context: CliContext, id: string | undefined, options: ReportOptions): Promise<void> {
	const client = new AdminClient(context, options);
	const at = `/experiments/${encodeURIComponent(id ?? (await newest(client)))}`;
	const [document, view] = await Promise.all([
		client.get<ExperimentDocument>(`${at}/report`),
		client.get<ExperimentView>(at),
	]);
	if (options.html !== undefined) {
		context.writeFile(options.html, renderExperimentHtml(document));
		context.stderr.write(`report: ${options.html}\n`);
	}
	const made = signedOf(context, options, { kind: 'experiment', subject: document.id }, document);
	print(context, options, made, () => statusText(view) + reportText(document));
}

function ratioText({ value, interval }: { readonly value: number; readonly interval: Interval }): string {
	return `${value.toFixed(3)} (${interval.lower.toFixed(3)} … ${interval.upper.toFixed(3)})`;
}

function reportText(document: ExperimentDocument): string {
	const { switchback, decisionLatencyUs, decisionTimeouts, hedgeWaste, ttftMs, guardrails } = document;
	const lines: string[] = [];
	const line = (name: string, value: string, guarantee: string): void =>
		void lines.push(`  ${name.padEnd(18)} ${value}`, `      ${guarantee}`);
	const both = <T>(values: { readonly baseline: T; readonly candidate: T }, show: (value: T) => string): string =>
		`baseline ${show(values.baseline)}, candidate ${show(values.candidate)}`;
	if (switchback !== undefined) {
		const { attainmentDifference, winRate, permutation, ttftP99Ratio } = switchback;
		const { mean, interval } = attainmentDifference.value;
		// Without a pair there is nothing to show, and a 0 would look like a finding.
		const shown = (text: string): string => (switchback.pairs.length === 0 ? 'no pair was judged' : text);
		line(
			'attainment',
			shown(`${points(mean)} (${points(interval.lower)} … ${points(interval.upper)}) points`),
			attainmentDifference.guarantee,
		);
		line('win rate', shown(percent(winRate.value.value)), winRate.guarantee);
		line('permutation test', shown(`p = ${permutation.value.p.toPrecision(3)}`), permutation.guarantee);
		if (ttftP99Ratio !== undefined) line('TTFT p99 ratio', ratioText(ttftP99Ratio.value), ttftP99Ratio.guarantee);
	}
	if (document.safety !== undefined)
		line('harm', `evidence ${document.safety.harm.value.evidence.toPrecision(3)}`, document.safety.harm.guarantee);
	line(
		'decision p99',
		both(decisionLatencyUs.value, ({ p99 }) => (p99 === 0 ? '-' : `${p99.toFixed(0)} µs`)),
		decisionLatencyUs.guarantee,
	);
	line(
		'timeouts',
		both(decisionTimeouts.value, ({ count }) => String(count)),
		decisionTimeouts.guarantee,
	);
	line(
		'hedge waste',
		both(hedgeWaste.value, ({ share }) => percent(share)),
		hedgeWaste.guarantee,
	);
	line(
		'guardrails',
		guardrails.value.trip === undefined ? 'none broken' : guardrails.value.trip.reason,
		guardrails.guarantee,
	);
	if (ttftMs !== undefined)
		lines.push(`  TTFT p50 / p99     ${both(ttftMs, ({ p50, p99 }) => `${showMs(p50)} / ${showMs(p99)}`)}`);
	return `${lines.join('\n')}\n`;
}

function addStart(experiment: Command, cli: Cli): void {
	const command = withMesh(
		experiment
			.command('start')
			.description('find out on live traffic whether a loaded strategy is better than the active one')
			.argument('<candidate>', 'name or name@version'),
	)
		.option(
			'--kind <kind>',
			'switchback, canary (safety only) or request-ab (biased for latency)',
			oneOf(...experimentKinds),
			'switchback',
		)
		.option('--model <name>', 'where the mesh serves several')
		.option(
			'--promote [rule]',
			`make it active when it has won; rule: ${promotionRules.join(', ')}`,
			oneOf(...promotionRules),
		)
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
		.option('--block-requests-min <number>', 'a block with fewer does not count', whole(1))
		.option('--percent <number>', 'share of the candidate in a canary or split', decimal(0.01, 99.99))
		.option(
			'--by <key>',
			'what a split goes by: request, session or tenant (default: request for a canary, else session)',
			oneOf(...splitKeys),
		)
		.option('--requests-min <number>', 'of the candidate, before a canary or split passes', whole(1))
		.option('--duration <duration>', 'a canary or split lasts at least so long', duration)
		.option('--seed <number>', 'of the order of arms', whole(0, 0xffff_ffff))
		.option('--guardrail <name=value>', 'limit of a hard rule, repeatable', setting)
		.option('--dry-run', 'show what it would be and how long it would take')
		.option('--yes', 'start without asking')
		.option('--follow', 'show progress until it ends; exit code 1 when it was rolled back');
	withExample(
		command,
		'infermesh experiment start hybrid_mesh --ttft 2s --max-hours 8 --promote --dry-run',
		'infermesh experiment start hybrid_mesh --kind canary --percent 5 --yes',
	).action(act(cli, (context, candidate: string, options: StartOptions) => start(context, candidate, options)));
}

export function addExperimentCommands(program: Command, cli: Cli): void {
	const experiment = program
		.command('experiment')
		.description('compare strategies on the running mesh: switchback, canary, split');
	addStart(experiment, cli);
	withExample(
		withMesh(experiment.command('list').description('all experiments, the newest first')),
		'infermesh experiment list --json',
	).action(
		act(cli, async (context, options: MeshOptions) => {
			const items = await listed(new AdminClient(context, options));
			printItems(context, options, items, columns, 'no experiments; `infermesh experiment start NAME` begins one');
		}),
	);
	withExample(
		withMesh(
			experiment
				.command('status')
				.description('how an experiment stands: block, pairs, interval, time left')
				.argument('[id]', ID_TEXT),
		).option('--follow', 'show progress until it ends; exit code 1 when it was rolled back'),
		'infermesh experiment status x-1f3a9c02',
	).action(
		act(cli, async (context, given: string | undefined, options: MeshOptions & { readonly follow?: boolean }) => {
			const client = new AdminClient(context, options);
			const id = given ?? (await newest(client));
			if (options.follow === true) return follow(context, client, id, options);
			const view = await client.get<ExperimentView>(`/experiments/${encodeURIComponent(id)}`);
			print(context, options, view, () => statusText(view));
			return EXIT_OK;
		}),
	);
	withExample(
		withSign(
			withMesh(
				experiment
					.command('report')
					.description('what was found, each figure with what it promises')
					.argument('[id]', ID_TEXT),
			),
		).option('--html <file>', 'write a self-contained report with plots'),
		'infermesh experiment report x-1f3a9c02 --html report.html',
	).action(act(cli, (context, id: string | undefined, options: ReportOptions) => report(context, id, options)));
	withExample(
		withMesh(
			experiment
				.command('stop')
				.description('end an experiment: the baseline decides again')
				.argument('[id]', 'id of the experiment (default: the one that runs)'),
		).option('--reason <text>', 'for the record'),
		'infermesh experiment stop x-1f3a9c02 --reason "maintenance tonight"',
	).action(
		act(cli, async (context, given: string | undefined, options: MeshOptions & { readonly reason?: string }) => {
			const body = options.reason === undefined ? {} : { reason: options.reason };
			const client = new AdminClient(context, options);
			const id = given ?? (await onlyRunning(client));
			const view = await client.post<ExperimentView>(`/experiments/${encodeURIComponent(id)}/stop`, body);
			print(context, options, view, () => `stopped ${view.id}; ${view.baseline} decides on ${view.model} again\n`);
		}),
	);
}
