// Owns the sending of one attempt, the decided one or a copy of it: its entry in the ledger, then the request itself.
import type { RouterEnv } from './env.js';
import type { RoutedRequest, RunningAttempt } from './routed-request.js';
import type { AttemptPlan } from './upstream-response.js';

/** `ready` has the attempt before anything can happen to it; `onEnd` is called once, possibly before this returns. */
export function startAttempt(
	env: RouterEnv,
	request: RoutedRequest,
	plan: AttemptPlan,
	uncachedTokens: number,
	onEnd: (attempt: RunningAttempt) => void,
	ready: (attempt: RunningAttempt) => void,
): void {
	const entry = env.ports.ledger.dispatch(plan.target, request.tokensIn, uncachedTokens);
	const attempt = request.protocol.attempt(request, plan, entry, onEnd);
	ready(attempt);
	attempt.start();
}
