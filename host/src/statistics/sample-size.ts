// Owns the forecast of a sequential comparison: how many values until a verdict, by simulating the very rule that will be used. Leaves hours to callers,
// who know how long a block is.
import type { Random } from '@infermesh/proto';
import { type BettingOptions, BettingSequence } from './betting.js';
import { judgeMargin, type MarginVerdict } from './interval.js';
import { mean } from './moments.js';
import { standardNormal } from './normal.js';
import { quantileOfSorted } from './quantile.js';

/** What differences are assumed to look like: a spread, or differences that were seen (their own mean is taken off). */
export type AssumedDifferences = { readonly sd: number } | { readonly pilot: readonly number[] };

export interface ForecastOptions {
	/** True mean difference, candidate − baseline. */
	readonly effect: number;
	readonly differences: AssumedDifferences;
	readonly sequence: Pick<BettingOptions, 'range'> & Partial<BettingOptions>;
	readonly margin: number;
	/** Differences after which the comparison ends undecided. */
	readonly budget: number;
	/** Comparisons simulated. */
	readonly runs: number;
	readonly random: Random;
}

export interface Forecast {
	/** Share of the runs that ended so, 0..1; they sum to 1. */
	readonly shares: Readonly<Record<MarginVerdict, number>>;
	/** Differences until the end (verdict or budget), over all runs. */
	readonly countMean: number;
	readonly countP50: number;
	readonly countP90: number;
}

/**
 * Simulates `runs` comparisons, each up to its verdict or the budget. With `sd`, differences are normal around the effect, clipped to the range; with a pilot,
 * its centred differences are drawn with replacement and shifted by the effect. Independence between differences is assumed: drift makes it take longer.
 * It can be gone on with in slices, so that a caller whose thread has other work does it in between; the result is the same.
 */
export class VerdictForecast {
	readonly #options: ForecastOptions;
	readonly #draw: () => number;
	readonly #ends = { win: 0, loss: 0, equivalent: 0, undecided: 0 };
	readonly #counts: Float64Array;
	#run = 0;
	#sequence: BettingSequence;

	/** Throws a RangeError for options out of their ranges. */
	constructor(options: ForecastOptions) {
		const { runs, budget } = options;
		if (!Number.isInteger(runs) || runs < 1 || !Number.isInteger(budget) || budget < 1)
			throw new RangeError('runs and budget must be whole numbers from 1');
		this.#options = options;
		this.#draw = drawer(options);
		this.#counts = new Float64Array(runs);
		this.#sequence = new BettingSequence(options.sequence);
	}

	/** Simulates up to `differences` more of them; false when every comparison has ended. */
	advance(differences: number): boolean {
		const { runs, budget, margin, sequence } = this.#options;
		for (let left = differences; left > 0 && this.#run < runs; left--) {
			this.#sequence.observe(this.#draw());
			const verdict = judgeMargin(this.#sequence.interval, margin);
			if (verdict === 'undecided' && this.#sequence.count < budget) continue;
			this.#ends[verdict]++;
			this.#counts[this.#run++] = this.#sequence.count;
			this.#sequence = new BettingSequence(sequence);
		}
		return this.#run < runs;
	}

	/** Once `advance` has said that all have ended. */
	result(): Forecast {
		const counts = this.#counts.toSorted();
		const share = (end: MarginVerdict): number => this.#ends[end] / this.#options.runs;
		return {
			shares: {
				win: share('win'),
				loss: share('loss'),
				equivalent: share('equivalent'),
				undecided: share('undecided'),
			},
			countMean: mean(counts),
			countP50: quantileOfSorted(counts, 0.5),
			countP90: quantileOfSorted(counts, 0.9),
		};
	}
}

/** The whole of a forecast at once. */
export function forecastVerdict(options: ForecastOptions): Forecast {
	const forecast = new VerdictForecast(options);
	forecast.advance(Number.POSITIVE_INFINITY);
	return forecast.result();
}

function drawer({ effect, differences, random }: ForecastOptions): () => number {
	if ('sd' in differences) {
		if (!(differences.sd >= 0)) throw new RangeError(`a spread is a number from 0, not ${differences.sd}`);
		return () => effect + differences.sd * standardNormal(random);
	}
	const { pilot } = differences;
	if (pilot.length < 2) throw new RangeError('a pilot has at least two differences');
	const centre = mean(pilot);
	return () => effect + (pilot[Math.floor(random.nextFloat() * pilot.length)] as number) - centre;
}
