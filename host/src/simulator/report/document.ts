// Owns the one document that `infermesh simulate` produces: what was simulated, every cell, and what it says about the strategies. `--json` prints it
// and the HTML report carries it. Times are milliseconds, shares fractions of 1. Additive changes keep the schema name.

import { holds, type Threshold } from '../../load/threshold.js';
import type { Comparison, StrategyMeans } from '../grid/compare.js';
import { compare, isDone, meansOf } from '../grid/compare.js';
import { meanOf } from '../grid/metrics.js';
import type { CellOutcome } from '../grid/outcome.js';
import type { Replication, Setting } from '../grid/plan.js';
import type { CellRecord, GridRun } from '../grid/run.js';
import type { SimulatedStrategy } from '../grid/strategies.js';
import type { ArmSummary } from '../result.js';
import type { SimulationScenario } from '../scenario/document.js';

export const SIMULATION_REPORT_SCHEMA = 'infermesh.simulation/v1';

export interface ReportedStrategy {
	readonly label: string;
	/** `name@version`. */
	readonly strategy: string;
	/** Of the module as built. */
	readonly digest: string;
	readonly config: Readonly<Record<string, number | boolean>>;
}

/** One cell. `outcome` is there when it was run, whole or in part. */
export interface ReportedCell extends Replication {
	readonly strategy: string;
	readonly state: CellRecord['state'];
	readonly error?: { readonly code: string; readonly message: string };
	readonly outcome?: CellOutcome;
}

/** The outcome of a cell that ran to its end. */
export function wholeOutcome({ outcome }: ReportedCell): CellOutcome | undefined {
	return outcome?.partial === undefined ? outcome : undefined;
}

export interface ReportedCapacity extends Setting {
	readonly strategy: string;
	/** Highest speed at which the condition held; 0 = none. */
	readonly speed: number;
	/** Lowest at which it did not; null = none that was tried. */
	readonly broken: number | null;
	/** Requests a second at that speed. */
	readonly requestsPerSecond: number;
	readonly tried: number;
	/** Why the search failed; null when it did not. */
	readonly error: string | null;
}

export interface ReportedThreshold {
	readonly source: string;
	readonly strategy: string;
	readonly passed: boolean;
	/** Mean over the strategy's cells; null when none was run, which fails. */
	readonly actual: number | null;
}

export interface ReportedExperiment {
	readonly strategy: string;
	readonly arms: readonly { readonly requests: number; readonly ttftMeanMs: number; readonly goodput: number }[];
}

export interface SimulationReport {
	readonly schema: typeof SIMULATION_REPORT_SCHEMA;
	/** Version of the simulator. */
	readonly simulator: string;
	/** Some cells were not run, or not to their end: stopped, or failed. */
	readonly partial: boolean;
	readonly interrupted: boolean;
	readonly scenario: SimulationScenario;
	readonly workload: {
		readonly name: string;
		/** SHA-256 of the trace, or of the generator's settings. */
		readonly digest: string;
		readonly requests: number;
		readonly notes: readonly string[];
	};
	/** Label of the strategy the others are compared with. */
	readonly baseline: string;
	readonly strategies: readonly ReportedStrategy[];
	readonly seeds: readonly number[];
	/** Of `--until`. */
	readonly until: string | null;
	readonly capacities: readonly ReportedCapacity[];
	readonly cells: readonly ReportedCell[];
	/** Means over all cells, in the order of `strategies`; null for one without cells. */
	readonly means: readonly (StrategyMeans | null)[];
	/** Empty where strategies shared a fleet: see `experiments`. */
	readonly comparisons: readonly (Comparison & { readonly strategy: string })[];
	/** Where the baseline (arm 0) and a strategy (arm 1) shared a fleet, what each saw: biased as such experiments are. Means over cells. */
	readonly experiments: readonly ReportedExperiment[];
	readonly thresholds: readonly ReportedThreshold[];
	/** Whether a replication run twice gave one digest; null when that was not asked or not possible. */
	readonly repeatable: boolean | null;
	/** Every threshold passed and no cell failed. */
	readonly passed: boolean;
}

export interface ReportParts {
	readonly simulator: string;
	readonly scenario: SimulationScenario;
	readonly workloadDigest: string;
	readonly strategies: readonly SimulatedStrategy[];
	readonly seeds: readonly number[];
	readonly until: string | null;
	readonly capacities: readonly ReportedCapacity[];
	readonly grid: GridRun;
	readonly repeatable: boolean | null;
	readonly thresholds: readonly Threshold[];
	/** Of the run as a whole, told before those of the workload. */
	readonly notes: readonly string[];
}

