// Owns the offline part of the four gates: admission with conformance, the strategy's own golden scenarios, determinism, and paired simulation against a
// baseline over the replications of a scenario; each passes or fails with its reasons. How a module is admitted (a child process with limits) is given.
import type { Clock } from '@infermesh/proto';
import { formatShare } from '../../load/report/format.js';
import { openStrategy, prepareSource, type StrategySource } from '../../project/prepare.js';
import { hasScenarios, runTests } from '../../project/test-project.js';
import type { AdmissionReport } from '../../strategy/admission/report.js';
import type { FallbackCause } from '../../strategy/runtime/decision.js';
import type { SessionOptions } from '../grid/session.js';
import { simulateGrid } from '../grid/simulate-grid.js';
import type { SimulationReport } from '../report/document.js';
import { describeReplication } from '../report/groups.js';
import { points } from '../report/text.js';
import type { SimulationScenario } from '../scenario/document.js';

export const GATE_SCHEMA = 'infermesh.gate/v1';
/** Fewer replications say nothing. */
export const REPLICATIONS_MIN = 10;

export interface GateRules {
	/** Least mean difference in goodput, share of 1. */
	readonly marginMin: number;
	/** Least difference in goodput in any replication. */
	readonly worstMin: number;
	/** Least share of replications won. */
	readonly winRateMin: number;
	/** Largest ratio of mean TTFT, geometric mean over replications. */
	readonly ttftRatioMax: number;
}

/** Not worse than the baseline: within the margin of a tie in the mean, and nowhere far behind. */
export const gateRules: GateRules = { marginMin: -0.005, worstMin: -0.05, winRateMin: 0, ttftRatioMax: 1.05 };

export interface GateOptions extends SessionOptions {
	readonly rules: GateRules;
	readonly simulator: string;
	readonly clock: Clock;
	/** Judges module bytes as a mesh would, within limits of time and memory. */
	readonly admit: (source: StrategySource) => Promise<AdmissionReport>;
}

export interface GateCheck {
	readonly check: 'admission' | 'conformance' | 'golden' | 'determinism' | 'faults' | 'simulation';
	/** `skipped`: there was nothing to check, or an earlier failure left nothing to check it on. */
	readonly verdict: 'pass' | 'fail' | 'skipped';
	readonly summary: string;
	/** Why it failed. */
	readonly reasons: readonly string[];
}

export interface GateReport {
	readonly schema: typeof GATE_SCHEMA;
	readonly passed: boolean;
	/** Version of the simulator. */
	readonly simulator: string;
	readonly strategy: { readonly name: string; readonly version: string; readonly digest: string };
	readonly baseline: { readonly label: string; readonly digest: string } | null;
	readonly scenario: string;
	readonly trace: { readonly name: string; readonly digest: string } | null;
	readonly seeds: readonly number[];
	readonly rules: GateRules;
	readonly checks: readonly GateCheck[];
	/** Null when it was not simulated. */
	readonly simulation: SimulationReport | null;
}

/** Runs every gate that can be run; throws only for what is no strategy, no scenario or no trace at all. */
export async function runGate(what: string, scenario: SimulationScenario, options: GateOptions): Promise<GateReport> {
	const source = await openStrategy(what);
	const admission = await options.admit(source);
	const checks: GateCheck[] = [admissionCheck(admission), conformanceCheck(admission)];
	let simulation: SimulationReport | null = null;
	if (admission.admitted) {
		checks.push(goldenCheck(source));
		simulation = await simulate(what, scenario, options);
		checks.push(determinismCheck(simulation), faultsCheck(simulation), simulationCheck(simulation, options.rules));
	}
	const [baseline] = simulation?.strategies ?? [];
	return {
		schema: GATE_SCHEMA,
		passed: checks.every(({ verdict }) => verdict !== 'fail'),
		simulator: options.simulator,
		strategy: { name: admission.name, version: admission.version, digest: admission.digest },
		baseline: baseline === undefined ? null : { label: baseline.label, digest: baseline.digest },
		scenario: scenario.name,
		trace: simulation === null ? null : { name: simulation.workload.name, digest: simulation.workload.digest },
		seeds: simulation?.seeds ?? [],
		rules: options.rules,
		checks,
		simulation,
	};
}

function simulate(what: string, scenario: SimulationScenario, options: GateOptions): Promise<SimulationReport> {
	const { baseline } = scenario.grid;
	// A strategy can be its own baseline: two arms with names of their own.
	const label = what === baseline ? `${what} (candidate)` : what;
	const strategies = [
		{ name: baseline, label: baseline, config: {} },
		{ name: what, label, config: {} },
	];
	return simulateGrid({ ...scenario, grid: { ...scenario.grid, strategies } }, { ...options, repeat: true });
}

function admissionCheck(report: AdmissionReport): GateCheck {
	const reasons = report.refusals.map(({ code, message, where }) => `${code}: ${message} (${where})`);
	return check('admission', reasons, `${report.moduleBytes} bytes, ${report.columns.length} columns`);
}

function conformanceCheck({ conformance, admitted }: AdmissionReport): GateCheck {
	const failed = conformance.filter(({ ok }) => !ok).map((finding) => `${finding.check}: ${finding.detail}`);
	if (conformance.length === 0) return skipped('conformance', admitted ? 'no checks' : 'not admitted');
	return check('conformance', failed, `${conformance.length} checks on golden and adversarial frames`);
}

