// The meeting point, in the agent, of the queues that requests wait in: those of this node's workers, and those of other routers as these tell of them. Each
// worker is told what waits and was served at all the others; other routers are told what does here. Nothing is sent while nothing waits.
import type { Clock, Timer } from '@infermesh/proto';
import type { NameTable } from '../fleet/interner.js';
import { type FlowName, type FlowNews, flowKey, OwnFlows } from '../peer-load/own-flows.js';
import type { RoomChange } from '../router/admission/waiting-room.js';
import type { ModelPool } from '../router/ports.js';

export interface FlowExchangePorts {
	readonly clock: Clock;
	readonly workerCount: number;
	readonly tenants: NameTable;
	/** To one worker. */
	readonly send: (worker: number, changes: readonly RoomChange[]) => void;
	/** There was no room for so many flows. */
	readonly dropped: (flows: number) => void;
}

/** One flow, where all that is known of it meets. */
interface Meeting extends FlowName {
	/** Waiting at other routers. */
	peers: number;
	/** Had at other routers since workers were last told. */
	peerService: number;
	/** Waiting at each worker, had at each since workers were last told, and what each was last told to wait elsewhere. */
	readonly waiting: Float64Array;
	readonly service: Float64Array;
	readonly told: Float64Array;
}

/** Flows of this router that others are told. */
const OWN_FLOWS_MAX = 1024;
/** Flows known of other routers, of one and of all. */
export const PEER_FLOWS_MAX = 4096;
/** Workers are told this often. */
const TELL_MS = 10;

export class FlowExchange {
	readonly own = new OwnFlows(OWN_FLOWS_MAX);
	readonly #ports: FlowExchangePorts;
	readonly #meetings = new Map<string, Meeting>();
	readonly #dirty = new Set<Meeting>();
	#models: ReadonlyMap<number, string> = new Map();
	#indexes: ReadonlyMap<string, number> = new Map();
	#telling: Timer | undefined;

	constructor(ports: FlowExchangePorts) {
		this.#ports = ports;
	}

	/** Pools as workers number them. Those that stand for other cells have queues of their own elsewhere. */
	setPools(pools: readonly ModelPool[]): void {
		const served = pools.filter((pool) => pool.elsewhere !== true);
		this.#models = new Map(served.map(({ index, model }) => [index, model]));
		this.#indexes = new Map(served.map(({ index, model }) => [model, index]));
	}

	fromWorker(worker: number, changes: readonly RoomChange[]): void {
		let dropped = 0;
		for (const { pool, band, tenant: id, service, waiting } of changes) {
			const model = this.#models.get(pool);
			if (model === undefined) continue;
			const news = { model, tenant: this.#ports.tenants.name(id), band, service, waiting };
			if (!this.own.tell(worker, news)) {
				dropped++;
				continue;
			}
			const meeting = this.#meeting(news);
			meeting.waiting[worker] = waiting;
			meeting.service[worker] = (meeting.service[worker] as number) + service;
			this.#touch(meeting);
		}
		if (dropped > 0) this.#ports.dropped(dropped);
	}

	/** What is new of other routers: of each flow what they served since the last time, and what waits there now. */
	fromPeers(flows: readonly FlowNews[]): void {
		for (const news of flows) {
			const meeting = this.#meeting(news);
			meeting.peers = news.waiting;
			meeting.peerService += news.service;
			this.#touch(meeting);
		}
	}

	/** A worker is gone with what waited there; the one in its place knows nothing. */
	died(worker: number): void {
		this.own.forget(worker);
		for (const meeting of this.#meetings.values()) {
			meeting.waiting[worker] = 0;
			meeting.told[worker] = 0;
			this.#touch(meeting);
		}
	}

	/** Flows that wait somewhere in the mesh. */
	get size(): number {
		return this.#meetings.size;
	}

	close(): void {
		this.#telling?.cancel();
	}

	#meeting(name: FlowName): Meeting {
		const key = flowKey(name);
		const known = this.#meetings.get(key);
		if (known !== undefined) return known;
		const { model, tenant, band } = name;
		const each = (): Float64Array => new Float64Array(this.#ports.workerCount);
		const meeting = {
			model,
			tenant,
			band,
			peers: 0,
			peerService: 0,
			waiting: each(),
			service: each(),
			told: each(),
		};
		this.#meetings.set(key, meeting);
		return meeting;
	}

	#touch(meeting: Meeting): void {
		this.#dirty.add(meeting);
		this.#telling ??= this.#ports.clock.after(TELL_MS, () => this.#tell(), { unref: true });
	}

	#tell(): void {
		this.#telling = undefined;
		const { workerCount, tenants, send } = this.#ports;
		const news: RoomChange[][] = Array.from({ length: workerCount }, () => []);
		for (const meeting of this.#dirty) {
			const pool = this.#indexes.get(meeting.model);
			const tenant = tenants.find(meeting.tenant);
			// A model not served here, or a tenant this node has not heard of yet: nobody waits for it here.
			if (pool !== undefined && (tenant !== 0 || meeting.tenant === '')) tellOf(meeting, pool, tenant, news);
			meeting.peerService = 0;
			meeting.service.fill(0);
			if (meeting.peers === 0 && meeting.waiting.every((waiting) => waiting === 0))
				this.#meetings.delete(flowKey(meeting));
		}
		this.#dirty.clear();
		for (const [worker, changes] of news.entries()) if (changes.length > 0) send(worker, changes);
	}
}

function tellOf(meeting: Meeting, pool: number, tenant: number, news: readonly RoomChange[][]): void {
	const { band, peers, peerService, waiting, service, told } = meeting;
	const waits = sum(waiting);
	const served = sum(service);
	for (const [worker, changes] of news.entries()) {
		const elsewhere = peers + waits - (waiting[worker] as number);
		const had = peerService + served - (service[worker] as number);
		if (had === 0 && elsewhere === told[worker]) continue;
		told[worker] = elsewhere;
		changes.push({ pool, band, tenant, service: had, waiting: elsewhere });
	}
}

function sum(values: Float64Array): number {
	return values.reduce((total, value) => total + value, 0);
}
