// Owns the order in which the waiting requests of one pool are served. Three orders, one inside the other:
// - bands, strictly: a higher band first; a lower one whose oldest request has waited too long gets one turn in `agedEvery`;
// - flows of a band (one a tenant) by service: whoever has had the least, in weighted tokens, is next. A flow that comes back from nothing starts at
//   what the others have reached, so that idling saves nothing up (virtual token counter: Sheng et al., OSDI 2024);
// - requests of a flow by the time they should be served by, earliest first.
// Pure: no clock, no I/O. Serving charges an estimate, `settle` puts it right. Cost per call is logarithmic in what is backlogged, not in tenants.
import { type HeapEntry, IndexedHeap } from './indexed-heap.js';

export interface FlowQueueOptions {
	/** A lower band counts as starved when its oldest request has waited so long, times its distance from the highest band that waits. */
	readonly agedMs: number;
	/** Of so many requests served, one is of a starved band. */
	readonly agedEvery: number;
}

/** What a request brings into the queue. */
export interface Arrival<T> {
	readonly item: T;
	/** 0 = most urgent. */
	readonly band: number;
	readonly tenant: number;
	/** Share of the tenant against the others of the band. */
	readonly weight: number;
	/** When it should be served by: the order within its flow. */
	readonly dueMs: number;
	readonly sinceMs: number;
	/** Expected service in weighted tokens. */
	readonly cost: number;
	readonly bytes: number;
}

export interface Waiting<T> extends Arrival<T>, HeapEntry {
	readonly flow: Flow<T>;
	readonly sequence: number;
	older: Waiting<T> | undefined;
	newer: Waiting<T> | undefined;
}

/** The requests of one tenant in one band. */
interface Flow<T> extends HeapEntry {
	readonly tenant: number;
	readonly band: Band<T>;
	weight: number;
	/** Service had, over its weight. */
	virtual: number;
	/** Expected service of what waits. */
	cost: number;
	readonly requests: IndexedHeap<Waiting<T>>;
}

interface Band<T> {
	/** Flows with something waiting, least served first. */
	readonly active: IndexedHeap<Flow<T>>;
	readonly flows: Map<number, Flow<T>>;
	/** What a flow starts from that comes anew. */
	floor: number;
	weights: number;
	cost: number;
	size: number;
	oldest: Waiting<T> | undefined;
	newest: Waiting<T> | undefined;
}

/** Flows with nothing waiting that are kept for what they have had; beyond, one more costs another's memory. */
const IDLE_FLOWS_MAX = 1024;
const FORGET_LOOKS = 16;

export class FlowQueue<T> {
	readonly #options: FlowQueueOptions;
	readonly #bands: Band<T>[] = [];
	#size = 0;
	#sequence = 0;
	/** Served since a starved band last had its turn. */
	#sinceAged = 0;
	#parked: Flow<T>[] = [];

	constructor(options: FlowQueueOptions) {
		this.#options = options;
	}

	get size(): number {
		return this.#size;
	}

	bandSize(band: number): number {
		return this.#bands[band]?.size ?? 0;
	}

	tenantSize(band: number, tenant: number): number {
		return this.#bands[band]?.flows.get(tenant)?.requests.size ?? 0;
	}

	push(arrival: Arrival<T>): Waiting<T> {
		const band = this.#band(arrival.band);
		const flow = this.#flow(band, arrival);
		const entry: Waiting<T> = {
			...arrival,
			flow,
			sequence: this.#sequence++,
			heapAt: -1,
			older: band.newest,
			newer: undefined,
		};
		if (band.newest === undefined) band.oldest = entry;
		else band.newest.newer = entry;
		band.newest = entry;
		if (flow.requests.size === 0) {
			flow.virtual = Math.max(flow.virtual, band.floor);
			band.weights += flow.weight;
			band.active.push(flow);
		}
		flow.requests.push(entry);
		flow.cost += entry.cost;
		band.cost += entry.cost;
		band.size++;
		this.#size++;
		return entry;
	}

	/** Who is next; it stays where it is until `serve`. */
	next(nowMs: number): Waiting<T> | undefined {
		const first = this.#bands.findIndex((band) => band !== undefined && band.active.size > 0);
		if (first < 0) return undefined;
		const chosen = this.#starved(first, nowMs) ?? this.#bands[first];
		return chosen?.active.first?.requests.first;
	}

	/** Takes a request out and charges its flow what it is expected to take. */
	serve(entry: Waiting<T>): void {
		const { flow } = entry;
		const { band } = flow;
		const above = this.#bands.findIndex((one) => one !== undefined && one.size > 0);
		this.#sinceAged = this.#bands[above] === band ? this.#sinceAged + 1 : 0;
		band.floor = Math.max(band.floor, flow.virtual);
		flow.virtual += entry.cost / flow.weight;
		this.remove(entry);
		if (flow.heapAt >= 0) band.active.moved(flow);
	}

