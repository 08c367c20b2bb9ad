// Owns the making of views and reports from records.

import type { ArmName } from './cohorts/cohort.js';
import { armFigures, expand } from './controller/figures.js';
import { safetyTrialOf } from './controller/split.js';
import { isSwitchback } from './controller/step.js';
import { placeOf, trialOf } from './controller/switchback.js';
import { designDigest } from './design/design.js';
import type { ExperimentForecast } from './design/forecast.js';
import { type ExperimentReport, reportOf } from './design/report.js';
import type { ExperimentPlan } from './plan.js';
import type { ExperimentEnd, ExperimentPoint, ExperimentRecord } from './record.js';
import type { ExperimentView, PlanView } from './view.js';

const MS_PER_HOUR = 3_600_000;

export function planView(model: string, plan: ExperimentPlan): PlanView {
	const { design, notes, requestsPerS, forecast, hours, text } = plan;
	const { kind, baseline, candidate, promote, seed, blockMs, burnInMs, share, objectives } = design;
	return {
		kind,
		model,
		baseline,
		candidate,
		promote,
		seed,
		blockMs,
		burnInMs,
		share,
		objectives: { ...objectives },
		designDigest: designDigest(design),
		notes: [...notes],
		requestsPerS,
		pairsExpected: forecast?.pairsP50 ?? null,
		hoursExpected: forecast?.hoursP50 ?? null,
		hoursP90: forecast?.hoursP90 ?? null,
		decidedShare: forecast === undefined ? null : 1 - forecast.shares.undecided,
		hours,
		text,
	};
}

export function experimentView(record: ExperimentRecord, nowMs: number, runner: string | undefined): ExperimentView {
	const { design } = record;
	const { baseline, candidate } = record.figures;
	return {
		id: record.id,
		kind: design.kind,
		model: record.model,
		baseline: design.baseline,
		candidate: design.candidate,
		promote: design.promote,
		state: record.state,
		startedBy: record.startedBy,
		startedAtMs: record.startedAtMs,
		designDigest: designDigest(design),
		pairsMax: design.pairsMax,
		...(isSwitchback(record) ? switchbackPart(record, nowMs) : splitPart(record, nowMs)),
		requests: { baseline: expand(baseline).judged, candidate: expand(candidate).judged },
		bad: { baseline: badOf(baseline), candidate: badOf(candidate) },
		runner: record.state === 'ended' ? null : (runner ?? null),
		trip: record.trip === undefined ? null : tripOf(record.trip),
		muted: record.muted,
		end: record.end ?? null,
	};
}

/** Without its course, which is the report's. */
function tripOf({ rule, atMs, reason }: NonNullable<ExperimentRecord['trip']>) {
	return { rule, atMs, reason };
}

type Parts = Pick<
	ExperimentView,
	| 'block'
	| 'verdict'
	| 'pairs'
	| 'pairsDropped'
	| 'difference'
	| 'interval'
	| 'winRate'
	| 'winRateInterval'
	| 'evidence'
	| 'leftMs'
>;

function switchbackPart(record: ExperimentRecord, nowMs: number): Parts {
	const trial = trialOf(record);
	const place = placeOf(record, nowMs);
	const { design, forecast, startedAtMs, state } = record;
	const isRunning = state === 'running' && !place.isOver;
	const budgetLeftMs = startedAtMs + 2 * design.pairsMax * design.blockMs - nowMs;
	const expectedLeftMs = startedAtMs + (forecast?.hoursP50 ?? Number.POSITIVE_INFINITY) * MS_PER_HOUR - nowMs;
	const leftMs = expectedLeftMs > 0 ? Math.min(expectedLeftMs, budgetLeftMs) : budgetLeftMs;
	const has = trial.pairs.length > 0;
	return {
		block: isRunning
			? {
					number: place.block,
					arm: place.arm,
					endsInMs: place.endsAtMs - nowMs,
					burnIn: nowMs < place.measureFromMs,
				}
			: null,
		verdict: trial.verdict,
		pairs: trial.pairs.length,
		pairsDropped: trial.dropped.pairs,
		difference: has ? trial.difference : null,
		interval: has ? { ...trial.interval } : null,
		winRate: has ? trial.winRate.value : null,
		winRateInterval: has ? { ...trial.winRate.interval } : null,
		evidence: null,
		leftMs: isRunning ? Math.max(0, leftMs) : null,
	};
}

