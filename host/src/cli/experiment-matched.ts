// Owns `infermesh experiment matched`: meshes of their own, the cells, compared with each other in pairs. It asks each of them over its admin API, and puts together what
// they report; no cell hears of another. A cell goes on by itself when this command is gone.
import { MeshError } from '@infermesh/proto';
import type { Command } from 'commander';
import { type JointDocument, jointDocument } from '../experiments/matched/joint.js';
import { renderJointHtml } from '../experiments/matched/joint-html.js';
import { type CellLook, checkApart, type NamedLook } from '../experiments/matched/look.js';
import { CELLS_MAX, type CellTraffic, type MatchedCells, matchCells } from '../experiments/matched/match.js';
import type { ExperimentView, PlanView, StartRequest } from '../experiments/view.js';
import type { ExperimentDocument } from '../experiments/views.js';
import { AdminClient } from './admin-client.js';
import { act, type Cli, type MeshOptions, withExample, withMesh } from './command.js';
import type { CliContext } from './context.js';
import { cliErrors, EXIT_FAILED, EXIT_OK } from './errors.js';
import { confirm, requestOf, type StartOptions, withDesign } from './experiment-request.js';
import { percent, points, showDropped, showSpan } from './experiment-text.js';
import { print, showMs } from './output.js';
import { pause } from './pause.js';
import { type SignFlags, signedOf, withSign } from './report-signature.js';
import { duration, pair, setting, whole } from './values.js';

const FOLLOW_MS = 2000;
/** All cells have been told by then. */
const START_IN_MS = 5000;

type CellOptions = MeshOptions & { readonly cell?: readonly (readonly [string, string])[] };
type MatchedStartOptions = StartOptions & CellOptions & { readonly pairsMin: number; readonly window: number };

interface Cell {
	readonly name: string;
	readonly host: string;
	readonly client: AdminClient;
}

function cellsOf(context: CliContext, options: CellOptions): readonly Cell[] {
	const given = options.cell ?? [];
	if (given.length < 2 || given.length > CELLS_MAX)
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', `name 2 to ${CELLS_MAX} cells, each by --cell NAME=ADMIN-URL`);
	if (new Set(given.map(([name]) => name)).size !== given.length)
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', 'two cells have one name');
	return given.map(([name, admin]) => {
		const client = new AdminClient(context, { ...options, admin });
		return { name, client, host: new URL(client.url).hostname };
	});
}

const pathOf = (id: string): string => `/experiments/${encodeURIComponent(id)}`;

async function looksOf(cells: readonly Cell[], model: string | undefined): Promise<readonly NamedLook[]> {
	const query = model === undefined ? '' : `?model=${encodeURIComponent(model)}`;
	return Promise.all(
		cells.map(async ({ name, host, client }) => ({
			name,
			host,
			look: await client.get<CellLook>(`/experiment-cell${query}`),
		})),
	);
}

/** What came in between two looks; since the routers' start where nothing did. */
function trafficOf(before: readonly NamedLook[], after: readonly NamedLook[]): readonly CellTraffic[] {
	return after.map(({ name, look }, at) => {
		const first = before[at]?.look;
		const isNew = first !== undefined && look.requests > first.requests;
		const since = (of: (look: CellLook) => number): number => of(look) - (isNew ? of(first) : 0);
		const requests = Math.max(
			1,
			since((one) => one.requests),
		);
		return {
			name,
			requestsPerS: look.requestsPerS,
			tokensIn: since((one) => one.tokensIn) / requests,
			tokensOut: since((one) => one.tokensOut) / requests,
		};
	});
}

/** IM_EXPERIMENT_CELLS, IM_EXPERIMENT_CELLS_SHARED, or IM_CLI_USAGE where cells do not do the same now. */
async function matchedOf(context: CliContext, cells: readonly Cell[], options: MatchedStartOptions) {
	const before = await looksOf(cells, options.model);
	checkApart(before);
	if (options.window > 0) {
		context.stderr.write(`watching the cells for ${showSpan(options.window)}\n`);
		await pause(context, options.window);
	}
	const after = await looksOf(cells, options.model);
	checkApart(after);
	for (const what of ['model', 'baseline'] as const) {
		const seen = new Set(after.map(({ look }) => look[what]));
		if (seen.size > 1)
			throw new MeshError(cliErrors, 'IM_CLI_USAGE', `the cells have not one ${what}: ${[...seen].join(', ')}`);
	}
	const traffic = trafficOf(before, after);
	return { traffic, matched: matchCells(traffic, options.pairsMin) };
}

