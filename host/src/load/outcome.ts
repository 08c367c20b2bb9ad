// Owns what is known of one request when it is over, and the names of the causes for which one fails.

/** Why a request failed. */
export type FailureKind =
	/** No connection: refused, unknown host, connect timeout. */
	| 'connect'
	/** The connection was lost before any response header. */
	| 'reset'
	/** The response's status is not 2xx. */
	| 'http'
	/** A 200 whose body ended early: the connection was lost, or no [DONE] came. */
	| 'truncated'
	/** The stream carried an error event. */
	| 'stream_error'
	/** Not over within the request timeout. */
	| 'timeout'
	/** A 200 whose body is not a completion, or is beyond the bounds. */
	| 'protocol';

export interface Failure {
	readonly kind: FailureKind;
	/** System or HTTP code, `IM_…` code, or the phase that timed out. Short, from a bounded vocabulary, no prompt text. */
	readonly detail: string;
}

/** Times are those of the run's clock, milliseconds. */
export interface Outcome {
	readonly end: 'ok' | 'failed' | 'aborted';
	readonly failure: Failure | undefined;
	/** When the workload wanted the request sent: latencies count from here. */
	readonly intendedMs: number;
	readonly sentMs: number;
	readonly firstTokenMs: number | undefined;
	readonly lastTokenMs: number | undefined;
	readonly endMs: number;
	readonly inputTokens: number;
	/** From `usage` when reported, else events that carried text. */
	readonly outputTokens: number;
	readonly target: string | undefined;
	readonly strategy: string | undefined;
}

/** Mean time per output token after the first, milliseconds; undefined for fewer than two tokens or without streaming. */
export function tpotMs(outcome: Outcome): number | undefined {
	const { firstTokenMs, lastTokenMs, outputTokens } = outcome;
	if (firstTokenMs === undefined || lastTokenMs === undefined || outputTokens < 2) return undefined;
	return (lastTokenMs - firstTokenMs) / (outputTokens - 1);
}
