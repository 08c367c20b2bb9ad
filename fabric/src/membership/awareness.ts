// Owns the local health score (Lifeguard §IV-A): how far this node has reason to doubt its own timeliness. 0 is healthy; probes take
// score + 1 times as long.

export class Awareness {
	#score = 0;
	readonly #max: number;
	readonly #enabled: boolean;

	/** The score stays below `max`. Disabled (plain SWIM) it stays 0. */
	constructor(max: number, enabled: boolean) {
		this.#max = max;
		this.#enabled = enabled;
	}

	get score(): number {
		return this.#score;
	}

	apply(delta: number): void {
		if (!this.#enabled) return;
		this.#score = Math.min(this.#max - 1, Math.max(0, this.#score + delta));
	}

	scale(spanMs: number): number {
		return spanMs * (this.#score + 1);
	}
}
