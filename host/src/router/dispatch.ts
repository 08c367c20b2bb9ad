// Owns the dispatch stage: it enters the attempt in the ledger and sends the request to the target that was decided.
import type { Step } from './decide.js';
import type { RouterEnv } from './env.js';
import type { RoutedRequest, RunningAttempt } from './routed-request.js';

/** Starts the attempt; `onEnd` is called once, possibly before this returns. */
export function dispatch(
	env: RouterEnv,
	request: RoutedRequest,
	step: Extract<Step, { kind: 'go' }>,
	onEnd: (attempt: RunningAttempt) => void,
): void {
	const { plan } = step;
	const uncached = Math.max(0, request.tokensIn - plan.cachedTokens);
	const entry = env.ports.ledger.dispatch(plan.target, request.tokensIn, uncached);
	const attempt = request.protocol.attempt(request, plan, entry, onEnd);
	request.attempt = attempt;
	request.attempts++;
	attempt.start();
}
