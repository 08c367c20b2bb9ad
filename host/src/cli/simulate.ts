// Owns `infermesh simulate`: strategies compared on a simulated fleet, and `simulate calibrate`: a latency fitted to measurements.
import type { Command } from 'commander';
import { engineProfile } from '../engine/model/profiles.js';
import { calibrate, calibrationYaml, renderCalibration } from '../simulator/calibrate/calibrate.js';
import { type Measurements, readMeasurements } from '../simulator/calibrate/measurements.js';
import { simulateGrid } from '../simulator/grid/simulate-grid.js';
import { ALL, parseStrategies } from '../simulator/grid/strategies.js';
import { threadsDefault } from '../simulator/grid/thread-pool.js';
import { jsonDocument } from '../simulator/report/document.js';
import { renderHtml } from '../simulator/report/html.js';
import { createProgress } from '../simulator/report/progress.js';
import { renderText } from '../simulator/report/text.js';
import type { Segment, SimulationScenario } from '../simulator/scenario/document.js';
import { openScenario, SCENARIO_DEFAULT, shippedScenarios } from '../simulator/scenario/shipped.js';
import { act, type Cli, withExample, withJson } from './command.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { type OutputOptions, print, printItems } from './output.js';
import { collect, decimal, decimalList, oneOf, whole } from './values.js';

/** What narrows or replaces parts of a scenario; shared by `simulate` and `strategy gate`. */
export interface ScenarioFlags {
	readonly scenario?: string;
	readonly trace?: string;
	readonly format?: 'auto' | 'azure' | 'mooncake';
	readonly mend?: boolean;
	readonly requests?: number;
	readonly baseline?: string;
	readonly loads?: readonly number[];
	readonly seeds?: number;
	readonly segment?: Segment;
	readonly threads?: number;
	readonly html?: string;
}

interface SimulateFlags extends ScenarioFlags, OutputOptions {
	readonly strategies?: string;
	readonly until?: string;
	readonly threshold?: readonly string[];
	readonly list?: boolean;
}

/** The scenario with what the command line says in the place of what the file says. */
export function scenarioFor(context: CliContext, flags: ScenarioFlags, name: string): SimulationScenario {
	const scenario = openScenario(flags.scenario ?? name, context.readText);
	const { workload, grid } = scenario;
	return {
		...scenario,
		workload: {
			...workload,
			...(flags.trace === undefined ? {} : { trace: flags.trace }),
			...(flags.format === undefined ? {} : { format: flags.format }),
			...(flags.mend === true ? { defects: 'mend' as const } : {}),
			...(flags.requests === undefined ? {} : { requestsMax: flags.requests }),
		},
		grid: {
			...grid,
			...(flags.baseline === undefined ? {} : { baseline: flags.baseline }),
			...(flags.loads === undefined ? {} : { loads: { ...grid.loads, values: flags.loads } }),
			...(flags.seeds === undefined ? {} : { seeds: flags.seeds }),
			...(flags.segment === undefined ? {} : { segments: [flags.segment] }),
		},
	};
}

async function simulateCommand(context: CliContext, flags: SimulateFlags): Promise<number> {
	if (flags.list === true) return listScenarios(context, flags);
	const read = scenarioFor(context, flags, SCENARIO_DEFAULT);
	const strategies = flags.strategies === undefined ? read.grid.strategies : parseStrategies(flags.strategies);
	const scenario = { ...read, grid: { ...read.grid, strategies } };
	const progress = createProgress(context.stderr);
	const report = await simulateGrid(scenario, {
		threads: flags.threads ?? threadsDefault(),
		simulator: context.version,
		clock: context.clock,
		signal: context.signal,
		thresholds: flags.threshold ?? [],
		onProgress: (state) => progress.update(state),
		...(flags.until === undefined ? {} : { until: flags.until }),
	}).finally(() => progress.done());
	if (flags.html !== undefined) {
		context.writeFile(flags.html, renderHtml(report));
		context.stderr.write(`report: ${flags.html}\n`);
	}
	print(context, flags, jsonDocument(report), () => renderText(report));
	return report.passed ? EXIT_OK : EXIT_FAILED;
}

function listScenarios(context: CliContext, options: OutputOptions): number {
	const items = shippedScenarios().map((name) => {
		const { description } = openScenario(name, context.readText);
		return { name, description };
	});
	const columns = [
		{ title: 'SCENARIO', value: (item: (typeof items)[number]) => item.name },
		{ title: 'DESCRIPTION', value: (item: (typeof items)[number]) => item.description },
	];
	printItems(context, options, items, columns, 'this installation ships no scenarios');
	return EXIT_OK;
}

