// Owns what other routers have waiting and have served, as far as this one has heard: by router and flow, and what is new of each since it was last asked. A
// frame older than what is known of a flow changes nothing. Of a router first heard, what it had served before counts for nothing: nobody here waited for
// it. No I/O. Which frames are taken, and when a router is silent, is book.ts's to say.
import type { FlowShare } from '@infermesh/proto/grpc/routing/v1/load';
import { type FlowName, type FlowNews, flowKey } from './own-flows.js';

const NAME_CHARACTERS_MAX = 512;
const BANDS_MAX = 16;
/** Beyond, a sum of service is no longer exact to the token. */
const SERVICE_MAX = 2 ** 52;

interface Share {
	readonly key: string;
	/** The frame it is from. */
	sequence: number;
	service: number;
	waiting: number;
}

/** Over all routers. */
interface Sum extends FlowName {
	/** Not yet taken. */
	service: number;
	waiting: number;
}

export interface PeerFlows {
	/** Nothing of the stream has been heard yet. */
	fresh: boolean;
	readonly shares: Map<number, Share>;
}

export class FlowBook {
	readonly #max: number;
	readonly #sums = new Map<string, Sum>();
	readonly #changed = new Set<string>();
	#dropped = 0;

	/** `max`: flows of one router, and of all. */
	constructor(max: number) {
		this.#max = max;
	}

	/** Flows known. */
	get size(): number {
		return this.#sums.size;
	}

	/** Shares there was no room for since this was last asked. */
	takeDropped(): number {
		const dropped = this.#dropped;
		this.#dropped = 0;
		return dropped;
	}

	/** A new stream: what waits stands until it is told again, what was served is counted from what its first frames say. */
	begin(before: PeerFlows | undefined): PeerFlows {
		const shares = before?.shares ?? new Map<number, Share>();
		for (const share of shares.values()) share.sequence = 0;
		return { fresh: true, shares };
	}

	/** `full`: what is not listed waits no more. */
	apply(peer: PeerFlows, flows: readonly FlowShare[], sequence: number, full: boolean): void {
		for (const flow of flows) this.#put(peer, flow, sequence);
		if (!full) return;
		peer.fresh = false;
		for (const [number, share] of peer.shares) {
			if (share.sequence >= sequence) continue;
			this.#set(share, share.service, 0);
			peer.shares.delete(number);
		}
	}

	/** The router is silent: nothing of it waits. When it is heard again it is heard as if for the first time. */
	silence(peer: PeerFlows): void {
		peer.fresh = true;
		for (const share of peer.shares.values()) this.#set(share, share.service, 0);
		peer.shares.clear();
	}

	/** What is new since this was last asked: of each flow the service had meanwhile, and what waits now. */
	takeChanged(): readonly FlowNews[] {
		const news: FlowNews[] = [];
		for (const key of this.#changed) {
			const sum = this.#sums.get(key);
			if (sum === undefined) continue;
			const { model, tenant, band, service, waiting } = sum;
			news.push({ model, tenant, band, service, waiting });
			sum.service = 0;
			if (waiting === 0) this.#sums.delete(key);
		}
		this.#changed.clear();
		return news;
	}

	/** Whether what a router tells of its flows is well formed. */
	isSound(flows: readonly FlowShare[]): boolean {
		return (
			flows.length <= this.#max &&
			flows.every(
				({ model, tenant, band, service }) =>
					model !== '' &&
					model.length <= NAME_CHARACTERS_MAX &&
					tenant.length <= NAME_CHARACTERS_MAX &&
					band < BANDS_MAX &&
					Number.isFinite(service) &&
					Math.abs(service) <= SERVICE_MAX,
			)
		);
	}

	#put(peer: PeerFlows, flow: FlowShare, sequence: number): void {
		const key = flowKey(flow);
		let share = peer.shares.get(flow.number);
		if (share !== undefined && share.sequence >= sequence) return;
		// Of a stream's first frames nobody knows how much of it is new; nor of a number that stood for another flow in the life of the router before.
		const begins = peer.fresh || (share !== undefined && share.key !== key);
		if (share !== undefined && share.key !== key) {
			this.#set(share, share.service, 0);
			share = undefined;
		}
		if (share === undefined) {
			const room = this.#sums.has(key) || this.#sums.size < this.#max;
			if (!room || (peer.shares.size >= this.#max && !peer.shares.has(flow.number))) {
				this.#dropped++;
				return;
			}
			share = { key, sequence, service: 0, waiting: 0 };
			peer.shares.set(flow.number, share);
		}
		const sum = this.#sums.get(key);
		if (sum === undefined) {
			const { model, tenant, band } = flow;
			this.#sums.set(key, { model, tenant, band, service: 0, waiting: 0 });
		}
		if (begins) share.service = flow.service;
		share.sequence = sequence;
		this.#set(share, flow.service, flow.waiting);
	}

	#set(share: Share, service: number, waiting: number): void {
		const sum = this.#sums.get(share.key);
		const had = service - share.service;
		const more = waiting - share.waiting;
		share.service = service;
		share.waiting = waiting;
		if (sum === undefined || (had === 0 && more === 0 && sum.waiting > 0)) return;
		sum.service += had;
		sum.waiting += more;
		this.#changed.add(share.key);
	}
}
