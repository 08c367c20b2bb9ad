// Owns what an experiment follows of one request, across its attempts: the arm it was first decided under, when its first token came, and what was computed
// for it. Requests of models that are not under experiment have none of it, and cost nothing.
import { NO_COHORT } from '../experiments/cohorts/cohort.js';
import type { RouterEnv } from './env.js';
import type { Lane } from './hedge/race.js';
import type { ModelPool } from './ports.js';
import type { RoutedRequest, RunningAttempt } from './routed-request.js';

export interface Trial {
	readonly cohort: number;
	/** Of the experiment: the pool that was asked first. */
	readonly pool: ModelPool;
	/** It counts as begun. What is only decided here, for another to dispatch, never does: its end is not seen. */
	begun: boolean;
	/** On the monotonic clock; 0 = none has come. */
	firstTokenMs: number;
	failed: boolean;
	tokensOut: number;
	tokensComputed: number;
	tokensWasted: number;
	hedge: 'none' | 'sent' | 'won';
}

/** A request belongs to the cohort of its first decision, whatever decides for it later. */
export function enlist(request: RoutedRequest, pool: ModelPool, cohort: number): void {
	if (cohort === NO_COHORT || request.trial !== undefined || request.attempts > 0) return;
	request.trial = {
		cohort,
		pool,
		begun: false,
		firstTokenMs: 0,
		failed: false,
		tokensOut: 0,
		tokensComputed: 0,
		tokensWasted: 0,
		hedge: 'none',
	};
}

/** The router follows it to its end. */
export function begin({ ports }: RouterEnv, { trial }: RoutedRequest): void {
	if (trial === undefined || trial.begun) return;
	trial.begun = true;
	ports.outcomes.enlisted(trial.cohort);
}

/** One of its attempts has ended. */
export function attempted(
	trial: Trial,
	attempt: RunningAttempt,
	lane: Lane | undefined,
	uncachedTokens: number,
	tokensOut: number,
): void {
	if (lane?.role === 'copy' && trial.hedge === 'none') trial.hedge = 'sent';
	if (lane?.lost === true) {
		trial.tokensWasted += lane.wastedTokens;
		trial.tokensComputed += lane.wastedTokens;
		return;
	}
	trial.failed = attempt.end === 'failed';
	trial.tokensComputed += Math.max(0, uncachedTokens) + tokensOut;
	if (attempt.firstTokenMs === 0 && attempt.end !== 'held') return;
	trial.tokensOut = tokensOut;
	trial.firstTokenMs = attempt.firstTokenMs;
	if (lane?.role === 'copy') trial.hedge = 'won';
}

export function end(
	{ ports }: RouterEnv,
	{ trial, stream, tokensIn, startMs, attempts }: RoutedRequest,
	status: number,
	durationMs: number,
): void {
	if (trial?.begun !== true) return;
	ports.outcomes.ended(trial.pool, trial.cohort, {
		status,
		stream,
		tokensIn,
		tokensOut: trial.tokensOut,
		ttftMs: trial.firstTokenMs === 0 ? 0 : trial.firstTokenMs - startMs,
		durationMs,
		failed: trial.failed,
		attempts,
		tokensComputed: trial.tokensComputed,
		tokensWasted: trial.tokensWasted,
		hedge: trial.hedge,
	});
}
