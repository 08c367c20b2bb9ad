// Owns the dispatch stage: it starts the attempt that was decided, and the race where copies of it may follow.
import type { Step } from './decide.js';
import type { RouterEnv } from './env.js';
import { Race } from './hedge/race.js';
import type { RoutedRequest, RunningAttempt } from './routed-request.js';
import { startAttempt } from './start-attempt.js';

/** `onEnd` is called once for the attempt and for each copy of it, possibly before this returns. */
export function dispatch(
	env: RouterEnv,
	request: RoutedRequest,
	step: Extract<Step, { kind: 'go' }>,
	onEnd: (attempt: RunningAttempt) => void,
): void {
	const { plan, hedge } = step;
	// The prompt of a decode is computed elsewhere, and that of one that fetches its prefix in part.
	const uncached = plan.pair === undefined ? Math.max(0, request.tokensIn - plan.cachedTokens) : 0;
	request.attempts++;
	startAttempt(env, request, plan, uncached, onEnd, (attempt) => {
		request.attempt = attempt;
		request.race = hedge === undefined ? undefined : new Race(env, request, attempt, uncached, plan, hedge, onEnd);
	});
}
