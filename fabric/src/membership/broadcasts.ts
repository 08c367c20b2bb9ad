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

	/** Adds what fits into `roomBytes` and is not there yet to `into` and counts it as sent; what has been sent `limit` times is dropped. Answers the bytes left. */
	fill(into: GossipMessage[], roomBytes: number, limit: number): number {
		let room = roomBytes;
		const taken: Entry[] = [];
		for (const tier of this.#tiers) {
			if (room <= 0) break;
			for (const entry of tier) {
				if (entry.sizeBytes > room || into.includes(entry.message)) continue;
				room -= entry.sizeBytes;
				into.push(entry.message);
				taken.push(entry);
			}
		}
		for (const entry of taken) this.#sent(entry, limit);
		return room;
	}

	#sent(entry: Entry, limit: number): void {
		const tier = this.#tiers[entry.sends] as Entry[];
		tier.splice(tier.indexOf(entry), 1);
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
