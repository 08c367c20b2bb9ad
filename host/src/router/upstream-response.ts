// Owns the records an attempt is seen through by the stages after it: what was decided, and what the upstream answered so far.
import type { PairPlan } from './pd/pair.js';
import type { ModelPool, PrefixSource, UpstreamTarget } from './ports.js';
import type { ResponseHeaders } from './upstream/response-parser.js';

/** What was decided, kept for headers and outcome: the decision record itself is reused. */
export interface AttemptPlan {
	readonly pool: ModelPool;
	readonly poolRow: number;
	readonly target: UpstreamTarget;
	readonly decisionId: string;
	/** `name@version` of what decided. */
	readonly strategy: string;
	readonly fallbackDecided: boolean;
	/** Checks say that the target does not serve: it was asked because they say so of all. */
	readonly inDoubt: boolean;
	readonly predictedTtftMs: number;
	/** Prompt tokens the target is expected to have cached, and what says so. */
	readonly cachedTokens: number;
	readonly cachedSource: PrefixSource;
	/** What the strategy thought of the ranked targets, for a caller that asked. */
	readonly scores?: string | undefined;
	/** The prefill that another target does first. */
	readonly pair?: PairPlan | undefined;
	/** Base URL of an engine that holds a prefix of the prompt, for one that fetches. */
	readonly fetchFrom?: string | undefined;
}

export interface UpstreamResponse extends AttemptPlan {
	/** 0 until the response has begun. */
	status: number;
	headers: ResponseHeaders;
	/** The whole body, when it was held. */
	body: Buffer;
}

/** A response header that may be given once. */
export function header(response: { readonly headers: ResponseHeaders }, name: string): string | undefined {
	const value = response.headers[name];
	return typeof value === 'string' ? value : value?.[0];
}