/** Puts the document together. The baseline is the first strategy. */
export function simulationReport(parts: ReportParts): SimulationReport {
	const { records, interrupted } = parts.grid;
	const { strategies } = parts;
	const label = (index: number): string => strategies[index]?.label ?? '';
	const shared = parts.scenario.assignment.kind !== 'single';
	const first = records.find((record) => record.state === 'done')?.outcome.workload;
	const thresholds = judged(parts);
	const whole = records.every(isDone);
	return {
		schema: SIMULATION_REPORT_SCHEMA,
		simulator: parts.simulator,
		partial: interrupted || !whole,
		interrupted,
		scenario: parts.scenario,
		workload: {
			name: first?.name ?? '',
			digest: parts.workloadDigest,
			requests: first?.requests ?? 0,
			notes: [...parts.notes, ...(first?.notes ?? [])],
		},
		baseline: label(0),
		strategies: strategies.map(({ label: name, module, config }) => ({
			label: name,
			strategy: module.label,
			digest: module.digest,
			config,
		})),
		seeds: parts.seeds,
		until: parts.until,
		capacities: parts.capacities,
		cells: records.map((record) => reported(record, label(record.strategy))),
		means: strategies.map((strategy, index) => {
			const means = meansOf(
				records.flatMap((record) => (record.strategy === index && isDone(record) ? [record.outcome] : [])),
			);
			return means === null || means.trap === null ? means : { ...means, trap: placed(means.trap, strategy) };
		}),
		comparisons: shared
			? []
			: strategies
					.slice(1)
					.map((strategy, index) => Object.assign(compare(records, index + 1, 0), { strategy: strategy.label })),
		experiments: shared ? experimentsOf(parts) : [],
		thresholds,
		repeatable: parts.repeatable,
		passed:
			whole &&
			!interrupted &&
			parts.capacities.every(({ error }) => error === null) &&
			thresholds.every(({ passed }) => passed),
	};
}

function experimentsOf({ grid, strategies }: ReportParts): ReportedExperiment[] {
	return strategies.slice(1).map(({ label }, offset) => {
		const arms = grid.records
			.filter(isDone)
			.filter(({ strategy }) => strategy === offset + 1)
			.map(({ outcome }) => outcome.summary.arms);
		const mean = (index: number, read: (arm: ArmSummary) => number): number =>
			arms.reduce((sum, of) => sum + (of[index] === undefined ? 0 : read(of[index])), 0) / Math.max(1, arms.length);
		return {
			strategy: label,
			arms: [0, 1].map((index) => ({
				requests: mean(index, ({ requests }) => requests),
				ttftMeanMs: mean(index, ({ ttft }) => ttft.mean),
				goodput: mean(index, ({ goodput }) => goodput),
			})),
		};
	});
}

/** A trap crosses threads as the text of its stack; the strategy's source map knows the line. */
function placed(trap: string, { prepared }: SimulatedStrategy): string {
	const [message = ''] = trap.split('\n');
	const error = new Error(message);
	error.stack = trap;
	return prepared.describeTrap(error) ?? message;
}

function reported(record: CellRecord, strategy: string): ReportedCell {
	const base = { ...record.replication, strategy, state: record.state };
	if (record.state === 'done') return { ...base, outcome: record.outcome };
	return record.state === 'failed' ? { ...base, error: { code: record.code, message: record.message } } : base;
}

/** Thresholds hold for every strategy but the baseline; for the baseline when it is alone. */
function judged({ grid, strategies, thresholds }: ReportParts): ReportedThreshold[] {
	const from = strategies.length === 1 ? 0 : 1;
	return strategies.slice(from).flatMap(({ label }, offset) => {
		const done = grid.records.filter(isDone).filter(({ strategy }) => strategy === from + offset);
		const measured = done.flatMap(({ outcome: { summary, costs } }) => {
			const cost = costs.at(-1);
			return cost === undefined ? [] : [{ summary, costs: cost }];
		});
		return thresholds.map(({ source, metric, operator, limit }) => {
			const actual = meanOf(metric, measured);
			return { source, strategy: label, passed: actual !== null && holds(actual, operator, limit), actual };
		});
	});
}

/** The document as it is printed: without timelines, which only the HTML report draws. */
export function jsonDocument(report: SimulationReport): unknown {
	return {
		...report,
		cells: report.cells.map(({ outcome, ...cell }) => {
			if (outcome === undefined) return cell;
			const { timelines: _timelines, ...rest } = outcome;
			return { ...cell, outcome: rest };
		}),
	};
}
