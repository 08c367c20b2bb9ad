// Owns measuring decisions of one strategy at one fleet size: fuel, which is exact, and time, which is this machine's. A decision is
// timed all in: request written, strategy run under fuel, answer checked. Bringing rows up to date is timed apart.
import type { Clock } from '@infermesh/proto';
import { Decision, type PrefixHits, type RequestFeatures } from '../strategy/runtime/decision.js';
import type { StrategyModule } from '../strategy/runtime/instance.js';
import { createHits, featuresOf, fillHits } from './features.js';
import { Fleet } from './fleet.js';
import { sampleRequests, sampleTargets } from './sample-fleet.js';
import { Sandbox, type SandboxOptions, sandboxDefaults } from './sandbox.js';

export interface MeasureOptions {
	readonly seed: number;
	/** Decisions before timing starts, so that the engine has optimised the module. */
	readonly warmupDecisions: number;
	/** Decisions timed at most. */
	readonly decisionsMax: number;
	/** Timing stops after this long, whatever was reached. */
	readonly durationMsMax: number;
	readonly sandbox: SandboxOptions;
}

export const measureDefaults: MeasureOptions = {
	seed: 1,
	warmupDecisions: 3000,
	decisionsMax: 50_000,
	durationMsMax: 1500,
	sandbox: sandboxDefaults,
};

export interface Measurement {
	readonly targets: number;
	readonly decisions: number;
	/** Decisions that ended in a fault, by cause; empty when all were sound. */
	readonly faults: Readonly<Record<string, number>>;
	readonly fuelP50: number;
	readonly fuelMax: number;
	/** Fuel one decision may use at this size. */
	readonly fuelBudget: number;
	readonly p50Us: number;
	readonly p90Us: number;
	readonly p99Us: number;
	readonly maxUs: number;
	readonly meanUs: number;
	/** Copying one changed row into the strategy's memory. */
	readonly syncRowUs: number;
}

/** Distinct requests that are decided in turn. */
const REQUESTS = 64;
/** Decisions between two looks at the time limit. */
const BATCH = 256;
const SYNC_ROUNDS = 400;

/** Measures `strategy` on a sample fleet of `targets` rows. Throws IM_RUN_NO_INSTANCE. */
export function measureDecisions(
	strategy: StrategyModule,
	targets: number,
	clock: Clock,
	options: MeasureOptions = measureDefaults,
): Measurement {
	const fleet = new Fleet({ targets: sampleTargets(targets, options.seed), zone: 'zone0' });
	const sandbox = new Sandbox(strategy, fleet, options.sandbox);
	const cases = sampleRequests(REQUESTS, targets, options.seed).map((request) => {
		const hits = createHits();
		fillHits(request, fleet, hits);
		return { features: featuresOf(request, fleet, 0, 0), hits };
	});
	const out = new Decision();
	const deadlineMs = clock.nowMs() + options.durationMsMax;
	for (let i = 0; i < options.warmupDecisions && (i % BATCH !== 0 || clock.nowMs() < deadlineMs); i++)
		decide(sandbox, cases, i, out);
	const faults: Record<string, number> = {};
	const times = new Float64Array(options.decisionsMax);
	const fuels = new Float64Array(options.decisionsMax);
	let decisions = 0;
	const endMs = clock.nowMs() + options.durationMsMax;
	while (decisions < options.decisionsMax) {
		const from = clock.nowMs();
		const cause = decide(sandbox, cases, decisions, out);
		const to = clock.nowMs();
		times[decisions] = to - from;
		fuels[decisions++] = sandbox.fuel;
		if (cause !== 'none') faults[cause] = (faults[cause] ?? 0) + 1;
		if (decisions % BATCH === 0 && to > endMs) break;
	}
	const timing = summarise(times.subarray(0, decisions), clockCostMs(clock));
	const fuel = fuels.subarray(0, decisions).toSorted();
	return {
		targets,
		decisions,
		faults,
		fuelP50: quantile(fuel, 0.5),
		fuelMax: fuel.at(-1) ?? 0,
		fuelBudget: options.sandbox.fuel.base + options.sandbox.fuel.perTarget * targets,
		...timing,
		syncRowUs: measureSync(sandbox, fleet, cases, clock, timing.p50Us),
	};
}

type Case = { readonly features: RequestFeatures; readonly hits: PrefixHits };

function decide(sandbox: Sandbox, cases: readonly Case[], index: number, out: Decision): string {
	const { features, hits } = cases[index % cases.length] as Case;
	return sandbox.rank(features, hits, none, out);
}

const none: readonly number[] = [];

/** Cost of one changed row: decisions each after one dispatch, less the median decision. */
function measureSync(sandbox: Sandbox, fleet: Fleet, cases: readonly Case[], clock: Clock, decisionUs: number): number {
	const out = new Decision();
	const times = new Float64Array(SYNC_ROUNDS);
	const cost = clockCostMs(clock);
	for (let i = 0; i < SYNC_ROUNDS; i++) {
		fleet.dispatch(i % fleet.ids.length, 0);
		const from = clock.nowMs();
		decide(sandbox, cases, i, out);
		times[i] = clock.nowMs() - from;
	}
	return Math.max(0, summarise(times, cost).p50Us - decisionUs);
}

/** What two readings of the clock cost by themselves: the least of many. */
function clockCostMs(clock: Clock): number {
	let least = Number.POSITIVE_INFINITY;
	for (let i = 0; i < 200; i++) {
		const from = clock.nowMs();
		least = Math.min(least, clock.nowMs() - from);
	}
	return least;
}

interface Timing {
	readonly p50Us: number;
	readonly p90Us: number;
	readonly p99Us: number;
	readonly maxUs: number;
	readonly meanUs: number;
}

function summarise(timesMs: Float64Array, clockMs: number): Timing {
	const sorted = timesMs.toSorted();
	const us = (ms: number): number => Math.max(0, ms - clockMs) * 1000;
	const sum = sorted.reduce((total, value) => total + value, 0);
	return {
		p50Us: us(quantile(sorted, 0.5)),
		p90Us: us(quantile(sorted, 0.9)),
		p99Us: us(quantile(sorted, 0.99)),
		maxUs: us(sorted.at(-1) ?? 0),
		meanUs: us(sorted.length === 0 ? 0 : sum / sorted.length),
	};
}

/** Nearest-rank quantile of sorted values; 0 for none. */
function quantile(sorted: Float64Array, q: number): number {
	return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
