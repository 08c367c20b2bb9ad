// Owns the reports an adapter has not had acknowledged: in order, bounded, sent again after a reconnect. Without effects: who sends is report-stream.ts.
// When there is no room for a new one, the oldest report goes that a newer one says all of (they have one key); else the oldest that was not sent yet;
// else the oldest of all. What was dropped is counted and told.

export interface OutboxOptions {
	/** Reports held, sent or not. */
	readonly heldMax: number;
}

export interface Held<T> {
	readonly sequence: number;
	/** Reports with one key say the same kind of thing about the same thing. */
	readonly key: string;
	readonly observedAtMs: number;
	readonly item: T;
}

export class Outbox<T> {
	readonly #options: OutboxOptions;
	/** Oldest first. The first `#sent` of them are on their way. */
	readonly #held: Held<T>[] = [];
	#sent = 0;
	#last = 0;
	#dropped = 0;
	/** Of the other side; nothing is sent before it has told. */
	#window = 0;

	constructor(options: OutboxOptions) {
		this.#options = options;
	}

	get dropped(): number {
		return this.#dropped;
	}

	get held(): number {
		return this.#held.length;
	}

	/** Takes a new report. */
	add(key: string, item: T, observedAtMs: number): void {
		if (this.#held.length >= this.#options.heldMax) this.#makeRoom(key);
		this.#held.push({ sequence: ++this.#last, key, observedAtMs, item });
	}

	/** The next to send, which counts as sent from then on; undefined when there is none, or no room on the other side. */
	next(): Held<T> | undefined {
		if (this.#sent >= this.#window) return undefined;
		const next = this.#held[this.#sent];
		if (next !== undefined) this.#sent++;
		return next;
	}

	/** Whether anything that was sent waits to be acknowledged. */
	get waiting(): boolean {
		return this.#sent > 0;
	}

	/** The other side has all up to `sequence`, and room for `window` beyond it. */
	acked(sequence: number, window: number): void {
		this.#window = window;
		let done = 0;
		for (const { sequence: own } of this.#held) {
			if (own > sequence) break;
			done++;
		}
		this.#held.splice(0, done);
		this.#sent = Math.max(0, this.#sent - done);
	}

	/** Gives the oldest up: it is what keeps the others from coming through. */
	dropOldest(): void {
		if (this.#held.shift() === undefined) return;
		this.#sent = Math.max(0, this.#sent - 1);
		this.#dropped++;
	}

	/** The connection is gone: what was sent and not acknowledged is to be sent again, once the other side has said how far it is. */
	disconnected(): void {
		this.#sent = 0;
		this.#window = 0;
	}

	#makeRoom(key: string): void {
		const newest = new Map<string, number>([[key, this.#last + 1]]);
		for (const one of this.#held) if (one.key !== key) newest.set(one.key, one.sequence);
		const superseded = this.#held.findIndex((one, at) => at >= this.#sent && newest.get(one.key) !== one.sequence);
		const unsent = this.#sent < this.#held.length ? this.#sent : 0;
		const at = superseded >= 0 ? superseded : unsent;
		this.#held.splice(at, 1);
		if (at < this.#sent) this.#sent--;
		this.#dropped++;
	}
}
