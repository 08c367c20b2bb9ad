// Owns one direction between two nodes as the relay treats it: what is done to what passes, how much was, and when the next piece may arrive. Pure over
// the time and the randomness it is given.
import type { Random } from '@infermesh/proto';

export interface LinkRules {
	/** Nothing arrives. Datagrams are gone; bytes of a connection wait, as a sender's retransmissions would. */
	readonly cut: boolean;
	readonly delayMs: number;
	/** Up to this much more, drawn for each piece; connections keep their order, datagrams do not. */
	readonly jitterMs: number;
	/** Share of datagrams that are gone; on a connection a lost piece comes a retransmission late. */
	readonly loss: number;
	/** Share of datagrams that come twice. */
	readonly duplicate: number;
	/** Share of datagrams held back, so that later ones overtake them. */
	readonly reorder: number;
	/** 0 = no limit. */
	readonly bytesPerSecond: number;
}

export const calm: LinkRules = Object.freeze({
	cut: false,
	delayMs: 0,
	jitterMs: 0,
	loss: 0,
	duplicate: 0,
	reorder: 0,
	bytesPerSecond: 0,
});

export const linkCounts = [
	'passed',
	'cut',
	'delayed',
	'lost',
	'duplicated',
	'reordered',
	'limited',
	'reset',
	'halfOpened',
] as const;
export type LinkCount = (typeof linkCounts)[number];
export type LinkCounts = Readonly<Record<LinkCount, number>>;

/** What a kernel waits before it sends a lost segment again. */
const retransmitMs = 200;
const reorderMaxMs = 60;
/** What a limited link keeps waiting; datagrams beyond it are gone. */
const limitedQueueMs = 1_000;

export class Link {
	readonly counts: Record<LinkCount, number>;
	readonly #random: Random;
	readonly #listeners = new Set<() => void>();
	#rules: LinkRules = calm;
	/** When a limited link will have sent what it took. */
	#busyUntilMs = 0;

	constructor(random: Random) {
		this.#random = random;
		this.counts = Object.fromEntries(linkCounts.map((name) => [name, 0])) as Record<LinkCount, number>;
	}

	get rules(): LinkRules {
		return this.#rules;
	}

	set rules(rules: LinkRules) {
		this.#rules = rules;
		for (const listener of this.#listeners) listener();
	}

	/** Calls back when the rules have changed, until the returned function is called. */
	onChange(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	/** Milliseconds after which a piece of a connection arrives. */
	streamDelayMs(bytes: number, nowMs: number): number {
		const lost = this.#chance(this.#rules.loss);
		if (lost) this.counts.lost++;
		return this.#delayMs() + (lost ? retransmitMs * (1 + this.#random.nextFloat()) : 0) + this.#limitMs(bytes, nowMs);
	}

	/** Milliseconds after which each copy of a datagram arrives; none for one that is gone. */
	datagramDelaysMs(bytes: number, nowMs: number): readonly number[] {
		if (this.#rules.cut) {
			this.counts.cut++;
			return [];
		}
		if (this.#chance(this.#rules.loss)) {
			this.counts.lost++;
			return [];
		}
		const limitMs = this.#limitMs(bytes, nowMs);
		if (limitMs > limitedQueueMs) {
			this.counts.lost++;
			return [];
		}
		const copies = this.#chance(this.#rules.duplicate) ? 2 : 1;
		if (copies > 1) this.counts.duplicated++;
		return Array.from({ length: copies }, () => {
			const held = this.#chance(this.#rules.reorder);
			if (held) this.counts.reordered++;
			return this.#delayMs() + limitMs + (held ? this.#random.nextFloat() * reorderMaxMs : 0);
		});
	}

	#chance(share: number): boolean {
		return share > 0 && this.#random.nextFloat() < share;
	}

	#delayMs(): number {
		const { delayMs, jitterMs } = this.#rules;
		if (delayMs + jitterMs === 0) return 0;
		this.counts.delayed++;
		return delayMs + jitterMs * this.#random.nextFloat();
	}

	#limitMs(bytes: number, nowMs: number): number {
		const { bytesPerSecond } = this.#rules;
		if (bytesPerSecond === 0) return 0;
		const waitMs = Math.max(0, this.#busyUntilMs - nowMs);
		if (waitMs > 0) this.counts.limited++;
		this.#busyUntilMs = Math.max(nowMs, this.#busyUntilMs) + (bytes / bytesPerSecond) * 1_000;
		return waitMs;
	}
}

/** Both directions between any two nodes. */
export class Links {
	readonly #links: readonly (readonly Link[])[];

	constructor(nodes: number, random: Random) {
		this.#links = Array.from({ length: nodes }, () => Array.from({ length: nodes }, () => new Link(random)));
	}

	/** Undefined for a node with itself, and for strangers: nothing is done to what they say. */
	between(from: number | undefined, to: number | undefined): Link | undefined {
		if (from === undefined || to === undefined || from === to) return undefined;
		return this.#links[from]?.[to];
	}
}
