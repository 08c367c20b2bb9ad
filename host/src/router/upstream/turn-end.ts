// Owns what waits for the end of a turn of the event loop: requests on connections that were free. Bytes that an upstream sent unasked may have arrived and
// not been read yet; they are read in this turn, before the request goes out, and so are never taken for its answer. One wait serves all of a turn.
export interface Flushed {
	flush(): void;
}

export class TurnEnd {
	readonly #waiting: Flushed[] = [];

	/** Flushes `one` when the turn ends. */
	add(one: Flushed): void {
		if (this.#waiting.push(one) === 1) setImmediate(() => this.#end());
	}

	#end(): void {
		for (const one of this.#waiting.splice(0)) one.flush();
	}
}
