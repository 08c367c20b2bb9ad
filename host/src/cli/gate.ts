// Owns `infermesh strategy gate`: whether a strategy may go on to live traffic, as far as that can be told without any; made for CI.
import type { Command } from 'commander';
import { AdmissionService, admissionServiceDefaults } from '../main/admission-service.js';
import { authorInspection } from '../project/check-project.js';
import { type GateReport, type GateRules, gateRules, renderGate, runGate } from '../simulator/gate/gate.js';
import { threadsDefault } from '../simulator/grid/thread-pool.js';
import { jsonDocument } from '../simulator/report/document.js';
import { renderHtml } from '../simulator/report/html.js';
import { createProgress } from '../simulator/report/progress.js';
import { act, type Cli, withExample, withJson } from './command.js';
import type { CliContext } from './context.js';
import { EXIT_FAILED, EXIT_OK } from './errors.js';
import { type OutputOptions, print } from './output.js';
import { type SignFlags, signedOf, withSign } from './report-signature.js';
import { type ScenarioFlags, scenarioFor, withScenario } from './simulate.js';
import { decimal, STRATEGY_WHAT, signed } from './values.js';

const SCENARIO = 'gate';

interface GateFlags extends ScenarioFlags, OutputOptions, SignFlags {
	readonly margin?: number;
	readonly worst?: number;
	readonly winRate?: number;
	readonly ttftRatio?: number;
}

/** Percentage points and per cent become shares. */
function rulesOf(flags: GateFlags): GateRules {
	return {
		marginMin: flags.margin === undefined ? gateRules.marginMin : flags.margin / 100,
		worstMin: flags.worst === undefined ? gateRules.worstMin : flags.worst / 100,
		winRateMin: flags.winRate === undefined ? gateRules.winRateMin : flags.winRate / 100,
		ttftRatioMax: flags.ttftRatio ?? gateRules.ttftRatioMax,
	};
}

async function gate(context: CliContext, what: string, flags: GateFlags): Promise<number> {
	const scenario = scenarioFor(context, flags, SCENARIO);
	const admission = new AdmissionService(admissionServiceDefaults, context.clock);
	const progress = createProgress(context.stderr);
	const report = await runGate(what, scenario, {
		rules: rulesOf(flags),
		threads: flags.threads ?? threadsDefault(),
		simulator: context.version,
		clock: context.clock,
		signal: context.signal,
		admit: async ({ wasm, sourceMap }) => (await admission.admit(wasm, { ...authorInspection, sourceMap })).report,
		onProgress: (state) => progress.update(state),
	}).finally(() => progress.done());
	if (flags.html !== undefined && report.simulation !== null) {
		context.writeFile(flags.html, renderHtml(report.simulation));
		context.stderr.write(`report: ${flags.html}\n`);
	}
	const made = signedOf(
		context,
		flags,
		{ kind: 'gate', subject: `${report.strategy.name}@${report.strategy.version}` },
		printed(report),
	);
	print(context, flags, made, () => renderGate(report));
	return report.passed ? EXIT_OK : EXIT_FAILED;
}

function printed(report: GateReport): unknown {
	return { ...report, simulation: report.simulation === null ? null : jsonDocument(report.simulation) };
}

export function addGateCommand(strategy: Command, cli: Cli): void {
	withExample(
		withJson(
			withSign(
				withScenario(
					strategy
						.command('gate')
						.description('pass or fail, with reasons: admission, conformance, golden scenarios, paired simulation')
						.argument('<what>', STRATEGY_WHAT),
					SCENARIO,
				),
			)
				.option(
					'--margin <points>',
					'least mean difference in goodput to the baseline, percentage points (default: -0.5)',
					signed,
				)
				.option('--worst <points>', 'least difference in any replication (default: -5)', signed)
				.option('--win-rate <percent>', 'least share of replications won (default: 0)', decimal(0, 100))
				.option('--ttft-ratio <ratio>', 'largest ratio of mean TTFT to the baseline’s (default: 1.05)', decimal(0.01)),
		),
		'infermesh strategy gate ./my-strategy --baseline least_queue --win-rate 50 --json',
	).action(act(cli, (context, what: string, flags: GateFlags) => gate(context, what, flags)));
}