function matchedText(plan: PlanView, traffic: readonly CellTraffic[], { pairs, notes }: MatchedCells): string {
	const of = (name: string): string => {
		const cell = traffic.find((one) => one.name === name);
		return `${name} (${cell?.requestsPerS.toFixed(1)}/s, ${cell?.tokensIn.toFixed(0)} in, ${cell?.tokensOut.toFixed(0)} out)`;
	};
	return [
		`matched cells on ${plan.model}: ${plan.candidate} against ${plan.baseline}`,
		...pairs.map(([a, b]) => `  pair            ${of(a)} with ${of(b)}`),
		`  good request    TTFT within ${showMs(plan.objectives.ttftMs)}, TPOT within ${showMs(plan.objectives.tpotMs)}`,
		`  design          blocks of ${showSpan(plan.blockMs)}, burn-in ${showSpan(plan.burnInMs)}, at most ${showSpan(plan.hours * 3_600_000)}; seed ${plan.seed}`,
		`  duration        ${plan.text}`,
		'  promotion       left to you',
		...[...notes, ...plan.notes.slice(1)].map((note) => `  note            ${note}`),
		'',
	].join('\n');
}

async function start(context: CliContext, candidate: string, options: MatchedStartOptions): Promise<number> {
	const cells = cellsOf(context, options);
	const { traffic, matched } = await matchedOf(context, cells, options);
	const asked: StartRequest = {
		...requestOf(candidate, { ...options, kind: 'matched-cells' }),
		cellPairs: matched.pairs.map(([a, b]) => [a, b]),
	};
	const plans = await Promise.all(
		cells.map(({ name, client }) => client.post<PlanView>('/experiments/plan', { ...asked, cell: name })),
	);
	const loaded = new Set(plans.map((one) => one.candidate));
	if (loaded.size > 1)
		throw new MeshError(cliErrors, 'IM_CLI_USAGE', `the cells have not one candidate: ${[...loaded].join(', ')}`);
	// One design for all: the longest lengths that any of them needs, the objectives and the seed of the first.
	const [first] = plans as [PlanView];
	const most = (of: (plan: PlanView) => number): number => Math.max(...plans.map(of));
	const burnInMs = Math.ceil(most((plan) => plan.burnInMs));
	const request: StartRequest = {
		...asked,
		seed: first.seed,
		objectives: first.objectives,
		burnInMs,
		blockMs: Math.ceil(most((plan) => plan.blockMs)),
		settleMs: asked.settleMs ?? Math.max(60_000, 2 * burnInMs),
	};
	const shown = await cells[0]?.client.post<PlanView>('/experiments/plan', { ...request, cell: cells[0].name });
	const plan = shown ?? first;
	if (options.dryRun === true) {
		print(context, options, { plan, traffic, pairs: matched.pairs, notes: matched.notes }, () =>
			matchedText(plan, traffic, matched),
		);
		return EXIT_OK;
	}
	context.stderr.write(matchedText(plan, traffic, matched));
	if (options.yes !== true) await confirm(context, 'Start it in all cells?');
	const id = await startAll(context, cells, request);
	await checkOne(cells, id);
	if (options.follow === true) return follow(context, cells, id, options);
	const next = cells.map(({ name, client }) => `--cell ${name}=${client.url}`).join(' ');
	print(
		context,
		options,
		{ id, cells: cells.map(({ name }) => name) },
		() => `started ${id} in ${cells.length} cells; next: infermesh experiment matched report ${id} ${next}\n`,
	);
	return EXIT_OK;
}