function splitPart(record: ExperimentRecord, nowMs: number): Parts {
	const trial = safetyTrialOf(record);
	const { design, startedAtMs, state } = record;
	return {
		block: null,
		verdict: trial.verdict,
		pairs: 0,
		pairsDropped: 0,
		difference: null,
		interval: null,
		winRate: null,
		winRateInterval: null,
		evidence: trial.evidence,
		leftMs: state === 'running' ? splitLeftMs(trial.totals.candidate, design, nowMs - startedAtMs) : null,
	};
}

/** At the rate seen so far; null before the first request. */
function splitLeftMs(
	candidate: number,
	{ requestsMin, durationMsMin }: ExperimentRecord['design'],
	elapsedMs: number,
): number | null {
	if (candidate === 0) return null;
	const forRequestsMs = (requestsMin / candidate - 1) * elapsedMs;
	return Math.max(0, forRequestsMs, durationMsMin - elapsedMs);
}

/** Late and failed. */
function badOf(cells: readonly number[]): number {
	const counts = expand(cells);
	return counts.judged - counts.get('good');
}

/** Share of all tokens computed that losing copies computed. */
export function hedgeWasteOf(cells: readonly number[]): number | undefined {
	const counts = expand(cells);
	const computed = counts.get('tokensComputed');
	return computed === 0 ? undefined : counts.get('tokensWasted') / computed;
}

/** The report as a document: the figures with their guarantees, and what plots are drawn from. */
export interface ExperimentDocument extends ExperimentReport {
	readonly schema: 'infermesh.experiment.v1';
	readonly id: string;
	readonly model: string;
	readonly state: ExperimentRecord['state'];
	readonly startedBy: string;
	readonly startedAtMs: number;
	/** SHA-256 digests of both strategies. */
	readonly digests: ExperimentRecord['digests'];
	readonly forecast: ExperimentForecast | null;
	readonly end: ExperimentEnd | null;
	/** Of a canary without latencies, as `ttftMs`: it is for safety, and shows no effect. */
	readonly points: readonly (Omit<ExperimentPoint, 'ttftP50Ms' | 'ttftP99Ms'> & Partial<ExperimentPoint>)[];
	readonly ttftMs?: Record<ArmName, { readonly p50: number; readonly p99: number }>;
}

export function documentOf(record: ExperimentRecord): ExperimentDocument {
	const { design, notes, figures, trip, muted } = record;
	const trial = isSwitchback(record) ? trialOf(record) : safetyTrialOf(record);
	const arms = { baseline: armFigures(figures.baseline), candidate: armFigures(figures.candidate) };
	const ttft = (cells: readonly number[]) => {
		const counts = expand(cells);
		return { p50: counts.ttftQuantile(0.5), p99: counts.ttftQuantile(0.99) };
	};
	return {
		schema: 'infermesh.experiment.v1',
		id: record.id,
		model: record.model,
		state: record.state,
		startedBy: record.startedBy,
		startedAtMs: record.startedAtMs,
		digests: record.digests,
		forecast: record.forecast ?? null,
		end: record.end ?? null,
		...reportOf({ design, notes, trial, arms, trip, muted }),
		...(design.kind === 'canary'
			? { points: record.points.map(({ ttftP50Ms: _p50, ttftP99Ms: _p99, ...point }) => point) }
			: {
					points: record.points,
					ttftMs: { baseline: ttft(figures.baseline), candidate: ttft(figures.candidate) },
				}),
	};
}
