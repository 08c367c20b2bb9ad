// Owns the dispatch stage: it enters the attempt in the ledger and sends the request to the target that was decided.
import { Attempt } from './attempt.js';
import type { Step } from './decide.js';
import type { RouterEnv } from './env.js';
import type { Exchange } from './exchange.js';
import { upstreamBody, upstreamHeaders } from './upstream-request.js';

/** Starts the attempt; `onEnd` is called once, possibly before this returns. */
export function dispatch(
	env: RouterEnv,
	exchange: Exchange,
	step: Extract<Step, { kind: 'go' }>,
	onEnd: (attempt: Attempt) => void,
): void {
	const { plan, cachedTokens } = step;
	const { target, pool } = plan;
	const uncached = Math.max(0, exchange.tokensIn - cachedTokens);
	const entry = env.ports.ledger.dispatch(target, exchange.tokensIn, uncached);
	const attempt = new Attempt(env, exchange, plan, entry, onEnd);
	exchange.attempt = attempt;
	exchange.attempts++;
	attempt.start({
		method: exchange.method,
		path: `${target.pathPrefix}${exchange.target}`,
		headers: upstreamHeaders(exchange, target, plan.decisionId),
		body: upstreamBody(exchange, pool, target),
	});
}
