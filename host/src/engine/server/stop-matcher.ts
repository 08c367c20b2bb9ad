// Owns finding stop strings in text that comes in pieces. Text that may be the start of a stop string is held back.

export class StopMatcher {
	readonly #stops: readonly string[];
	readonly #includeStop: boolean;
	readonly #holdMax: number;
	#held = '';

	/** `includeStop` leaves a found stop string in the output. */
	constructor(stops: readonly string[], includeStop: boolean) {
		this.#stops = stops;
		this.#includeStop = includeStop;
		this.#holdMax = Math.max(0, ...stops.map((stop) => stop.length - 1));
	}

	/** Takes a piece; returns the text that may go out and, when one was found, the stop string that ends the output. */
	push(piece: string): { readonly text: string; readonly stop?: string } {
		if (this.#stops.length === 0) return { text: piece };
		const text = this.#held + piece;
		const found = this.#first(text);
		if (found !== undefined) {
			this.#held = '';
			const end = found.at + (this.#includeStop ? found.stop.length : 0);
			return { text: text.slice(0, end), stop: found.stop };
		}
		const keep = Math.min(this.#holdMax, text.length);
		this.#held = text.slice(text.length - keep);
		return { text: text.slice(0, text.length - keep) };
	}

	/** The text still held back, at the end of the output. */
	flush(): string {
		const held = this.#held;
		this.#held = '';
		return held;
	}

	#first(text: string): { readonly at: number; readonly stop: string } | undefined {
		let best: { at: number; stop: string } | undefined;
		for (const stop of this.#stops) {
			const at = text.indexOf(stop);
			if (at >= 0 && (best === undefined || at < best.at)) best = { at, stop };
		}
		return best;
	}
}
