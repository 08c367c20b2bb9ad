// Owns this node's own coordinate: how each measured round trip moves it. Constants and order of steps are Serf's (coordinate/client.go, config.go),
// so that its acceptance figures apply. Pure but for the Random it is given.
import type { Random } from '@infermesh/proto';
import {
	type Coordinate,
	DIMENSIONS,
	difference,
	distanceS,
	ERROR_MAX,
	HEIGHT_MIN_S,
	isValid,
	magnitude,
	origin,
	RTT_MAX_S,
	rawDistanceS,
} from './coordinate.js';

export interface VivaldiOptions {
	/** cE and cC of the Vivaldi paper: how fast error and position follow a sample. */
	readonly errorGain: number;
	readonly positionGain: number;
	/** Samples the adjustment averages over; 0 = none. */
	readonly adjustmentWindow: number;
	/** Round trips per peer the median is taken of. */
	readonly latencyFilter: number;
	/** Pull towards the origin, seconds; the sum of all positions would drift without it. */
	readonly gravityRhoS: number;
	/** Dimensions that are used, at most DIMENSIONS; the others stay 0. */
	readonly dimensions: number;
	/** Peers whose round trips are remembered. */
	readonly peersMax: number;
}

export const vivaldiDefaults: VivaldiOptions = {
	errorGain: 0.25,
	positionGain: 0.25,
	adjustmentWindow: 20,
	latencyFilter: 3,
	gravityRhoS: 150,
	dimensions: DIMENSIONS,
	peersMax: 4096,
};

const ZERO_S = 1e-6;
/** A sample that differs from the median by more than this factor, several times in a row, is a new route: the filter starts over. */
const STEP_FACTOR = 3;

export type UpdateResult = 'moved' | 'refused' | 'reset';

export class Vivaldi {
	readonly #options: VivaldiOptions;
	readonly #random: Random;
	#coordinate: Coordinate = origin;
	readonly #samples = new Map<string, number[]>();
	readonly #adjustments: number[] = [];
	#adjustmentAt = 0;
	#resets = 0;

	constructor(random: Random, options: VivaldiOptions = vivaldiDefaults) {
		this.#random = random;
		this.#options = options;
	}

	get coordinate(): Coordinate {
		return this.#coordinate;
	}

	/** Times the own coordinate had become invalid and was begun anew. */
	get resets(): number {
		return this.#resets;
	}

	/** A round trip to a peer that says it stands at `other`. Impossible values are refused and change nothing. */
	update(peer: string, other: Coordinate, rttS: number): UpdateResult {
		if (!isValid(other) || !(rttS >= 0 && rttS <= RTT_MAX_S)) return 'refused';
		const rtt = this.#filter(peer, rttS);
		this.#pull(other, Math.max(rtt, ZERO_S));
		this.#adjust(other, Math.max(rtt, ZERO_S));
		this.#gravitate();
		if (isValid(this.#coordinate)) return 'moved';
		this.#coordinate = origin;
		this.#adjustments.length = 0;
		this.#resets++;
		return 'reset';
	}

	forget(peer: string): void {
		this.#samples.delete(peer);
	}

	/** Estimated round trip to a peer at `other`, seconds. */
	distanceTo(other: Coordinate): number {
		return distanceS(this.#coordinate, other);
	}

	/** Median of the peer's last few round trips; a lasting step starts over, so that a new route is believed at its third sample. */
	#filter(peer: string, rttS: number): number {
		const { latencyFilter, peersMax } = this.#options;
		let samples = this.#samples.get(peer);
		if (samples === undefined) {
			if (this.#samples.size >= peersMax) this.#samples.delete(this.#samples.keys().next().value as string);
			samples = [];
			this.#samples.set(peer, samples);
		}
		samples.push(rttS);
		if (samples.length > latencyFilter) samples.shift();
		const sorted = [...samples].sort((a, b) => a - b);
		const median = sorted[sorted.length >>> 1] as number;
		const latest = samples.slice(-2);
		const stepped = latest.length === 2 && latest.every((sample) => sample > STEP_FACTOR * (sorted[0] as number));
		if (!stepped) return median;
		samples.splice(0, samples.length - 2);
		return rttS;
	}

	/** Vivaldi proper: move along the line to the other, by how wrong the distance was, weighted by who knows better. */
	#pull(other: Coordinate, rttS: number): void {
		const { errorGain, positionGain } = this.#options;
		const mine = this.#coordinate;
		const wrongness = Math.abs(distanceS(mine, other) - rttS) / rttS;
		const totalError = Math.max(mine.error + other.error, ZERO_S);
		const weight = mine.error / totalError;
		const error = Math.min(ERROR_MAX, errorGain * weight * wrongness + mine.error * (1 - errorGain * weight));
		const force = positionGain * weight * (rttS - distanceS(mine, other));
		this.#coordinate = this.#push({ ...mine, error }, force, other);
	}

	#push(from: Coordinate, force: number, other: Coordinate): Coordinate {
		const [unit, distance] = this.#unitVector(from.vector, other.vector);
		const vector = from.vector.map((component, i) => component + (unit[i] as number) * force);
		const heightS =
			distance > ZERO_S
				? Math.max(HEIGHT_MIN_S, ((from.heightS + other.heightS) * force) / distance + from.heightS)
				: from.heightS;
		return { ...from, vector, heightS };
	}

	/** From `to` towards `from`; a random direction when both stand at one place. */
	#unitVector(from: readonly number[], to: readonly number[]): [unit: number[], distanceS: number] {
		const gap = difference(from, to);
		const length = magnitude(gap);
		if (length > ZERO_S) return [gap.map((component) => component / length), length];
		const { dimensions } = this.#options;
		const drawn = Array.from({ length: DIMENSIONS }, (_, i) => (i < dimensions ? this.#random.nextFloat() - 0.5 : 0));
		const drawnLength = magnitude(drawn);
		return drawnLength > ZERO_S
			? [drawn.map((component) => component / drawnLength), 0]
			: [drawn.map((_, i) => (i === 0 ? 1 : 0)), 0];
	}

	#adjust(other: Coordinate, rttS: number): void {
		const { adjustmentWindow } = this.#options;
		if (adjustmentWindow === 0) return;
		this.#adjustments[this.#adjustmentAt] = rttS - rawDistanceS(this.#coordinate, other);
		this.#adjustmentAt = (this.#adjustmentAt + 1) % adjustmentWindow;
		const sum = this.#adjustments.reduce((total, sample) => total + sample, 0);
		this.#coordinate = { ...this.#coordinate, adjustmentS: sum / (2 * adjustmentWindow) };
	}

	#gravitate(): void {
		const away = distanceS(this.#coordinate, origin);
		const force = -((away / this.#options.gravityRhoS) ** 2);
		this.#coordinate = this.#push(this.#coordinate, force, { ...origin, error: ERROR_MAX });
	}
}
