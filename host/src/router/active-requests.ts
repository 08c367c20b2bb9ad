// Owns the list of requests in the router, from accept to the close of the response: its length is the saturation measure, and walking it
// finds what is overdue. Add, remove and walk cost no allocation.
import type { RoutedRequest } from './routed-request.js';

export class ActiveRequests {
	readonly #list: RoutedRequest[] = [];

	get size(): number {
		return this.#list.length;
	}

	add(request: RoutedRequest): void {
		request.slot = this.#list.length;
		this.#list.push(request);
	}

	/** Idempotent. The last one takes the free place. */
	remove(request: RoutedRequest): void {
		const { slot } = request;
		if (slot < 0) return;
		request.slot = -1;
		const last = this.#list.pop() as RoutedRequest;
		if (last === request) return;
		this.#list[slot] = last;
		last.slot = slot;
	}

	/** Calls `visit` for each, last first, so that a visit may remove the one it sees. */
	forEach(visit: (request: RoutedRequest) => void): void {
		for (let at = this.#list.length - 1; at >= 0; at--) {
			const request = this.#list[at];
			if (request !== undefined) visit(request);
		}
	}
}
