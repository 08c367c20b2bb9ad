// Owns the queue of what is still to be spread by piggyback: fewest sends first, then the longest, then the newest. One entry a key, a later
// one replaces an earlier. Bounded: when full, what has been sent most often makes room.
import type { Claim, GossipMessage, UserMessage } from './messages.js';

export type Spread = Claim | UserMessage;

interface Entry {
	readonly key: string;
	readonly message: Spread;
	readonly sizeBytes: number;
	readonly order: number;
	sends: number;
}

export interface BroadcastLimits {
	/** Entries. */
	readonly max: number;
	/** The largest message that can be queued, bytes. */
	readonly messageMaxBytes: number;
}

export type Queued = 'queued' | 'oversized';

/** `retransmitMultiplier · ceil(log10(n + 1))` for a pool of `members`. */
export function retransmitLimit(multiplier: number, members: number): number {
	return multiplier * Math.ceil(Math.log10(members + 1));
}

export class BroadcastQueue {
	readonly #limits: BroadcastLimits;
	readonly #byKey = new Map<string, Entry>();
	/** Entries by number of sends; each sorted, longest first, then newest. */
	readonly #tiers: Entry[][] = [];
	#order = 0;
	/** Entries that made room for others. */
	evicted = 0;

	constructor(limits: BroadcastLimits) {
		this.#limits = limits;
	}

	get size(): number {
		return this.#byKey.size;
	}

	has(key: string): boolean {
		return this.#byKey.has(key);
	}

	/** Refuses what could never leave in a packet, rather than keep it for ever. */
	enqueue(key: string, message: Spread, sizeBytes: number): Queued {
		if (sizeBytes > this.#limits.messageMaxBytes) return 'oversized';
		this.remove(key);
		if (this.#byKey.size >= this.#limits.max) this.#evict();
		const entry: Entry = { key, message, sizeBytes, order: this.#order++, sends: 0 };
		this.#byKey.set(key, entry);
		this.#insert(entry);
		return 'queued';
	}

	remove(key: string): void {
		const entry = this.#byKey.get(key);
		if (entry === undefined) return;
		this.#byKey.delete(key);
		const tier = this.#tiers[entry.sends] as Entry[];
		tier.splice(tier.indexOf(entry), 1);
	}

	/** What fits into `roomBytes`, without what is in `beside`. It counts as sent; what has now been sent `limit` times is dropped. */
	take(roomBytes: number, limit: number, beside: readonly GossipMessage[]): readonly Spread[] {
		let room = roomBytes;
		const taken: Entry[] = [];
		for (const tier of this.#tiers) {
			// Longest first, so each look goes on where the last one ended.
			for (let at = firstWithin(tier, room, 0); at < tier.length; at = firstWithin(tier, room, at)) {
				const entry = tier[at] as Entry;
				if (beside.includes(entry.message)) {
					at++;
					continue;
				}
				tier.splice(at, 1);
				room -= entry.sizeBytes;
				taken.push(entry);
			}
		}
		for (const entry of taken) this.#sent(entry, limit);
		return taken.map(({ message }) => message);
	}

	/** Has been taken out of its tier and goes to the next, or for good. */
	#sent(entry: Entry, limit: number): void {
		entry.sends++;
		if (entry.sends >= limit) this.#byKey.delete(entry.key);
		else this.#insert(entry);
	}

	#insert(entry: Entry): void {
		while (this.#tiers.length <= entry.sends) this.#tiers.push([]);
		const tier = this.#tiers[entry.sends] as Entry[];
		let low = 0;
		let high = tier.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			const other = tier[middle] as Entry;
			const before =
				other.sizeBytes > entry.sizeBytes || (other.sizeBytes === entry.sizeBytes && other.order > entry.order);
			if (before) low = middle + 1;
			else high = middle;
		}
		tier.splice(low, 0, entry);
	}

	#evict(): void {
		for (let sends = this.#tiers.length - 1; sends >= 0; sends--) {
			const oldest = this.#tiers[sends]?.at(-1);
			if (oldest === undefined) continue;
			this.remove(oldest.key);
			this.evicted++;
			return;
		}
	}
}

/** Where, from `from` on, the entries of a tier begin that take at most `roomBytes`. */
function firstWithin(tier: readonly Entry[], roomBytes: number, from: number): number {
	let low = from;
	let high = tier.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((tier[middle] as Entry).sizeBytes > roomBytes) low = middle + 1;
		else high = middle;
	}
	return low;
}
