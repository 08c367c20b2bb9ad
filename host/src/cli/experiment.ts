// Owns `infermesh experiment`: whether a strategy is better, found out on the running mesh. What a command shows is the mesh's answer; nothing is computed here.
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import { experimentKinds } from '../experiments/design/design.js';
import { promotionRules } from '../experiments/design/promotion.js';
import { renderExperimentHtml } from '../experiments/report-html.js';
import type { ExperimentView, PlanView } from '../experiments/view.js';
import type { ExperimentDocument } from '../experiments/views.js';
import type { Interval } from '../statistics/interval.js';
import { splitKeys } from '../strategy/runtime/plan.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { cliErrors, EXIT_FAILED, EXIT_OK } from './errors.js';
import { addMatchedCommands } from './experiment-matched.js';
import { confirm, requestOf, type StartOptions, withDesign } from './experiment-request.js';
import { percent, points, showSpan } from './experiment-text.js';
import { type Column, print, printItems, showMs, showTime } from './output.js';
import { pause } from './pause.js';
import { type SignFlags, signedOf, withSign } from './report-signature.js';
import { decimal, duration, oneOf, setting, whole } from './values.js';

const FOLLOW_MS = 1000;

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
		plan.kind === 'switchback' || plan.kind === 'matched-cells'
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
	if (view.kind === 'switchback' || view.kind === 'matched-cells')
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

function progressText({ kind, block, pairs, pairsDropped }: ExperimentView): string {
	if (kind !== 'switchback' && kind !== 'matched-cells') return '';
	const lost = pairsDropped === 0 ? '' : `${pairsDropped} dropped, `;
	const counted = `${pairs} ${pairs === 1 ? 'pair' : 'pairs'}, ${lost}`;
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
	const command = withDesign(
		withMesh(
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
			),
	)
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
	addMatchedCommands(experiment, cli);
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
