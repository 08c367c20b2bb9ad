// Owns the benchmark of one strategy: latency and fuel of a decision at several fleet sizes, as a table, against thresholds.
import { type Clock, MeshError } from '@infermesh/proto';
import {
	checkThresholds,
	evaluateThresholds,
	type MetricKind,
	parseThresholds,
	type Threshold,
	type ThresholdVerdict,
} from '../load/threshold.js';
import { NOT_METERED } from '../strategy/native/code.js';
import { projectErrors } from './errors.js';
import { type Measurement, type MeasureOptions, measureDecisions, measureDefaults } from './measure.js';
import { type PrepareOptions, prepareStrategy } from './prepare.js';
import { type FuelProfile, profileFuel, renderProfile } from './profile-fuel.js';
import { table } from './table.js';

export interface BenchOptions extends PrepareOptions {
	/** Fleet sizes. Default 16, 128, 1,024 and 10,240. */
	readonly targets?: readonly number[];
	/** Expressions such as `p99@1024<5us` or `fuel@16<=2000`; several in one text are separated by commas. */
	readonly thresholds?: readonly string[];
	readonly measure?: Partial<MeasureOptions>;
	/** Add where the fuel goes, by source line, at the largest size. */
	readonly profile?: boolean;
	/** Told before each size is measured; the fleet size is given. */
	readonly onProgress?: (targets: number) => void;
}

export interface BenchReport {
	readonly strategy: string;
	readonly digest: string;
	readonly sizes: readonly Measurement[];
	readonly thresholds: readonly ThresholdVerdict[];
	/** Present when it was asked for. */
	readonly profile?: FuelProfile;
	/** True when every threshold passed and no decision ended in a fault. */
	readonly ok: boolean;
}

export const benchTargets: readonly number[] = [16, 128, 1024, 10_240];
const TARGETS_MAX = 16_384;
const SIZES_MAX = 16;

const metricKinds: ReadonlyMap<string, MetricKind> = new Map([
	['p50', 'time'],
	['p90', 'time'],
	['p99', 'time'],
	['max', 'time'],
	['mean', 'time'],
	['sync', 'time'],
	['fuel', 'plain'],
]);

/**
 * Measures a project folder, a `.wasm` or `.so`, or a shipped strategy. Throws `MeshError` for options that make no sense (before anything is
 * built) and for strategies that cannot be run.
 */
export async function benchProject(where: string, clock: Clock, options: BenchOptions = {}): Promise<BenchReport> {
	const targets = checkTargets(options.targets ?? benchTargets);
	const thresholds = checkedThresholds(options.thresholds ?? [], targets);
	const strategy = await prepareStrategy(where, options);
	const measure = { ...measureDefaults, ...options.measure };
	const sizes = targets.map((count) => {
		options.onProgress?.(count);
		return measureDecisions(strategy.module, count, clock, measure);
	});
	const verdicts = evaluateThresholds(thresholds, (metric, size) => lookUp(sizes, metric, size));
	const sound = sizes.every((size) => Object.keys(size.faults).length === 0);
	const { label, digest } = strategy.module;
	return {
		strategy: label,
		digest,
		sizes,
		thresholds: verdicts,
		...(options.profile === true ? { profile: profileFuel(strategy, Math.max(...targets)) } : {}),
		ok: sound && verdicts.every((verdict) => verdict.passed),
	};
}

/** Text of a benchmark: a row for each size, then the thresholds. */
export function renderBench(report: BenchReport): string {
	const metered = report.sizes.some((size) => size.fuelMax !== null);
	const rows = report.sizes.map((size) => [
		String(size.targets),
		...[size.p50Us, size.p90Us, size.p99Us, size.maxUs, size.syncRowUs].map((us) => us.toFixed(2)),
		...fuelCells(size),
		String(size.decisions),
	]);
	const fuelColumns = metered ? ['fuel p50', 'fuel max', 'of budget'] : [];
	const lines = [
		`${report.strategy}: one decision, all in, on this machine; ${metered ? 'fuel is the same everywhere' : NOT_METERED}`,
		table(['targets', 'p50 µs', 'p90 µs', 'p99 µs', 'max µs', 'sync/row µs', ...fuelColumns, 'decisions'], rows),
	];
	for (const size of report.sizes) {
		for (const [cause, times] of Object.entries(size.faults))
			lines.push(`  FAULT at ${size.targets} targets: ${cause}, ${times} of ${size.decisions} decisions`);
	}
	for (const verdict of report.thresholds) {
		lines.push(`  ${verdict.passed ? 'ok  ' : 'FAIL'}  ${verdict.source}  (${measured(verdict)})`);
	}
	if (report.profile !== undefined) lines.push(renderProfile(report.profile));
	return `${lines.join('\n')}\n`;
}

function fuelCells({ fuelP50, fuelMax, fuelBudget }: Measurement): string[] {
	if (fuelP50 === null || fuelMax === null || fuelBudget === null) return [];
	return [String(fuelP50), String(fuelMax), `${((100 * fuelMax) / fuelBudget).toFixed(1)}%`];
}

/** A measured value with the unit a reader expects: times are held in milliseconds. */
function measured(verdict: ThresholdVerdict): string {
	const isFuel = /^\s*fuel/.test(verdict.source);
	if (verdict.actual === null) return isFuel ? NOT_METERED : 'not measured';
	if (isFuel) return `measured ${verdict.actual}`;
	const us = verdict.actual * 1000;
	return us < 1000 ? `measured ${us.toFixed(2)} µs` : `measured ${verdict.actual.toFixed(2)} ms`;
}

function checkTargets(targets: readonly number[]): readonly number[] {
	const wrong = targets.find((count) => !Number.isInteger(count) || count < 1 || count > TARGETS_MAX);
	if (wrong === undefined && targets.length > 0 && targets.length <= SIZES_MAX) return targets;
	const message =
		wrong === undefined ? `1 to ${SIZES_MAX} sizes can be measured` : `${wrong} is not in 1 … ${TARGETS_MAX}`;
	throw new MeshError(projectErrors, 'IM_BENCH_OPTION_INVALID', message, { where: '--targets' });
}

function checkedThresholds(texts: readonly string[], targets: readonly number[]): Threshold[] {
	const thresholds = texts.flatMap((text) => parseThresholds(text));
	checkThresholds(thresholds, metricKinds);
	for (const { size, source } of thresholds) {
		if (size === undefined || targets.includes(size)) continue;
		const message = `the size ${size} is not measured; add it to --targets (now ${targets.join(',')})`;
		throw new MeshError(projectErrors, 'IM_BENCH_OPTION_INVALID', message, { where: source });
	}
	return thresholds;
}

/** A metric in milliseconds or fuel; without a size, the worst of all sizes. */
function lookUp(sizes: readonly Measurement[], metric: string, targets: number | undefined): number | undefined {
	const values = sizes
		.filter((size) => targets === undefined || size.targets === targets)
		.flatMap((size) => valueOf(size, metric) ?? []);
	return values.length === 0 ? undefined : Math.max(...values);
}

/** Null where it is not measured: fuel of a native library. */
function valueOf(size: Measurement, metric: string): number | null {
	switch (metric) {
		case 'p50':
			return size.p50Us / 1000;
		case 'p90':
			return size.p90Us / 1000;
		case 'p99':
			return size.p99Us / 1000;
		case 'max':
			return size.maxUs / 1000;
		case 'mean':
			return size.meanUs / 1000;
		case 'sync':
			return size.syncRowUs / 1000;
		default:
			return size.fuelMax;
	}
}