function goldenCheck(source: StrategySource): GateCheck {
	if (!hasScenarios(source.dir)) return skipped('golden', 'no test/*.scenario.yaml');
	const report = runTests(prepareSource(source));
	const broken = report.broken.map(({ file, problems }) => `${file}: ${problems[0]?.message ?? ''}`);
	const failed = report.scenarios.filter(({ ok }) => !ok).map(({ name }) => name);
	const hint = failed.length === 0 ? [] : ['`infermesh strategy test` shows what each expected and got'];
	return check(
		'golden',
		[...broken, ...failed, ...hint],
		`${report.passed} of ${report.passed + report.failed} scenarios`,
	);
}

function determinismCheck({ repeatable }: SimulationReport): GateCheck {
	const reasons = repeatable === false ? ['the same replication run twice gave two digests'] : [];
	if (repeatable === null) return skipped('determinism', 'nothing was simulated');
	return check('determinism', reasons, 'the same replication run twice gave one digest');
}

/** The strategy has no opinion, or no target was healthy: neither is its fault. */
const BLAMELESS: ReadonlySet<string> = new Set(['none', 'declined', 'all_unhealthy'] satisfies FallbackCause[]);

function faultsCheck({ cells, strategies, means }: SimulationReport): GateCheck {
	const candidate = strategies[1]?.label;
	const causes = new Map<string, number>();
	let decisions = 0;
	for (const { strategy, outcome } of cells) {
		const cost = strategy === candidate ? outcome?.costs.at(-1) : undefined;
		decisions += cost?.decisions ?? 0;
		for (const [cause, count] of Object.entries(cost?.fallbacks ?? {}))
			if (!BLAMELESS.has(cause)) causes.set(cause, (causes.get(cause) ?? 0) + count);
	}
	const trap = means[1]?.trap ?? null;
	const reasons = [...causes].map(([cause, count]) => `${count} decisions: ${cause}`);
	if (trap !== null) reasons.push(trap.split('\n')[0] ?? '');
	return check('faults', reasons, `none in ${decisions} simulated decisions`);
}

function simulationCheck(report: SimulationReport, rules: GateRules): GateCheck {
	const [comparison] = report.comparisons;
	if (comparison === undefined) return skipped('simulation', 'nothing was simulated');
	const { replications, wins, ties, losses, margin, worst, winRate, ttftRatio } = comparison;
	const unrun = report.cells.filter(({ state, outcome }) => state !== 'done' || outcome?.partial !== undefined);
	const reasons = [
		...unrun
			.slice(0, 3)
			.map((cell) => `${cell.strategy}, ${describeReplication(cell)}: ${cell.error?.message ?? cell.state}`),
		...(replications < REPLICATIONS_MIN
			? [`${replications} replications; at least ${REPLICATIONS_MIN} are needed: more loads, faults or --seeds`]
			: []),
		...(margin < rules.marginMin ? [`margin ${points(margin)}; at least ${points(rules.marginMin)}`] : []),
		...(worst !== null && worst.goodput < rules.worstMin
			? [
					`worst scenario ${points(worst.goodput)} (${describeReplication(worst.replication)}); at least ${points(rules.worstMin)}`,
				]
			: []),
		...(winRate < rules.winRateMin
			? [`win rate ${formatShare(winRate)}; at least ${formatShare(rules.winRateMin)}`]
			: []),
		...(ttftRatio > rules.ttftRatioMax ? [`mean TTFT ×${ttftRatio.toFixed(3)}; at most ×${rules.ttftRatioMax}`] : []),
	];
	const worstText =
		worst === null ? '' : `, worst ${points(worst.goodput)} (${describeReplication(worst.replication)})`;
	const summary = `${replications} replications against ${report.baseline}: ${wins} won, ${ties} tied, ${losses} lost; margin ${points(margin)}${worstText}; mean TTFT ×${ttftRatio.toFixed(3)}`;
	return check('simulation', reasons, summary);
}

function check(name: GateCheck['check'], reasons: readonly string[], summary: string): GateCheck {
	return { check: name, verdict: reasons.length === 0 ? 'pass' : 'fail', summary, reasons };
}

function skipped(name: GateCheck['check'], summary: string): GateCheck {
	return { check: name, verdict: 'skipped', summary, reasons: [] };
}

const MARKS = { pass: 'ok  ', fail: 'FAIL', skipped: 'skip' } as const;

/** Text of a gate: the verdict, a line a check, what it stands on. */
export function renderGate(report: GateReport): string {
	const { strategy, baseline, trace } = report;
	const lines = [
		`${strategy.name}@${strategy.version}: ${report.passed ? 'PASSED' : 'FAILED'}`,
		...report.checks.flatMap((it) => [
			`  ${MARKS[it.verdict]}  ${it.check.padEnd(11)}  ${it.summary}`,
			...it.reasons.map((reason) => `        ${''.padEnd(11)}${reason}`),
		]),
		`  strategy ${strategy.digest === '' ? 'not admitted' : strategy.digest.slice(0, 16)}, baseline ${baseline?.digest.slice(0, 16) ?? '-'}, trace ${trace?.digest.slice(0, 16) ?? '-'}`,
		`  scenario ${report.scenario}, seeds ${report.seeds.join(', ')}, simulator ${report.simulator}`,
	];
	return `${lines.join('\n')}\n`;
}
