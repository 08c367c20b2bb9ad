// Owns which failed attempts are tried again: only ones of which nothing has reached the client, within the attempts of the request and
// the budget of the router, of which the death of a target takes nothing. Where the next attempt goes is decided anew.
import type { RouterEnv } from './env.js';
import type { RouterErrorCode } from './errors.js';
import type { RoutedRequest, RunningAttempt } from './routed-request.js';
import { header } from './upstream-response.js';

const RETRIED_FAILURES: ReadonlySet<RouterErrorCode> = new Set([
	'IM_UPSTREAM_CONNECT',
	'IM_UPSTREAM_DIED',
	'IM_UPSTREAM_PROTOCOL',
	'IM_UPSTREAM_FIRST_BYTE_TIMEOUT',
	'IM_UPSTREAM_IDLE_TIMEOUT',
	'IM_UPSTREAM_ERROR',
	'IM_UPSTREAM_SATURATED',
]);

/**
 * Why an ended attempt is to be retried, as a short word for metrics; undefined when it is not. Notes the target as tried, so that
 * the next decision goes elsewhere, unless the connection was merely stale.
 */
export function retryReason(env: RouterEnv, request: RoutedRequest, attempt: RunningAttempt): string | undefined {
	if (request.committed || request.finished || !request.replayable) return undefined;
	const reason = failureReason(request, attempt);
	// What was asked of a connection that had gone stale was asked of nobody.
	if (reason === undefined || request.attempts - request.staleRetries >= env.options.retry.attemptsMax)
		return undefined;
	const now = env.ports.clock.nowMs();
	if (now >= request.deadlineAtMs) return undefined;
	if (isStale(env, request, attempt, now)) {
		request.staleRetries++;
		return 'stale_connection';
	}
	if (!isFree(request, attempt) && !env.retries.take(now)) return undefined;
	request.tried.push({ pool: attempt.pool, row: attempt.failedRow ?? attempt.poolRow });
	return reason;
}

/**
 * How long a request waits whose targets have all failed, before they are tried once more; undefined when it does not. A target's own Retry-After comes
 * first; one longer than the bound, or past the deadline, is passed on to the client instead.
 */
export function backoffMs(env: RouterEnv, request: RoutedRequest, last: RunningAttempt): number | undefined {
	const { backoffMs: firstMs, backoffMsMax } = env.options.retry;
	if (firstMs === 0 || request.committed || request.finished || !request.replayable || request.tried.length === 0)
		return undefined;
	const now = env.ports.clock.nowMs();
	const grownMs = Math.min(backoffMsMax, firstMs * 1.5 ** request.rounds);
	const jitteredMs = grownMs * (1 - JITTER + JITTER * env.ports.random.nextFloat());
	const askedS = Number(header(last, 'retry-after'));
	const waitMs = Math.max(jitteredMs, Number.isFinite(askedS) && askedS > 0 ? askedS * 1000 : 0);
	if (waitMs > backoffMsMax || now + waitMs >= request.deadlineAtMs) return undefined;
	request.rounds++;
	request.tried = [];
	return waitMs;
}

const JITTER = 0.2;

function failureReason(request: RoutedRequest, attempt: RunningAttempt): string | undefined {
	if (attempt.end === 'failed') {
		const { failure } = attempt;
		if (failure === undefined || !RETRIED_FAILURES.has(failure)) return undefined;
		return failure.slice('IM_UPSTREAM_'.length).toLowerCase();
	}
	if (attempt.end !== 'held') return undefined;
	const { status } = attempt;
	if (status === 429 || status === 503) {
		request.withoutRoom++;
		return 'saturated';
	}
	if ((status === 500 || status === 502 || status === 504) && request.serverErrors === 0) {
		request.serverErrors++;
		return 'error';
	}
	return undefined;
}

/**
 * A target that is gone does none of what it was given any more: doing that elsewhere adds no load, however much it was. Once a request, for the request may
 * be what its target died of; a target that was never reached cannot have.
 */
function isFree(request: RoutedRequest, { failure }: RunningAttempt): boolean {
	if (failure === 'IM_UPSTREAM_CONNECT') return true;
	return failure === 'IM_UPSTREAM_DIED' && request.deaths++ === 0;
}

/** An engine may close an idle connection just as a request goes out on it. That says nothing of its health: once, it may be asked again. */
function isStale(env: RouterEnv, request: RoutedRequest, attempt: RunningAttempt, now: number): boolean {
	return (
		attempt.resetUnanswered &&
		request.staleRetries === 0 &&
		now - attempt.startedMs < env.options.retry.staleConnectionMs
	);
}
