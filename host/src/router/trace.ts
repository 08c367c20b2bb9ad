// Owns what a request's span says: the names are those of telemetry's attribute table. Never prompt text.
import type { Attempt } from './attempt.js';
import type { Exchange } from './exchange.js';

/** Notes an ended attempt on the span; a later attempt of the same request overwrites. */
export function traceAttempt(
	exchange: Exchange,
	attempt: Attempt,
	tokensIn: number,
	tokensOut: number,
	ttftMs: number,
): void {
	const { span } = exchange;
	if (span === undefined) return;
	span.set('model', attempt.pool.model);
	span.set('requestId', exchange.requestId);
	span.set('decisionId', attempt.decisionId);
	span.set('strategy', attempt.strategy);
	span.set('target', attempt.target.id);
	span.set('runtime', attempt.target.runtime);
	span.set('stream', exchange.stream);
	span.set('status', attempt.status);
	span.set('attempts', exchange.attempts);
	span.set('tokensIn', tokensIn);
	span.set('tokensOut', tokensOut);
	span.set('tokensCached', attempt.usage?.tokensCached ?? 0);
	span.set('ttftMs', ttftMs);
}
