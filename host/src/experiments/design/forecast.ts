// Owns what is told before an experiment starts: how many hours a verdict will take, by simulating the registered rule.
import { SeededRandom } from '@infermesh/proto';
import {
	type AssumedDifferences,
	type Forecast,
	type ForecastOptions,
	VerdictForecast,
} from '../../statistics/sample-size.js';
import type { ExperimentDesign } from './design.js';

/** Stream of the design's seed. */
const FORECAST_STREAM = 3;

export interface ExperimentForecast {
	/** True difference in attainment, 0..1. */
	readonly effect: number;
	readonly shares: Forecast['shares'];
	readonly pairsP50: number;
	readonly pairsP90: number;
	readonly hoursP50: number;
	readonly hoursP90: number;
	/** One sentence for people. */
	readonly text: string;
}

/** Simulated differences between two breaths: 2 to 4 ms of processor time with the usual cells, each of which costs up to 2 µs. */
const SLICE_DIFFERENCES = 1024;
const RUNS = 200;

/** `differences`: what pairs of blocks of one and the same strategy differ by, seen or assumed. */
export function forecastExperiment(
	design: ExperimentDesign,
	effect: number,
	differences: AssumedDifferences,
	runs = RUNS,
): ExperimentForecast {
	const forecast = new VerdictForecast(optionsOf(design, effect, differences, runs));
	forecast.advance(Number.POSITIVE_INFINITY);
	return told(design, effect, forecast.result());
}

/** The same in slices: it takes up to 200 ms of processor time, and a thread that serves has to come to other work in between, while `breathe` is awaited. */
export async function forecastInSlices(
	design: ExperimentDesign,
	effect: number,
	differences: AssumedDifferences,
	breathe: () => Promise<void>,
	runs = RUNS,
): Promise<ExperimentForecast> {
	const forecast = new VerdictForecast(optionsOf(design, effect, differences, runs));
	while (forecast.advance(SLICE_DIFFERENCES)) await breathe();
	return told(design, effect, forecast.result());
}

function optionsOf(
	{ seed, alpha, clip, truncation, margin, pairsMax }: ExperimentDesign,
	effect: number,
	differences: AssumedDifferences,
	runs: number,
): ForecastOptions {
	return {
		effect,
		differences,
		sequence: { range: { lower: -clip, upper: clip }, alpha, truncation },
		margin,
		budget: pairsMax,
		runs,
		random: new SeededRandom(seed, FORECAST_STREAM),
	};
}

function told({ blockMs, pairsMax }: ExperimentDesign, effect: number, forecast: Forecast): ExperimentForecast {
	const hours = (pairs: number): number => (pairs * 2 * blockMs) / 3_600_000;
	const span = (pairs: number): string =>
		hours(pairs) < 1 ? `${(hours(pairs) * 60).toFixed(1)} min` : `${hours(pairs).toFixed(1)} h`;
	const decided = 1 - forecast.shares.undecided;
	return {
		effect,
		shares: forecast.shares,
		pairsP50: forecast.countP50,
		pairsP90: forecast.countP90,
		hoursP50: hours(forecast.countP50),
		hoursP90: hours(forecast.countP90),
		text: `An effect of ${(effect * 100).toFixed(1)} points is decided within ${span(forecast.countP50)} in half of all runs and within ${span(forecast.countP90)} in nine of ten; ${(decided * 100).toFixed(0)} % are decided within the budget of ${span(pairsMax)}.`,
	};
}
