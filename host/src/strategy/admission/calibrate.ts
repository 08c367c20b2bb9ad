// Owns the figures of an admitted module on this machine: fuel and time of one decision at several pool sizes, and the nanoseconds a unit of
// fuel takes. Time is reported and never judged.
import type { Clock } from '@infermesh/proto';
import { Decision } from '../runtime/decision.js';
import { type FuelBudget, StrategyInstance, type StrategyModule } from '../runtime/instance.js';
import { readOutput } from '../runtime/read-output.js';
import { createRig } from '../runtime/rig.js';
import { writeHits, writeRequest } from '../runtime/write-request.js';
import type { SizeFigures } from './report.js';

export interface CalibrationOptions {
	readonly sizes: readonly number[];
	/** Decisions timed per size, after as many again to warm up. */
	readonly decisions: number;
	readonly seed: number;
}

export const calibrationDefaults: CalibrationOptions = { sizes: [16, 128, 1024, 10_240], decisions: 300, seed: 7 };

const place = { zone: 1, region: 1, topK: 4 } as const;
const meshSeed: readonly [number, number] = [1, 2];

/** Runs the module over synthetic pools. A size at which it faults is left out: conformance has said so already. */
export function calibrate(
	strategy: StrategyModule,
	fuel: FuelBudget,
	clock: Clock,
	options: CalibrationOptions = calibrationDefaults,
): { readonly sizes: readonly SizeFigures[]; readonly nsPerFuel: number } {
	const sizes: SizeFigures[] = [];
	let totalNs = 0;
	let totalFuel = 0;
	for (const targets of options.sizes) {
		const timed = timeSize(strategy, fuel, clock, targets, options);
		if (timed === undefined) continue;
		sizes.push(timed.figures);
		totalNs += timed.totalNs;
		totalFuel += timed.totalFuel;
	}
	return { sizes, nsPerFuel: totalFuel === 0 ? 0 : totalNs / totalFuel };
}

function timeSize(
	strategy: StrategyModule,
	fuel: FuelBudget,
	clock: Clock,
	targets: number,
	options: CalibrationOptions,
): { readonly figures: SizeFigures; readonly totalNs: number; readonly totalFuel: number } | undefined {
	const rig = createRig(targets, options.seed);
	const instance = new StrategyInstance(strategy, rig.view, fuel, meshSeed);
	const out = new Decision();
	const times = new Float64Array(options.decisions);
	const fuels = new Float64Array(options.decisions);
	for (let i = -options.decisions; i < options.decisions; i++) {
		rig.nextRequest();
		const began = clock.nowMs();
		const hitCount = writeHits(instance, rig.hits);
		writeRequest(instance, rig.features, place, i >>> 0, rig.view.eligibleCount, hitCount);
		const ran = instance.rank();
		const cause = ran === 'none' ? readOutput(instance, [], out) : ran;
		const took = clock.nowMs() - began;
		if (cause !== 'none' && cause !== 'declined') return undefined;
		if (i < 0) continue;
		times[i] = took * 1000;
		fuels[i] = instance.lastFuel;
	}
	times.sort();
	fuels.sort();
	const at = (values: Float64Array, q: number): number =>
		values[Math.min(values.length - 1, Math.floor(q * values.length))] as number;
	return {
		figures: {
			targets,
			fuelP50: at(fuels, 0.5),
			fuelMax: at(fuels, 1),
			fuelBudget: instance.fuelBudget,
			timeP50Us: at(times, 0.5),
			timeP99Us: at(times, 0.99),
		},
		totalNs: at(times, 0.5) * 1000,
		totalFuel: at(fuels, 0.5),
	};
}
