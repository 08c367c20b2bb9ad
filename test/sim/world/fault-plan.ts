// Owns what one seed suffers: which faults are on and how often each strikes. Most seeds have a few of them, some none, some all (swarm testing, as in
// TigerBeetle's VOPR), so that faults which hide one another also occur alone.
import type { SeededRandom } from '@infermesh/proto';
import type { Weather } from './link.js';
import type { SimDiskFaults, SimDiskLatency } from './sim-disk.js';

export const partitionKinds = ['isolate one', 'isolate the favourite', 'split', 'one way', 'bridge'] as const;
export type PartitionKind = (typeof partitionKinds)[number];

export interface FaultPlan {
	readonly weather: Weather;
	/** Mean microseconds of true time between two of a kind over the whole world; undefined when the fault is off. */
	readonly crashEveryUs: number | undefined;
	/** Mean time a crashed host stays down. */
	readonly downUs: number;
	readonly wipeEveryUs: number | undefined;
	readonly pauseEveryUs: number | undefined;
	readonly pauseUs: number;
	readonly partitionEveryUs: number | undefined;
	readonly partitionUs: number;
	readonly clogEveryUs: number | undefined;
	readonly clogUs: number;
	readonly wallJumpEveryUs: number | undefined;
	/** Drift of every clock is drawn from ± this. */
	readonly driftPpmMax: number;
	readonly disk: { readonly faults: Partial<SimDiskFaults>; readonly latency: SimDiskLatency };
}

class Draw {
	readonly #random: SeededRandom;

	constructor(random: SeededRandom) {
		this.#random = random;
	}

	chance(share: number): boolean {
		return this.#random.nextFloat() < share;
	}

	/** Log-uniform between two positive numbers. */
	between(low: number, high: number): number {
		return low * (high / low) ** this.#random.nextFloat();
	}

	/** A rate, when the fault is on. */
	rate(onShare: number, low: number, high: number): number {
		const on = this.chance(onShare);
		const value = this.between(low, high);
		return on ? value : 0;
	}

	everyUs(onShare: number, lowS: number, highS: number): number | undefined {
		const on = this.chance(onShare);
		const value = Math.round(this.between(lowS, highS) * 1e6);
		return on ? value : undefined;
	}
}

function drawWeather(draw: Draw): Weather {
	return {
		latencyMinUs: Math.round(draw.between(50, 5000)),
		latencyMeanUs: Math.round(draw.between(50, 10_000)),
		lossRate: draw.rate(0.5, 0.001, 0.3),
		duplicateRate: draw.rate(0.5, 0.001, 0.3),
		reorderRate: draw.rate(0.5, 0.001, 0.3),
		reorderMaxUs: Math.round(draw.between(1000, 3_000_000)),
		resetRate: draw.rate(0.3, 0.0005, 0.02),
		inFlightBytesMax: Math.round(draw.between(64 * 1024, 64 * 1024 * 1024)),
	};
}

function drawDisk(draw: Draw): FaultPlan['disk'] {
	const range = (low: number, high: number): readonly [number, number] => {
		const least = Math.round(draw.between(low, high));
		return [least, Math.round(least * draw.between(1, 20))];
	};
	const slow = draw.chance(0.3);
	return {
		faults: { syncError: draw.rate(0.25, 0.0001, 0.003), stall: draw.rate(0.3, 0.0005, 0.01) },
		latency: {
			transferMicros: [5, 20],
			syncMicros: slow ? range(5000, 50_000) : range(50, 2000),
			stallMicros: range(50_000, 500_000),
		},
	};
}

/** Draws a plan; what is drawn for one fault does not depend on whether another is on. */
export function drawFaultPlan(random: SeededRandom): FaultPlan {
	const draw = new Draw(random);
	return {
		weather: drawWeather(draw),
		crashEveryUs: draw.everyUs(0.6, 0.3, 8),
		downUs: Math.round(draw.between(1000, 3_000_000)),
		wipeEveryUs: draw.everyUs(0.2, 5, 30),
		pauseEveryUs: draw.everyUs(0.5, 0.3, 8),
		pauseUs: Math.round(draw.between(10_000, 3_000_000)),
		partitionEveryUs: draw.everyUs(0.7, 0.3, 5),
		partitionUs: Math.round(draw.between(50_000, 5_000_000)),
		clogEveryUs: draw.everyUs(0.4, 0.2, 5),
		clogUs: Math.round(draw.between(10_000, 2_000_000)),
		wallJumpEveryUs: draw.everyUs(0.3, 0.5, 5),
		driftPpmMax: draw.chance(0.5) ? 500 : 0,
		disk: drawDisk(draw),
	};
}

/** Nothing ever goes wrong; for quiet runs and for the second phase. */
export function calmPlan(plan: FaultPlan, weather: Weather): FaultPlan {
	return {
		...plan,
		weather,
		crashEveryUs: undefined,
		wipeEveryUs: undefined,
		pauseEveryUs: undefined,
		partitionEveryUs: undefined,
		clogEveryUs: undefined,
		wallJumpEveryUs: undefined,
		disk: { ...plan.disk, faults: {} },
	};
}
