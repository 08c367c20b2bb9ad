// Owns the list of requests in the router, from accept to the close of the response: its length is the saturation measure, and walking it
// finds what is overdue. Add, remove and walk cost no allocation.
import type { Exchange } from './exchange.js';

export class ActiveExchanges {
	readonly #list: Exchange[] = [];

	get size(): number {
		return this.#list.length;
	}

	add(exchange: Exchange): void {
		exchange.slot = this.#list.length;
		this.#list.push(exchange);
	}

	/** Idempotent. The last one takes the free place. */
	remove(exchange: Exchange): void {
		const { slot } = exchange;
		if (slot < 0) return;
		exchange.slot = -1;
		const last = this.#list.pop() as Exchange;
		if (last === exchange) return;
		this.#list[slot] = last;
		last.slot = slot;
	}

	/** Calls `visit` for each, last first, so that a visit may remove the one it sees. */
	forEach(visit: (exchange: Exchange) => void): void {
		for (let at = this.#list.length - 1; at >= 0; at--) {
			const exchange = this.#list[at];
			if (exchange !== undefined) visit(exchange);
		}
	}
}
