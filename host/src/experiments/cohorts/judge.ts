// Owns how a request of an experiment counts once it is over. What a request is asked to meet was fixed before the experiment began, and is the same for both
// arms. Intention to treat: it counts for the arm it was decided under first, whatever became of it after.
import type { CohortCounts } from './counts.js';

/** What a request is to meet. */
export interface Objectives {
	/** First token, from the request's arrival; for an answer in one piece `ttftMs + tpotMs · tokensOut` bounds the whole. */
	readonly ttftMs: number;
	/** Each further token, on average. */
	readonly tpotMs: number;
	/** Added to `ttftMs` for each token of the prompt: what a long prompt needs by itself. */
	readonly ttftPerTokenMs: number;
}

/** How a request of an experiment ended. */
export interface EndedRequest {
	/** As metrics name it: 499 when the client left first. */
	readonly status: number;
	readonly stream: boolean;
	readonly tokensIn: number;
	readonly tokensOut: number;
	/** From its arrival; 0 = none came, or the answer is in one piece. */
	readonly ttftMs: number;
	/** From its arrival to its end. */
	readonly durationMs: number;
	/** The router gave it up, or cut it short. */
	readonly failed: boolean;
	readonly attempts: number;
	readonly tokensComputed: number;
	readonly tokensWasted: number;
	readonly hedge: 'none' | 'sent' | 'won';
}

/** Of a client that has gone, as nginx counts it. */
const CLIENT_CLOSED = 499;

export type Judgement = 'good' | 'late' | 'failed' | 'invalid' | 'left';

export function judge(request: EndedRequest, objectives: Objectives): Judgement {
	const { status, stream, tokensIn, tokensOut, ttftMs, durationMs, failed } = request;
	const firstMs = objectives.ttftMs + objectives.ttftPerTokenMs * tokensIn;
	// Who waits longer than promised and leaves has been failed; who leaves before that tells nothing.
	if (status === CLIENT_CLOSED) return ttftMs === 0 && durationMs > firstMs ? 'late' : 'left';
	if (failed || status >= 500 || status === 429) return 'failed';
	if (status >= 400) return 'invalid';
	if (!stream || ttftMs === 0) return durationMs <= firstMs + objectives.tpotMs * tokensOut ? 'good' : 'late';
	const tpotMs = tokensOut > 1 ? (durationMs - ttftMs) / (tokensOut - 1) : 0;
	return ttftMs <= firstMs && tpotMs <= objectives.tpotMs ? 'good' : 'late';
}

export function count(counts: CohortCounts, request: EndedRequest, objectives: Objectives): void {
	counts.add(judge(request, objectives), 1);
	if (request.ttftMs > 0) counts.firstToken(request.ttftMs);
	counts.add('tokensOut', request.tokensOut);
	counts.add('tokensComputed', request.tokensComputed);
	counts.add('tokensWasted', request.tokensWasted);
	if (request.attempts > 1) counts.add('retried', 1);
	if (request.hedge !== 'none') counts.add('hedged', 1);
	if (request.hedge === 'won') counts.add('hedgesWon', 1);
}
