// Owns the outcome stage: what an attempt tells the fleet, the strategy and the metrics. Called exactly once per attempt.
import type { RouterEnv } from './env.js';
import type { Lane } from './hedge/race.js';
import type { PrefillLeg } from './pd/prefill-leg.js';
import type { OutcomeStatusName } from './ports.js';
import type { RoutedRequest, RunningAttempt } from './routed-request.js';
import { traceAttempt } from './trace.js';
import { attempted } from './trial.js';
import { header } from './upstream-response.js';

/** Weight of one answer in the running mean of output tokens. */
const MEAN_WEIGHT = 1 / 32;
const POOLS_MAX = 4096;

/** `lane`: what the attempt was in the race of several, if it was in one. */
export function recordOutcome(
	env: RouterEnv,
	request: RoutedRequest,
	attempt: RunningAttempt,
	lane: Lane | undefined,
): void {
	const { ports } = env;
	const lost = lane?.lost === true;
	const now = ports.clock.nowMs();
	const status = outcomeStatus(attempt);
	const tokensOut = attempt.usage?.tokensOut ?? attempt.events;
	const ttftMs = attempt.firstTokenMs === 0 ? 0 : attempt.firstTokenMs - attempt.startedMs;
	const tpotMs = ttftMs > 0 && tokensOut > 1 ? (now - attempt.firstTokenMs) / (tokensOut - 1) : 0;
	const tokensIn = attempt.usage?.tokensIn ?? request.tokensIn;
	const tokensCached = attempt.usage?.tokensCached ?? 0;
	const unreachable = status === 'upstream_error' && attempt.failure === 'IM_UPSTREAM_CONNECT';
	ports.ledger.end(attempt.ledgerEntry);
	if (request.trial !== undefined) attempted(request.trial, attempt, lane, tokensIn - tokensCached, tokensOut);
	if (unreachable && env.options.avoidUnreachable) ports.ledger.unreachable(attempt.target);
	ports.outcomes.record({
		decisionId: attempt.decisionId,
		poolIndex: attempt.pool.index,
		poolRow: attempt.poolRow,
		target: attempt.target,
		status,
		httpStatus: attempt.status,
		tokensIn,
		tokensOut,
		tokensCached,
		ttftMs,
		tpotMs,
		e2eMs: now - attempt.startedMs,
		predictedTtftMs: attempt.predictedTtftMs,
		tenant: request.tenantId,
		fallbackDecided: attempt.fallbackDecided,
		retried: request.attempts > 1,
		hedge: lane?.role ?? 'none',
		lost,
		wastedTokens: lane?.wastedTokens ?? 0,
		leg: attempt.pair === undefined ? 'whole' : 'decode',
		unreachable,
	});
	if (!lost)
		traceAttempt(request, attempt, tokensIn, tokensOut, ttftMs, ports.clock.wallMs() - (now - attempt.firstTokenMs));
	ports.metrics.attempt(attempt.pool, attempt.target, status, ttftMs, tpotMs);
	if (attempt.chunks > 0) ports.metrics.streamChunks(attempt.chunks);
	if (lost || attempt.end === 'failed' || attempt.status >= 400) return;
	env.hedging.of(attempt.pool.model)?.served(request, tokensIn - tokensCached + tokensOut, ttftMs);
	if (attempt.usage?.tellsCached === true)
		ports.prefixes.reported(attempt.cachedTokens, attempt.cachedSource, tokensCached);
	ports.metrics.tokens(attempt.pool, request.tenantId, tokensIn, tokensOut, tokensCached);
	if (attempt.end !== 'cancelled' && tokensOut > 0) learn(env, attempt.pool.index, tokensOut);
}

/** What of an ended prefill is recorded. */
export type EndedPrefill = Pick<PrefillLeg, 'plan' | 'pair' | 'usage' | 'status' | 'startedMs' | 'ledgerEntry'>;

/** The other side of a pair: what its target has done, and how long it took. Called exactly once per prefill. */
export function recordPrefill(
	env: RouterEnv,
	request: RoutedRequest,
	{ plan, pair, usage, status: httpStatus, startedMs, ledgerEntry }: EndedPrefill,
	status: OutcomeStatusName,
	unreachable: boolean,
): void {
	const { ports } = env;
	const tookMs = ports.clock.nowMs() - startedMs;
	const tokensIn = usage?.tokensIn ?? request.tokensIn;
	const answered = status === 'ok' && httpStatus < 300;
	ports.ledger.end(ledgerEntry);
	if (unreachable && env.options.avoidUnreachable) ports.ledger.unreachable(pair.target);
	ports.outcomes.record({
		decisionId: plan.decisionId,
		poolIndex: plan.pool.index,
		poolRow: pair.row,
		target: pair.target,
		status,
		httpStatus,
		tokensIn,
		tokensOut: usage?.tokensOut ?? 0,
		tokensCached: usage?.tokensCached ?? 0,
		// One token in one piece: the answer is the first token.
		ttftMs: answered ? tookMs : 0,
		tpotMs: 0,
		e2eMs: tookMs,
		predictedTtftMs: 0,
		tenant: request.tenantId,
		fallbackDecided: plan.fallbackDecided,
		retried: request.attempts > 1,
		hedge: 'none',
		lost: false,
		wastedTokens: 0,
		leg: 'prefill',
		unreachable,
	});
	ports.metrics.prefill(plan.pool, pair.target, status);
}

/** What the engine says of its load in the head of a response. One that answers in one piece has ended the request before it counts; a stream it is in. */
export function reportLoad(env: RouterEnv, attempt: RunningAttempt, streams: boolean): void {
	const binary = header(attempt, 'endpoint-load-metrics-bin');
	const orca = binary === undefined ? header(attempt, 'endpoint-load-metrics') : `BIN ${binary}`;
	if (orca === undefined) return;
	const { ledger, outcomes } = env.ports;
	outcomes.loadReported(attempt.target, orca, ledger.inFlight(attempt.target) - (streams ? 0 : 1));
}

/** A 4xx is the client's doing and speaks well of the target. */
function outcomeStatus(attempt: RunningAttempt): OutcomeStatusName {
	// A deadline is the caller's own: it says nothing against the target.
	if (attempt.end === 'cancelled' || attempt.failure === 'IM_ROUTE_DEADLINE') return 'cancelled';
	// Its prefill failed: it was never asked, or in vain.
	if (attempt.end === 'failed' && (attempt.failedRow ?? attempt.poolRow) !== attempt.poolRow) return 'cancelled';
	if (attempt.failure === 'IM_UPSTREAM_SATURATED') return 'rejected';
	if (attempt.end === 'failed') return attempt.failure?.endsWith('_TIMEOUT') === true ? 'timeout' : 'upstream_error';
	if (attempt.status === 429 || attempt.status === 503) return 'rejected';
	return attempt.status >= 500 ? 'upstream_error' : 'ok';
}

function learn(env: RouterEnv, pool: number, tokensOut: number): void {
	const mean = env.tokensOutMean.get(pool);
	if (mean === undefined && env.tokensOutMean.size >= POOLS_MAX) {
		const [oldest] = env.tokensOutMean.keys();
		if (oldest !== undefined) env.tokensOutMean.delete(oldest);
	}
	env.tokensOutMean.set(pool, mean === undefined ? tokensOut : mean + (tokensOut - mean) * MEAN_WEIGHT);
}
