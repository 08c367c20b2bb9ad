// Owns the flows of one band of a queue: the requests of one tenant each, what they have had, and what is known of the same flows at the other queues of the
// mesh. The order of bands and the serving are flow-queue.ts's. Pure.
import { type HeapEntry, IndexedHeap } from './indexed-heap.js';

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

/** Of a flow: what others are told of it, and what they have told. */
export interface FlowChange {
	readonly band: number;
	readonly tenant: number;
	/** Since the last time, in weighted tokens; negative where less was taken than had been expected. */
	readonly service: number;
	/** Requests that wait now. */
	readonly waiting: number;
}

/**
 * Of the request that is next here, among all that wait in the mesh. `even`: nothing is known of others, or they have had about as much. `owed`: others wait
 * elsewhere, and none of them has had less, or is more urgent. `ahead`: one that waits elsewhere has had less, by more than this request. `outranked`: one is more urgent.
 */
export const turns = ['even', 'owed', 'ahead', 'outranked'] as const;
export type Turn = (typeof turns)[number];

/** What a flow has to do with the other queues of the mesh; in a heap while it waits there. */
class Abroad<T> implements HeapEntry {
	heapAt = -1;
	readonly flow: Flow<T>;
	/** Requests of the flow that wait elsewhere. */
	waiting = 0;
	/** Service charged here and not told yet. */
	untold = 0;
	/** Something is to be told. */
	dirty = false;
	/** Its first request found no room where others may have: nobody elsewhere need make any for it. */
	confined = false;

	constructor(flow: Flow<T>) {
		this.flow = flow;
	}
}

/** The requests of one tenant in one band. */
export class Flow<T> implements HeapEntry {
	heapAt = -1;
	readonly tenant: number;
	readonly band: Band<T>;
	weight: number;
	/** Service had, over its weight. */
	virtual = 0;
	/** Expected service of what waits. */
	cost = 0;
	readonly requests = new IndexedHeap<Waiting<T>>(
		(a, b) => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.sequence < b.sequence),
	);
	readonly abroad: Abroad<T>;

	constructor(band: Band<T>, tenant: number, weight: number) {
		this.band = band;
		this.tenant = tenant;
		this.weight = weight;
		this.abroad = new Abroad(this);
	}

	/** Service has been charged, here or elsewhere. */
	charge(service: number): void {
		this.virtual += service / this.weight;
		this.band.service += service;
		this.moved();
	}

	moved(): void {
		if (this.heapAt >= 0) this.band.active.moved(this);
		if (this.abroad.heapAt >= 0) this.band.elsewhere.moved(this.abroad);
	}
}

/** Flows with nothing waiting that are kept for what they have had; beyond, one more costs another's memory. */
const IDLE_FLOWS_MAX = 1024;
const FORGET_LOOKS = 16;

/** What less urgent bands have had beyond their part is held against them up to so many turns: they take them at several queues at once. */
const DEBT_TURNS_MAX = 4;

/** A starved band’s turns before more urgent ones that wait elsewhere: what these have had since, against what it has had. No more than one turn is saved up. */
class Passing {
	#ofAbove = Number.NaN;
	#changedMs = 0;
	/** From here on is counted. */
	#base = 0;

	/** More urgent ones have had so much, all in all; returns for how long that has been so. */
	heard(ofAbove: number, nowMs: number): number {
		if (ofAbove !== this.#ofAbove) {
			this.#ofAbove = ofAbove;
			this.#changedMs = nowMs;
		}
		return nowMs - this.#changedMs;
	}

	/** Whether more urgent ones have had a whole `turn` more than what the others had counts for. */
	may(ofAbove: number, others: number, turn: number): boolean {
		const lead = ofAbove - others;
		this.#base = Math.min(Math.max(this.#base, lead - turn), lead + DEBT_TURNS_MAX * turn);
		return lead - this.#base >= turn;
	}
}

const lessServed = <T>(a: Flow<T>, b: Flow<T>): boolean =>
	a.virtual < b.virtual || (a.virtual === b.virtual && a.tenant < b.tenant);

export class Band<T> {
	readonly index: number;
	/** Flows with something waiting here, least served first. */
	readonly active = new IndexedHeap<Flow<T>>(lessServed);
	/** Flows with something waiting elsewhere, likewise. */
	readonly elsewhere = new IndexedHeap<Abroad<T>>((a, b) => lessServed(a.flow, b.flow));
	readonly flows = new Map<number, Flow<T>>();
	/** What a flow starts from that comes anew. */
	floor = 0;
	weights = 0;
	cost = 0;
	size = 0;
	/** Charged so far, here and elsewhere. */
	service = 0;
	readonly passing = new Passing();
	oldest: Waiting<T> | undefined;
	newest: Waiting<T> | undefined;

	constructor(index: number) {
		this.index = index;
	}

	flow(tenant: number, weight: number): Flow<T> {
		const known = this.flows.get(tenant);
		if (known !== undefined) {
			if (known.weight !== weight) this.#reweigh(known, weight);
			return known;
		}
		if (this.flows.size - this.active.size >= IDLE_FLOWS_MAX) this.#forgetIdle();
		const flow = new Flow<T>(this, tenant, weight);
		this.flows.set(tenant, flow);
		return flow;
	}

	/** A flow begins to wait that waited nowhere: idling has saved nothing up. Of what others have reached elsewhere only the least counts. */
	begin(flow: Flow<T>): void {
		const first = this.elsewhere.first?.flow;
		const least = Math.min(first?.virtual ?? Number.POSITIVE_INFINITY, this.active.first?.virtual ?? this.floor);
		flow.virtual = Math.max(flow.virtual, first === undefined ? this.floor : Math.min(this.floor, least));
	}

	/** What the other queues tell of a flow. */
	heard({ tenant, service, waiting }: FlowChange, weight: number): void {
		const flow = this.flow(tenant, weight);
		const { abroad } = flow;
		if (waiting > 0 && abroad.waiting === 0 && flow.requests.size === 0) this.begin(flow);
		abroad.waiting = waiting;
		if (waiting > 0 && abroad.heapAt < 0) this.elsewhere.push(abroad);
		else if (waiting === 0) this.elsewhere.remove(abroad);
		if (service > 0) this.floor = Math.max(this.floor, flow.virtual);
		flow.charge(service);
	}

	/** Whose turn it is in the mesh when it is this request's here. */
	turn({ flow, cost }: Waiting<T>): Turn {
		const first = this.elsewhere.first?.flow;
		if (first === undefined) return 'even';
		if (first !== flow && first.virtual + cost / flow.weight < flow.virtual) return 'ahead';
		const others = this.elsewhere.size - (flow.abroad.heapAt >= 0 ? 1 : 0);
		return others > 0 && (first === flow || flow.virtual <= first.virtual) ? 'owed' : 'even';
	}

	/** What a flow has had beyond the others is kept in tokens, not in shares. */
	#reweigh(flow: Flow<T>, weight: number): void {
		if (flow.requests.size > 0) this.weights += weight - flow.weight;
		flow.virtual = this.floor + ((flow.virtual - this.floor) * flow.weight) / weight;
		flow.weight = weight;
		flow.moved();
	}

	/** Lets go of one idle flow, the earliest known of the first few: what it has had is forgotten, which its tenant gains by at most one request's service. */
	#forgetIdle(): void {
		let looked = 0;
		for (const flow of this.flows.values()) {
			if (flow.requests.size === 0 && flow.abroad.waiting === 0 && !flow.abroad.dirty) {
				this.flows.delete(flow.tenant);
				return;
			}
			if (++looked >= FORGET_LOOKS) return;
		}
	}
}