/** In all of them or in none. */
async function startAll(context: CliContext, cells: readonly Cell[], request: StartRequest): Promise<string> {
	const tag = Math.max(1, Buffer.from(context.randomBytes(4)).readUInt32BE());
	const id = `x-${tag.toString(16).padStart(8, '0')}`;
	const startAtMs = Math.ceil(context.clock.wallMs()) + START_IN_MS;
	const begun = await Promise.allSettled(
		cells.map(({ name, client }) =>
			client.post<ExperimentView>('/experiments', { ...request, cell: name, tag, startAtMs }),
		),
	);
	const failed = begun.find((one) => one.status === 'rejected');
	if (failed === undefined) return id;
	await stopAll(
		cells.filter((_, at) => begun[at]?.status === 'fulfilled'),
		id,
		'another cell could not start',
	);
	throw failed.reason;
}

/** What has begun is one comparison, or ends: cells may have loaded other modules under one label. */
async function checkOne(cells: readonly Cell[], id: string): Promise<void> {
	try {
		await jointOf(cells, id);
	} catch (error) {
		await stopAll(cells, id, error instanceof Error ? error.message : String(error));
		throw error;
	}
}

/** A cell that has ended by itself is passed over. */
async function stopAll(cells: readonly Cell[], id: string, reason: string): Promise<void> {
	const stopped = await Promise.allSettled(cells.map(({ client }) => client.post(`${pathOf(id)}/stop`, { reason })));
	for (const one of stopped)
		if (one.status === 'rejected' && !(one.reason instanceof MeshError && one.reason.code === 'IM_EXPERIMENT_ENDED'))
			throw one.reason;
}

async function jointOf(cells: readonly Cell[], id: string): Promise<JointDocument> {
	return jointDocument(
		await Promise.all(cells.map(({ client }) => client.get<ExperimentDocument>(`${pathOf(id)}/report`))),
	);
}

function jointText({ id, model, design, verdict, next, switchback, cells, notes, state }: JointDocument): string {
	const { attainmentDifference: effect, winRate, permutation, pairs, dropped } = switchback;
	const { mean, interval } = effect.value;
	const shown = (text: string): string => (pairs.length === 0 ? 'no pair was judged' : text);
	return [
		`${id}: matched cells on ${model}, ${design.candidate} against ${design.baseline}`,
		`  outcome     ${state}, ${verdict}: ${next.reason}`,
		`  cells       ${design.cellPairs.map(([a, b]) => `${a} with ${b}`).join(', ')}`,
		`  pairs       ${pairs.length} of blocks judged, ${showDropped(dropped)}, of ${design.pairsMax}`,
		`  effect      ${shown(`${points(mean)} (${points(interval.lower)} … ${points(interval.upper)}) points`)}`,
		`      ${effect.guarantee}`,
		`  win rate    ${shown(percent(winRate.value.value))}`,
		`  sign flips  ${shown(`p = ${permutation.value.p.toPrecision(3)}`)}`,
		`      ${permutation.guarantee}`,
		...cells.map(({ design: { cell }, switchback: own, points: closed }) => {
			const requests = closed.reduce((sum, one) => sum + one.requests, 0);
			return `  ${(cell ?? '').padEnd(11)} ${requests} requests, by itself ${own === undefined || own.pairs.length === 0 ? '-' : points(own.attainmentDifference.value.mean)}`;
		}),
		...notes.map((note) => `  note        ${note}`),
		'',
	].join('\n');
}

function progressText({ switchback: { pairs, dropped, attainmentDifference } }: JointDocument): string {
	const { mean, interval } = attainmentDifference.value;
	const effect =
		pairs.length === 0 ? '-' : `${points(mean)} (${points(interval.lower)} … ${points(interval.upper)}) points`;
	const lost = dropped.pairs === 0 ? '' : `${showDropped(dropped)}, `;
	return `${pairs.length} ${pairs.length === 1 ? 'pair' : 'pairs'}, ${lost}${effect}`;
}

