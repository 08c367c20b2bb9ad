// Owns what a request's span says: the names are those of telemetry's attribute table. Never prompt text.
import type { RoutedRequest, RunningAttempt } from './routed-request.js';

/** Notes an ended attempt on the span; a later attempt of the same request overwrites. */
export function traceAttempt(
	request: RoutedRequest,
	attempt: RunningAttempt,
	tokensIn: number,
	tokensOut: number,
	ttftMs: number,
	firstTokenWallMs: number,
): void {
	const { span } = request;
	if (span === undefined) return;
	// The name the client knows, and the one the engine does.
	span.set('model', request.model === '' ? attempt.pool.model : request.model);
	span.set('upstreamModel', attempt.target.upstreamModel ?? attempt.pool.model);
	if (request.session !== '') span.set('session', request.session);
	if (request.tokensOutMax > 0) span.set('maxTokens', request.tokensOutMax);
	span.set('requestId', request.requestId);
	span.set('decisionId', attempt.decisionId);
	span.set('strategy', attempt.strategy);
	span.set('target', attempt.target.id);
	span.set('runtime', attempt.target.runtime);
	span.set('stream', request.stream);
	span.set('status', attempt.status);
	span.set('attempts', request.attempts);
	span.set('tokensIn', tokensIn);
	span.set('tokensOut', tokensOut);
	span.set('tokensCached', attempt.usage?.tokensCached ?? 0);
	span.set('ttftMs', ttftMs);
	if (ttftMs > 0) span.event('gen_ai.first_token', firstTokenWallMs);
}