	/** Takes a request out that is not served; its flow is charged nothing. */
	remove(entry: Waiting<T>): void {
		if (entry.heapAt < 0) return;
		const { flow } = entry;
		const { band } = flow;
		flow.requests.remove(entry);
		if (entry.older === undefined) band.oldest = entry.newer;
		else entry.older.newer = entry.newer;
		if (entry.newer === undefined) band.newest = entry.older;
		else entry.newer.older = entry.older;
		flow.cost -= entry.cost;
		band.cost -= entry.cost;
		band.size--;
		this.#size--;
		if (flow.requests.size > 0) return;
		flow.cost = 0;
		band.weights -= flow.weight;
		band.active.remove(flow);
		if (band.active.size === 0 && band.size === 0) band.weights = 0;
	}

	/** Puts right what a served request was charged: `service` is what it took, less what was expected; may be negative. */
	settle(band: number, tenant: number, service: number): void {
		const flow = this.#bands[band]?.flows.get(tenant);
		if (flow === undefined) return;
		flow.virtual += service / flow.weight;
		if (flow.heapAt >= 0) flow.band.active.moved(flow);
	}

	/** Passes a flow over until `unpark`: its first request cannot be served now, and others may be. */
	park(entry: Waiting<T>): void {
		const { flow } = entry;
		if (flow.heapAt < 0) return;
		flow.band.active.remove(flow);
		this.#parked.push(flow);
	}

	unpark(): void {
		if (this.#parked.length === 0) return;
		for (const flow of this.#parked) if (flow.requests.size > 0 && flow.heapAt < 0) flow.band.active.push(flow);
		this.#parked = [];
	}

	/** Service that comes before a request that would be pushed now, as if all flows were served by weight from here on. */
	serviceAhead(band: number, tenant: number, weight: number): number {
		let ahead = 0;
		for (let above = 0; above < band; above++) ahead += this.#bands[above]?.cost ?? 0;
		const own = this.#bands[band];
		if (own === undefined || own.size === 0) return ahead;
		const flow = own.flows.get(tenant);
		const waits = flow !== undefined && flow.requests.size > 0;
		const weights = own.weights + (waits ? 0 : weight);
		const mine = ((waits ? flow.cost : 0) * weights) / weight;
		return ahead + Math.min(own.cost, mine);
	}

	#starved(first: number, nowMs: number): Band<T> | undefined {
		if (this.#sinceAged < this.#options.agedEvery - 1) return undefined;
		let chosen: Band<T> | undefined;
		let longest = 0;
		for (let at = first + 1; at < this.#bands.length; at++) {
			const band = this.#bands[at];
			if (band?.oldest === undefined || band.active.size === 0) continue;
			const beyondMs = nowMs - band.oldest.sinceMs - this.#options.agedMs * (at - first);
			if (beyondMs <= longest) continue;
			longest = beyondMs;
			chosen = band;
		}
		return chosen;
	}

	#band(at: number): Band<T> {
		while (this.#bands.length <= at)
			this.#bands.push({
				active: new IndexedHeap<Flow<T>>(
					(a, b) => a.virtual < b.virtual || (a.virtual === b.virtual && a.tenant < b.tenant),
				),
				flows: new Map(),
				floor: 0,
				weights: 0,
				cost: 0,
				size: 0,
				oldest: undefined,
				newest: undefined,
			});
		return this.#bands[at] as Band<T>;
	}

	#flow(band: Band<T>, { tenant, weight }: Arrival<T>): Flow<T> {
		const known = band.flows.get(tenant);
		if (known !== undefined) {
			if (known.weight !== weight) reweigh(band, known, weight);
			return known;
		}
		if (band.flows.size - band.active.size >= IDLE_FLOWS_MAX) forgetIdle(band);
		const flow: Flow<T> = {
			tenant,
			band,
			weight,
			virtual: 0,
			cost: 0,
			heapAt: -1,
			requests: new IndexedHeap<Waiting<T>>(
				(a, b) => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.sequence < b.sequence),
			),
		};
		band.flows.set(tenant, flow);
		return flow;
	}
}

/** What a flow has had beyond the others is kept in tokens, not in shares. */
function reweigh<T>(band: Band<T>, flow: Flow<T>, weight: number): void {
	if (flow.requests.size > 0) band.weights += weight - flow.weight;
	flow.virtual = band.floor + ((flow.virtual - band.floor) * flow.weight) / weight;
	flow.weight = weight;
	if (flow.heapAt >= 0) band.active.moved(flow);
}

/** Lets go of one idle flow, the earliest known of the first few: what it has had is forgotten, which its tenant gains by at most one request's service. */
function forgetIdle<T>(band: Band<T>): void {
	let looked = 0;
	for (const flow of band.flows.values()) {
		if (flow.requests.size === 0) {
			band.flows.delete(flow.tenant);
			return;
		}
		if (++looked >= FORGET_LOOKS) return;
	}
}
