// Owns the one shape in which a workload reaches its consumers (load generator, simulator): an ordered stream of requests.
// Leaves files, formats and generation to its neighbours. Invariant: `atMs` never decreases along a stream.

/** One request of a workload. */
export interface TraceRequest {
	/** Arrival, milliseconds since the start of the trace (fractions kept). */
	readonly atMs: number;
	/** Prompt length in tokens, at least 1. */
	readonly inputTokens: number;
	/** Tokens to generate, at least 1. */
	readonly outputTokens: number;
	/** Identities of the prompt's blocks of `blockTokens` tokens, in order; the last may be partial. Equal ids mean equal content. */
	readonly blocks?: readonly number[];
	/** The conversation the request belongs to. */
	readonly session?: string;
}

export type TraceKind = 'azure' | 'mooncake' | 'recording' | 'synthetic';

/** A workload that can be walked once. */
export interface TraceSource extends AsyncIterable<TraceRequest> {
	readonly kind: TraceKind;
	/** What a report calls the workload: a file name, or a description of the generator. */
	readonly name: string;
	/** Tokens in a full block of `blocks`. */
	readonly blockTokens: number;
	/** What was done to the data that a reader of results must know (for example de-quantised timestamps). Complete once walked. */
	notes(): readonly string[];
}

/** Largest token count a row may name: far above any context window, far below what would exhaust memory as prompt text. */
export const TOKENS_MAX = 4_194_304;
