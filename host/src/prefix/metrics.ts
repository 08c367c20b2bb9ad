// Owns what the data plane counts of prefixes, as an interface: implementations only add to plain arrays.
import type { PrefixSource } from '../router/ports.js';
import type { PrefixHits } from '../strategy/runtime/decision.js';

export interface PrefixMetrics {
	/** One lookup, with what it found. */
	lookedUp(hits: PrefixHits): void;
	/** A request goes to a target that is expected to have this much of it. */
	credited(source: PrefixSource, tokens: number): void;
	/** What the engine says it had, against what was expected. */
	reported(predictedTokens: number, source: PrefixSource, reportedTokens: number): void;
	/** Size of an index (0 sent, 1 speculative) now, and what it has given up for want of room since the start. */
	sized(index: 0 | 1, pairs: number, evictions: number): void;
}

const ignore = (): void => undefined;
export const noPrefixMetrics: PrefixMetrics = { lookedUp: ignore, credited: ignore, reported: ignore, sized: ignore };
