// Owns what an experiment will be before it starts: the design that follows from what was asked and from the traffic seen, and how long a verdict will take. Pure, in slices.

import { variance } from '../statistics/moments.js';
import type { AssumedDifferences } from '../statistics/sample-size.js';
import { type ExperimentDesign, type MadeDesign, makeDesign, type SeenTraffic } from './design/design.js';
import { designError } from './design/errors.js';
import { type ExperimentForecast, forecastInSlices } from './design/forecast.js';
import type { PromotionRule } from './design/promotion.js';
import type { StartRequest } from './view.js';

/** What the model's traffic has been like at the router that was asked. */
export interface ModelTraffic extends SeenTraffic {
	/** Over the whole mesh; 0 = none seen. */
	readonly requestsPerS: number;
	/** Share of requests within their objectives; undefined = not known. */
	readonly goodRatio: number | undefined;
	readonly objectives: ExperimentDesign['objectives'];
	/** Differences of pairs in earlier switchbacks of the same model and block length. */
	readonly pilot: readonly number[];
}

export interface ExperimentPlan extends MadeDesign {
	readonly requestsPerS: number;
	/** Of a switchback with traffic; undefined where nothing can be said. */
	readonly forecast: ExperimentForecast | undefined;
	/** It ends after so long at the latest (a switchback), or not before (a canary or split). */
	readonly hours: number;
	/** Sentence for people on how long it takes. */
	readonly text: string;
}

/** The effect that is forecast for, where none is named. */
const EFFECT = 0.05;
/** Good share assumed where none was seen. */
const GOOD_ASSUMED = 0.9;
/** Requests of a block share queues: their spread is taken as so many times that of independent ones. An assumption, replaced by pairs once there are some. */
const OVERDISPERSION = 2;
const PILOT_MIN = 8;
/** Lengths of requests where none was seen: of a chat model that is neither small nor idle. */
const lengthsAssumed = { e2eP50Ms: 4000, e2eP95Ms: 20_000 } as const;
const UNSEEN =
	'No request of this model has ended here yet: lengths of blocks and burn-in are a guess for requests of 4 s (p95 20 s).';
const MS_PER_HOUR = 3_600_000;

/** `breathe` is awaited between slices of the forecast. Rejects with IM_EXPERIMENT_DESIGN. */
export async function planExperiment(
	request: StartRequest,
	labels: Pick<ExperimentDesign, 'baseline' | 'candidate'>,
	traffic: ModelTraffic,
	seed: number,
	breathe: () => Promise<void>,
): Promise<ExperimentPlan> {
	const {
		model: _model,
		candidate: _candidate,
		effect = EFFECT,
		maxHours,
		promote,
		objectives,
		tag: _tag,
		startAtMs: _startAtMs,
		...given
	} = request;
	const rule: PromotionRule = promote ?? 'never';
	if (request.kind !== 'switchback' && rule !== 'never')
		throw designError(
			'promote',
			`a ${request.kind} cannot show that the candidate is better: only a switchback promotes`,
		);
	const { requestsPerS, goodRatio, pilot, objectives: usual, ...lengths } = traffic;
	const isUnseen = lengths.e2eP95Ms === 0;
	const made = makeDesign(
		{ ...given, ...labels, seed: given.seed ?? seed, promote: rule, objectives: { ...usual, ...objectives } },
		isUnseen ? { ...lengths, ...lengthsAssumed } : lengths,
	);
	const notes = isUnseen ? [...made.notes, UNSEEN] : made.notes;
	const design =
		maxHours === undefined || given.pairsMax !== undefined
			? made.design
			: { ...made.design, pairsMax: Math.max(1, Math.floor((maxHours * MS_PER_HOUR) / (2 * made.design.blockMs))) };
	return design.kind === 'switchback' || design.kind === 'matched-cells'
		? switchbackPlan(
				{ notes, design },
				requestsPerS,
				effect,
				differencesOf(design, requestsPerS, goodRatio, pilot),
				breathe,
			)
		: splitPlan({ notes, design }, requestsPerS);
}

function differencesOf(
	{ blockMs, burnInMs, cellPairs }: ExperimentDesign,
	requestsPerS: number,
	goodRatio: number | undefined,
	pilot: readonly number[],
): AssumedDifferences {
	// Of the mean over all cells, as if each swung by itself: what they share cancels.
	const cells = Math.sqrt(Math.max(1, 2 * cellPairs.length));
	if (pilot.length >= PILOT_MIN) return cellPairs.length === 0 ? { pilot } : { sd: Math.sqrt(variance(pilot)) / cells };
	const requests = Math.max(1, (requestsPerS * (blockMs - burnInMs)) / 1000);
	// Neither 0 nor 1 even where all requests were alike: the next one may be the first that is not.
	const good = Math.min(0.99, Math.max(0.01, goodRatio ?? GOOD_ASSUMED));
	return { sd: (OVERDISPERSION * Math.sqrt((2 * good * (1 - good)) / requests)) / cells };
}

async function switchbackPlan(
	made: MadeDesign,
	requestsPerS: number,
	effect: number,
	differences: AssumedDifferences,
	breathe: () => Promise<void>,
): Promise<ExperimentPlan> {
	const { design } = made;
	const hours = (design.pairsMax * 2 * design.blockMs) / MS_PER_HOUR;
	const perBlock = (requestsPerS * (design.blockMs - design.burnInMs)) / 1000;
	if (perBlock < design.blockRequestsMin) {
		const text =
			requestsPerS === 0
				? 'No traffic of this model was seen here: how long a verdict takes cannot be told.'
				: `At the ${requestsPerS.toFixed(1)} requests a second seen of late a block brings about ${Math.floor(perBlock)}, fewer than the ${design.blockRequestsMin} it needs, and would be dropped. Make blocks longer, or wait for more traffic to be seen.`;
		return { ...made, requestsPerS, forecast: undefined, hours, text };
	}
	const forecast = await forecastInSlices(design, effect, differences, breathe);
	const basis =
		'pilot' in differences
			? `the ${differences.pilot.length} pairs of earlier experiments`
			: `an assumed spread of ${(differences.sd * 100).toFixed(1)} points between pairs`;
	return { ...made, requestsPerS, forecast, hours, text: `${forecast.text} Basis: ${basis}.` };
}

/** A canary or split ends when it has had its requests and its time. */
function splitPlan(made: MadeDesign, requestsPerS: number): ExperimentPlan {
	const { share, requestsMin, durationMsMin } = made.design;
	const least = durationMsMin / MS_PER_HOUR;
	if (requestsPerS === 0)
		return {
			...made,
			requestsPerS,
			forecast: undefined,
			hours: least,
			text: 'No traffic of this model was seen here: how long it takes cannot be told.',
		};
	const hours = Math.max(least, requestsMin / (requestsPerS * share) / 3600);
	return {
		...made,
		requestsPerS,
		forecast: undefined,
		hours,
		text: `Without harm it ends in about ${hours.toFixed(2)} h, when ${requestsMin} requests of the candidate and ${(least * 60).toFixed(0)} min have passed; harm ends it sooner.`,
	};
}
