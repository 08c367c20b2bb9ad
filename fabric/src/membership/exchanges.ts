// Owns the questions asked over connections and not yet answered: what each was for, bounded in number.
import type { Address } from '../effects/packets.js';
import type { MemberRecord, NodeId, StreamMessage } from './messages.js';
import { swimBounds } from './settings.js';
import type { SwimState } from './state.js';

export type Purpose =
	| { readonly kind: 'streamPing'; readonly sequence: number }
	| { readonly kind: 'join'; readonly seed: Address | undefined }
	/** `buckets` is how many the digest had. */
	| { readonly kind: 'digest'; readonly seed: Address | undefined; readonly buckets: number }
	| { readonly kind: 'tell' };

export interface Exchange {
	readonly to: Address;
	readonly purpose: Purpose;
}

export class Exchanges {
	readonly #state: SwimState;
	readonly #open = new Map<number, Exchange>();
	#next = 1;

	constructor(state: SwimState) {
		this.#state = state;
	}

	/** False when too many are open. */
	ask(to: Address, id: NodeId | undefined, message: StreamMessage, purpose: Purpose, timeoutMs?: number): boolean {
		const state = this.#state;
		if (this.#open.size >= swimBounds.exchangesMax) {
			state.counters.exchangesRefused++;
			return false;
		}
		const exchange = this.#next++;
		this.#open.set(exchange, { to, purpose });
		state.counters.exchanges++;
		state.emit({ kind: 'exchange', exchange, to, id, message, timeoutMs: timeoutMs ?? state.settings.streamTimeoutMs });
		return true;
	}

	/** The exchange that ends; undefined when it is not open. */
	end(exchange: number): Exchange | undefined {
		const open = this.#open.get(exchange);
		this.#open.delete(exchange);
		return open;
	}
}

/** What two records of one member say differently, as far as a digest would see. */
export function sameBelief(a: MemberRecord, b: MemberRecord): boolean {
	return a.alive.incarnation === b.alive.incarnation && beliefOf(a) === beliefOf(b);
}

function beliefOf(record: MemberRecord): string {
	const [mark] = record.marks;
	if (mark === undefined) return 'alive';
	return `${record.marks.some((one) => one.kind === 'dead') ? 'dead' : mark.kind}:${mark.incarnation}`;
}