/** Options that `simulate` and `strategy gate` share. */
export function withScenario(command: Command, scenario: string): Command {
	return command
		.option('--scenario <file|name>', `YAML file, or one that ships (default: ${scenario})`)
		.option('--trace <file>', 'workload: Azure CSV, Mooncake JSONL or a recording (default: the scenario’s)')
		.option('--format <name>', 'auto, azure or mooncake', oneOf('auto', 'azure', 'mooncake'))
		.option('--mend', 'take prompts of no tokens as of one, and rows whose clock goes back as of the row before')
		.option('--requests <number>', 'only the first so many', whole(1))
		.option('--segment <name>', 'all, first_half or second_half', oneOf('all', 'first_half', 'second_half'))
		.option('--baseline <name>', 'strategy the others are compared with (default: the scenario’s)')
		.option('--loads <list>', 'speeds, or shares of the capacity where the scenario says so', decimalList)
		.option('--seeds <number>', 'draws of everything random; all strategies meet the same', whole(1, 1000))
		.option('--threads <number>', 'simulations at a time (default: the cores)', whole(1, 256))
		.option('--html <file>', 'write a self-contained report with plots');
}

interface CalibrateFlags extends OutputOptions {
	readonly kind: 'polynomial' | 'table';
	readonly profile: string;
	readonly ingestMs?: number;
	readonly stepTokens: number;
	readonly out?: string;
}

async function calibrateCommand(context: CliContext, files: readonly string[], flags: CalibrateFlags): Promise<void> {
	const read: Measurements[] = [];
	for (const file of files) read.push(await readMeasurements(file, context.readPieces(file)));
	const { ingestUs, perOutputTokenUs } = engineProfile(flags.profile);
	const calibration = calibrate(
		{
			prefills: read.flatMap(({ prefills }) => prefills),
			decodes: read.flatMap(({ decodes }) => decodes),
			ignored: [...new Set(read.flatMap(({ ignored }) => ignored))],
		},
		{
			kind: flags.kind,
			stepTokens: flags.stepTokens,
			ingestMs: flags.ingestMs ?? (ingestUs + perOutputTokenUs) / 1000,
		},
	);
	const yaml = calibrationYaml(calibration);
	if (flags.out !== undefined) {
		context.writeFile(flags.out, yaml);
		context.stderr.write(`latency: ${flags.out}\n`);
	}
	const shown = flags.out === undefined ? `\n${yaml}` : '';
	print(context, flags, calibration, () => `${renderCalibration(calibration)}${shown}`);
}

export function addSimulateCommands(program: Command, cli: Cli): void {
	const simulate = program
		.command('simulate')
		.description('compare strategies on a simulated fleet, with the same binaries that a mesh runs')
		.enablePositionalOptions()
		.option(
			'--strategies <list>',
			`${ALL}, or shipped names, project folders, .wasm or .so files (default: the scenario’s, else ${ALL})`,
		);
	withExample(
		withJson(
			withScenario(simulate, SCENARIO_DEFAULT)
				.option('--until <condition>', "find the highest speed with it instead, as 'goodput>=99%'")
				.option(
					'--threshold <expression>',
					'sets the exit code, repeatable: ttft.p99<2s, goodput>=99%, of every strategy but the baseline',
					collect,
				)
				.option('--list', 'the scenarios that ship'),
		),
		'infermesh simulate --trace conversation_trace.jsonl --scenario conversation-70b --strategies all --html report.html',
		"infermesh simulate --strategies hybrid_mesh,./my-strategy --until 'goodput>=99%'",
	).action(act(cli, (context, flags: SimulateFlags) => simulateCommand(context, flags)));
	withExample(
		withJson(
			simulate
				.command('calibrate')
				.description('fit the latency of an engine to measurements, and say how far off it is')
				.argument('<files...>', 'CSV or JSONL: input_tokens, cached_tokens, ttft_ms; context_tokens, batch, itl_ms'),
		)
			.option('--kind <name>', 'polynomial or table', oneOf('polynomial', 'table'), 'polynomial')
			.option('--profile <name>', 'engine profile it will be used with: its front end is taken off TTFT', 'h100-8b')
			.option(
				'--ingest-ms <number>',
				'front end to take off TTFT instead; 0 = the engine alone was measured',
				decimal(0),
			)
			.option('--step-tokens <number>', 'tokens of a step of the engine measured', whole(1, 1_000_000), 2048)
			.option('--out <file>', 'write YAML that a scenario takes as `latency: { file: … }`'),
		'infermesh simulate calibrate measured.csv --out my-engine.yaml',
	).action(act(cli, (context, files: string[], flags: CalibrateFlags) => calibrateCommand(context, files, flags)));
}
