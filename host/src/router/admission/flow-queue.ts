// Owns the order in which the waiting requests of one pool are served. Three orders, one inside the other:
// - bands, strictly: a higher band first; a lower one whose oldest request has waited too long gets one turn in `agedEvery`. So it is with bands that wait at the other
//   queues of the mesh, where turns are counted by service;
// - flows of a band (one a tenant) by service: whoever has had the least, in weighted tokens, is next. A flow that comes back from nothing starts at
//   what the others have reached, so that idling saves nothing up (virtual token counter: Sheng et al., OSDI 2024). Service at the other queues of the mesh
//   counts as service here, once it is told of;
// - requests of a flow by the time they should be served by, earliest first.
// Pure: no clock, no I/O. Serving charges an estimate, `settle` puts it right. Cost per call is logarithmic in what is backlogged, not in tenants.
import { type Arrival, Band, type Flow, type FlowChange, type Turn, type Waiting } from './flow-band.js';

export interface FlowQueueOptions {
	/** A lower band counts as starved when its oldest request has waited so long, times its distance from the highest band that waits. */
	readonly agedMs: number;
	/** Of so many requests served, one is of a starved band. */
	readonly agedEvery: number;
	/** Others are told of its flows: `takeChanges` is called now and then. */
	readonly tells?: boolean;
}

export class FlowQueue<T> {
	readonly #options: FlowQueueOptions;
	readonly #bands: Band<T>[] = [];
	#size = 0;
	#sequence = 0;
	/** Served since a starved band last had its turn. */
	#sinceAged = 0;
	#parked: Flow<T>[] = [];
	/** Flows of which something is to be told. */
	#dirty: Flow<T>[] = [];
	/** Flows that wait elsewhere. */
	#elsewhere = 0;

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
		const flow = band.flow(arrival.tenant, arrival.weight);
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
			flow.abroad.confined = false;
			if (flow.abroad.waiting === 0) band.begin(flow);
			band.weights += flow.weight;
			band.active.push(flow);
		}
		flow.requests.push(entry);
		flow.cost += entry.cost;
		band.cost += entry.cost;
		band.size++;
		this.#size++;
		this.#changed(flow);
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
		flow.abroad.confined = false;
		this.remove(entry);
		this.#charge(flow, entry.cost);
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
		this.#changed(flow);
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
		this.#charge(flow, service);
	}

	/** Whose turn it is in the mesh when it is this request's here. */
	turn(entry: Waiting<T>, nowMs: number): Turn {
		if (this.#elsewhere === 0) return 'even';
		const { band } = entry.flow;
		// It stands before what is more urgent here: as long as it found no room, nothing here would.
		if (this.#isAged(band)) return 'owed';
		const above = this.#waitsElsewhere(0, band.index);
		if (above >= 0) return this.#mayPass(band, above, entry.cost, nowMs) ? 'owed' : 'outranked';
		const turn = band.turn(entry);
		// Room that is left by less urgent ones is for it, wherever they have given way.
		return turn === 'even' && this.#waitsElsewhere(band.index + 1, this.#bands.length) >= 0 ? 'owed' : turn;
	}

	/** Something waits elsewhere in the mesh. */
	get waitsElsewhere(): boolean {
		return this.#elsewhere > 0;
	}

	/** What the other queues of the mesh tell of one flow, all of them together. */
	heard(change: FlowChange, weight: number): void {
		const band = this.#band(change.band);
		const before = band.elsewhere.size;
		band.heard(change, weight);
		this.#elsewhere += band.elsewhere.size - before;
	}

	/** What the others are to be told, once. */
	takeChanges(): readonly FlowChange[] {
		const changes = this.#dirty.map(({ band, tenant, requests, abroad }) => {
			const { untold: service, confined } = abroad;
			abroad.dirty = false;
			abroad.untold = 0;
			return { band: band.index, tenant, service, waiting: confined ? 0 : requests.size };
		});
		this.#dirty = [];
		return changes;
	}

	/** Passes a flow over until `unpark`: its first request cannot be served now, and others may be. */
	park(entry: Waiting<T>): void {
		const { flow } = entry;
		if (flow.heapAt < 0) return;
		flow.band.active.remove(flow);
		flow.abroad.confined = true;
		this.#changed(flow);
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

	/** The most urgent of these bands of which something waits elsewhere; -1 = none. */
	#waitsElsewhere(from: number, to: number): number {
		for (let at = from; at < to && at < this.#bands.length; at++)
			if ((this.#bands[at] as Band<T>).elsewhere.size > 0) return at;
		return -1;
	}

	/** It has its turn as a starved band before more urgent ones here: that holds in the mesh as well. */
	#isAged(band: Band<T>): boolean {
		for (let at = 0; at < band.index; at++) if ((this.#bands[at] as Band<T>).active.size > 0) return true;
		return false;
	}

	/** Whether a starved band has its turn before those that wait elsewhere: one for the service of so many of theirs; or they are served nowhere. */
	#mayPass(band: Band<T>, above: number, cost: number, nowMs: number): boolean {
		const { agedMs, agedEvery } = this.#options;
		let ofAbove = 0;
		let others = 0;
		for (let at = 0; at < this.#bands.length; at++) {
			const { service } = this.#bands[at] as Band<T>;
			if (at < band.index) ofAbove += service;
			else others += service;
		}
		const patienceMs = agedMs * (band.index - above);
		const silentMs = band.passing.heard(ofAbove, nowMs);
		if (band.oldest === undefined || nowMs - band.oldest.sinceMs <= patienceMs) return false;
		return silentMs > patienceMs || band.passing.may(ofAbove, (agedEvery - 1) * others, (agedEvery - 1) * cost);
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

	#charge(flow: Flow<T>, service: number): void {
		flow.charge(service);
		flow.abroad.untold += service;
		this.#changed(flow);
	}

	#changed(flow: Flow<T>): void {
		if (this.#options.tells !== true || flow.abroad.dirty) return;
		flow.abroad.dirty = true;
		this.#dirty.push(flow);
	}

	#band(at: number): Band<T> {
		while (this.#bands.length <= at) this.#bands.push(new Band<T>(this.#bands.length));
		return this.#bands[at] as Band<T>;
	}
}
