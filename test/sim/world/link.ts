// Owns one direction between two hosts: how long a packet takes, whether it is lost, repeated or overtaken, and whether anything passes at all.
import type { SeededRandom } from '@infermesh/proto';

/** How links behave; rates are shares of packets. */
export interface Weather {
	readonly latencyMinUs: number;
	/** Mean of the exponential part that comes on top. */
	readonly latencyMeanUs: number;
	readonly lossRate: number;
	readonly duplicateRate: number;
	/** Packets held back by up to `reorderMaxUs`, so that later ones overtake them. */
	readonly reorderRate: number;
	readonly reorderMaxUs: number;
	/** Connections cut, a message. */
	readonly resetRate: number;
	/** Bytes on their way in one direction; more are dropped. */
	readonly inFlightBytesMax: number;
}

export const calmWeather: Weather = {
	latencyMinUs: 100,
	latencyMeanUs: 100,
	lossRate: 0,
	duplicateRate: 0,
	reorderRate: 0,
	reorderMaxUs: 0,
	resetRate: 0,
	inFlightBytesMax: 64 * 1024 * 1024,
};

export class Link {
	readonly #random: SeededRandom;
	/** Reasons for which nothing passes; several faults can cut one link. */
	readonly #cuts = new Set<string>();
	/** Nothing arrives before this time. */
	cloggedUntilUs = 0;
	inFlightBytes = 0;

	constructor(random: SeededRandom) {
		this.#random = random;
	}

	get cut(): boolean {
		return this.#cuts.size > 0;
	}

	cutFor(reason: string): void {
		this.#cuts.add(reason);
	}

	mend(reason?: string): void {
		if (reason === undefined) this.#cuts.clear();
		else this.#cuts.delete(reason);
	}

	happens(rate: number): boolean {
		return rate > 0 && this.#random.nextFloat() < rate;
	}

	/** Microseconds one packet takes now. */
	latencyUs(weather: Weather, nowUs: number): number {
		const exponential = -Math.log(1 - this.#random.nextFloat()) * weather.latencyMeanUs;
		let latencyUs = Math.round(weather.latencyMinUs + exponential);
		if (this.happens(weather.reorderRate)) latencyUs += Math.floor(this.#random.nextFloat() * weather.reorderMaxUs);
		return Math.max(latencyUs, this.cloggedUntilUs - nowUs);
	}
}
