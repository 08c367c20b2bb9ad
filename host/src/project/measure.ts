// Owns measuring decisions of one strategy at one fleet size: fuel, which is exact, and time, which is this machine's. A decision is
// timed all in: request written, strategy run under fuel, answer checked. Bringing rows up to date is timed apart.
import { type Clock, MeshError } from '@infermesh/proto';
import { quantileOfSorted } from '../statistics/quantile.js';
import { isNative } from '../strategy/native/code.js';
import { Decision, type FallbackCause } from '../strategy/runtime/decision.js';
import { StrategyInstance, type StrategyModule } from '../strategy/runtime/instance.js';
import { readOutput } from '../strategy/runtime/read-output.js';
import { createRig, type Rig } from '../strategy/runtime/rig.js';
import { writeHits, writeRequest } from '../strategy/runtime/write-request.js';
import { projectErrors } from './errors.js';
import { type SandboxOptions, sandboxDefaults } from './sandbox.js';

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
	/** Null of a native library, like the others: it is not metered. */
	readonly fuelP50: number | null;
	readonly fuelMax: number | null;
	/** Fuel one decision may use at this size. */
	readonly fuelBudget: number | null;
	readonly p50Us: number;
	readonly p90Us: number;
	readonly p99Us: number;
	readonly maxUs: number;
	readonly meanUs: number;
	/** Copying one changed row into the strategy's memory. */
	readonly syncRowUs: number;
}

/** Decisions between two looks at the time limit. */
const BATCH = 256;
const SYNC_ROUNDS = 400;
const none: readonly number[] = [];

/** Measures `strategy` on a synthetic pool of `targets` rows. Throws IM_RUN_NO_INSTANCE. */
export function measureDecisions(
	strategy: StrategyModule,
	targets: number,
	clock: Clock,
	options: MeasureOptions = measureDefaults,
): Measurement {
	const bench = new Bench(strategy, targets, options);
	try {
		return measured(bench, targets, clock, options);
	} finally {
		bench.close();
	}
}

function measured(bench: Bench, targets: number, clock: Clock, options: MeasureOptions): Measurement {
	const warmEndMs = clock.nowMs() + options.durationMsMax;
	for (let i = 0; i < options.warmupDecisions && (i % BATCH !== 0 || clock.nowMs() < warmEndMs); i++) bench.decide();
	const times = new Float64Array(options.decisionsMax);
	const fuels = new Float64Array(options.decisionsMax);
	const faults: Record<string, number> = {};
	const endMs = clock.nowMs() + options.durationMsMax;
	let decisions = 0;
	while (decisions < options.decisionsMax) {
		bench.rig.nextRequest();
		const from = clock.nowMs();
		const cause = bench.decide();
		const to = clock.nowMs();
		times[decisions] = to - from;
		fuels[decisions++] = bench.fuel;
		if (cause !== 'none' && cause !== 'declined') faults[cause] = (faults[cause] ?? 0) + 1;
		if (decisions % BATCH === 0 && to > endMs) break;
	}
	const fuel = fuels.subarray(0, decisions).toSorted();
	const { metered } = bench;
	return {
		targets,
		decisions,
		faults,
		fuelP50: metered ? quantileOfSorted(fuel, 0.5, 0) : null,
		fuelMax: metered ? (fuel.at(-1) ?? 0) : null,
		fuelBudget: metered ? bench.fuelBudget : null,
		...summarise(times.subarray(0, decisions), clockCostMs(clock)),
		syncRowUs: bench.measureSync(clock),
	};
}

/** One strategy on one synthetic pool; a poisoned instance is replaced. */
export class Bench {
	readonly rig: Rig;
	fuel = 0;
	readonly #strategy: StrategyModule;
	readonly #options: SandboxOptions;
	readonly #out = new Decision();
	readonly #place: { readonly zone: number; readonly region: number; readonly topK: number };
	#instance: StrategyInstance;
	#ticket = 0;

	constructor(strategy: StrategyModule, targets: number, options: Pick<MeasureOptions, 'seed' | 'sandbox'>) {
		this.rig = createRig(targets, options.seed);
		this.#strategy = strategy;
		this.#options = options.sandbox;
		this.#place = { zone: 1, region: 1, topK: options.sandbox.topK };
		this.#instance = this.#make();
	}

	/** Whether fuel is counted. */
	get metered(): boolean {
		return !isNative(this.#strategy.module);
	}

	get fuelBudget(): number {
		return this.#instance.fuelBudget;
	}

	/** Ends the sandbox of a native strategy. */
	close(): void {
		this.#instance.close();
	}

	/** One decision on the rig's present request, as a worker makes it. */
	decide(): FallbackCause {
		const instance = this.write();
		const ran = instance.rank();
		this.fuel = instance.lastFuel;
		return ran === 'none' ? readOutput(instance, none, this.#out) : ran;
	}

	/** Brings rows up to date and writes the rig's present request; the instance is then ready to rank. */
	write(): StrategyInstance {
		const { rig } = this;
		if (this.#instance.poisoned) this.#instance = this.#make();
		const instance = this.#instance;
		instance.sync();
		const hitCount = writeHits(instance, rig.hits);
		writeRequest(instance, rig.features, this.#place, this.#ticket++, rig.view.eligibleCount, hitCount);
		return instance;
	}

	/** Median cost of bringing one changed row up to date, µs. */
	measureSync(clock: Clock): number {
		const times = new Float64Array(SYNC_ROUNDS);
		for (let i = 0; i < SYNC_ROUNDS; i++) {
			this.rig.touch(i % this.rig.rows);
			const from = clock.nowMs();
			this.#instance.sync();
			times[i] = clock.nowMs() - from;
		}
		return summarise(times, clockCostMs(clock)).p50Us;
	}

	#make(): StrategyInstance {
		const { fuel, meshSeed } = this.#options;
		const instance = new StrategyInstance(this.#strategy, this.rig.view, fuel, meshSeed);
		if (!instance.poisoned) return instance;
		throw new MeshError(projectErrors, 'IM_RUN_NO_INSTANCE', 'the `init` hook failed', { where: this.#strategy.label });
	}
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
		p50Us: us(quantileOfSorted(sorted, 0.5, 0)),
		p90Us: us(quantileOfSorted(sorted, 0.9, 0)),
		p99Us: us(quantileOfSorted(sorted, 0.99, 0)),
		maxUs: us(sorted.at(-1) ?? 0),
		meanUs: us(sorted.length === 0 ? 0 : sum / sorted.length),
	};
}