/** Until there is a verdict, or a cell has ended; then all cells are ended. Exit code 1 when the candidate was worse or was rolled back. */
async function follow(context: CliContext, cells: readonly Cell[], id: string, options: MeshOptions): Promise<number> {
	let told = '';
	for (;;) {
		const joint = await jointOf(cells, id);
		const text = `${id}: ${progressText(joint)}\n`;
		if (text !== told) context.stderr.write(text);
		told = text;
		if (joint.state === 'ended' || context.signal.aborted) {
			const why = joint.next.action === 'continue' ? 'another cell has ended' : joint.next.reason;
			if (joint.state === 'ended') await stopAll(cells, id, `all cells: ${why}`);
			print(context, options, joint, () => jointText(joint));
			return joint.next.action === 'rollback' ? EXIT_FAILED : EXIT_OK;
		}
		await pause(context, FOLLOW_MS);
	}
}

type ReportOptions = CellOptions & SignFlags & { readonly html?: string };

async function report(context: CliContext, id: string, options: ReportOptions): Promise<void> {
	const joint = await jointOf(cellsOf(context, options), id);
	if (options.html !== undefined) {
		context.writeFile(options.html, renderJointHtml(joint));
		context.stderr.write(`report: ${options.html}\n`);
	}
	const made = signedOf(context, options, { kind: 'experiment', subject: joint.id }, joint);
	print(context, options, made, () => jointText(joint));
}

const cellPair = (
	text: string,
	before: readonly (readonly [string, string])[] | undefined,
): readonly (readonly [string, string])[] => [...(before ?? []), pair(text)];

function withCells(command: Command): Command {
	return withMesh(command).option('--cell <name=url>', 'a cell and its admin API, repeatable', cellPair);
}

export function addMatchedCommands(experiment: Command, cli: Cli): void {
	const matched = experiment
		.command('matched')
		.description('compare strategies over several meshes, in pairs of cells that are alike');
	const begin = withDesign(
		withCells(
			matched
				.command('start')
				.description('pair the cells, and let both of each pair alternate, always on different sides')
				.argument('<candidate>', 'name or name@version, loaded in all cells'),
		).option('--model <name>', 'where the cells serve several'),
	)
		.option('--seed <number>', 'of the order of arms', whole(0, 0xffff_ffff))
		.option('--guardrail <name=value>', 'limit of a hard rule in each cell, repeatable', setting)
		.option('--pairs-min <number>', 'refuse fewer pairs of cells', whole(1), 1)
		.option('--window <duration>', 'cells are matched by what comes in this time', duration, 60_000)
		.option('--dry-run', 'show the pairs and how long it would take')
		.option('--yes', 'start without asking')
		.option('--follow', 'until there is a verdict, then end it in all cells; exit code 1 when the candidate was worse');
	withExample(
		begin,
		'infermesh experiment matched start hybrid_mesh --cell east=https://east:8081 --cell west=https://west:8081 --ttft 2s --follow',
	).action(act(cli, (context, candidate: string, options: MatchedStartOptions) => start(context, candidate, options)));
	withExample(
		withSign(
			withCells(
				matched
					.command('report')
					.description('what all cells found together, each figure with what it promises')
					.argument('<id>', 'of the experiment, the same in all cells'),
			),
		).option('--html <file>', 'write a self-contained report with plots'),
		'infermesh experiment matched report x-1f3a9c02 --cell east=https://east:8081 --cell west=https://west:8081 --html report.html',
	).action(act(cli, (context, id: string, options: ReportOptions) => report(context, id, options)));
	withExample(
		withCells(
			matched
				.command('stop')
				.description('end it in all cells: the baseline decides again')
				.argument('<id>', 'of the experiment'),
		).option('--reason <text>', 'for the record', 'stopped by hand'),
		'infermesh experiment matched stop x-1f3a9c02 --cell east=https://east:8081 --cell west=https://west:8081',
	).action(
		act(cli, async (context, id: string, options: CellOptions & { readonly reason: string }) => {
			const cells = cellsOf(context, options);
			await stopAll(cells, id, options.reason);
			print(context, options, { id, stopped: cells.map(({ name }) => name) }, () => `stopped ${id} in all cells\n`);
		}),
	);
}
