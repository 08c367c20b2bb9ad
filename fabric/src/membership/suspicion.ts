// Owns the timer of one suspicion: it starts long and shrinks with every distinct accuser that agrees (Lifeguard, Dadgar et al. 2017, §IV-B).
import type { NodeId } from './messages.js';
import type { SwimSettings } from './settings.js';

export interface SuspicionSpan {
	/** Confirmations at which the shortest timeout is reached; 0 means it holds from the start. */
	readonly confirmationsNeeded: number;
	readonly minMs: number;
	readonly maxMs: number;
}

/** The span for a pool of `members` (this node included). `plain` is SWIM without Lifeguard: the shortest timeout at once. */
export function suspicionSpan(settings: SwimSettings, members: number, plain: boolean): SuspicionSpan {
	const scale = Math.max(settings.suspicionScaleMin, Math.log10(Math.max(1, members)));
	const minMs = settings.suspicionMultiplier * scale * settings.probeIntervalMs;
	const wanted = Math.max(0, settings.suspicionMultiplier - 2);
	// With too few others to confirm, waiting for them would only delay.
	const confirmationsNeeded = plain || members - 2 < wanted ? 0 : wanted;
	return { confirmationsNeeded, minMs, maxMs: minMs * settings.suspicionMaxMultiplier };
}

/** `max − (max − min) · ln(c + 1) / ln(k + 1)`, floored to whole milliseconds, at least `min` (paper, §IV-B). */
export function suspicionTimeoutMs(span: SuspicionSpan, confirmations: number): number {
	const { confirmationsNeeded: k, minMs, maxMs } = span;
	if (k < 1) return minMs;
	const decay = Math.log(confirmations + 1) / Math.log(k + 1);
	return Math.max(minMs, Math.floor(maxMs - (maxMs - minMs) * decay));
}

export class Suspicion {
	readonly span: SuspicionSpan;
	#startMs: number;
	#confirmations = 0;
	readonly #confirmers = new Set<NodeId>();

	/** `by` is the first accuser, whose word is what the longest timeout stands for: it never confirms itself. */
	constructor(span: SuspicionSpan, by: NodeId, nowMs: number) {
		this.span = span;
		this.#startMs = nowMs;
		this.#confirmers.add(by);
	}

	get deadlineMs(): number {
		return this.#startMs + suspicionTimeoutMs(this.span, this.#confirmations);
	}

	get confirmations(): number {
		return this.#confirmations;
	}

	/** Whether this accuser is new and still counts. `countTwice` is a known bug for the proof. */
	confirm(by: NodeId, countTwice = false): boolean {
		if (this.#confirmations >= this.span.confirmationsNeeded) return false;
		if (this.#confirmers.has(by) && !countTwice) return false;
		this.#confirmers.add(by);
		this.#confirmations++;
		return true;
	}

	/** The observer itself stood still for this long, during which no refutation could have reached it. */
	extend(byMs: number): void {
		this.#startMs += byMs;
	}
}
