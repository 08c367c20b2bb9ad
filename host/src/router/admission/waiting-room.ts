// Owns the requests that wait at this router for room at a target: a queue a pool, the bounds over all of them, and what can be said of how long a
// request would wait. Nothing waits beyond a bound in number, bytes and time; a request that could not be served in time is told so at once.
import { DrainRate } from './drain-rate.js';
import type { Arrival, FlowChange, Turn, Waiting } from './flow-band.js';
import { FlowQueue } from './flow-queue.js';

export interface WaitingRoomOptions {
	/** Requests that wait in this worker. */
	readonly requestsMax: number;
	/** Bytes of their bodies. */
	readonly bytesMax: number;
	/** Part of these bounds that each band may fill, most urgent first: what is urgent finds a place when the rest is full. */
	readonly bandShares: readonly number[];
	/** Part that one tenant may fill. */
	readonly tenantShare: number;
	readonly waitMaxMs: number;
	readonly agedMs: number;
	readonly agedEvery: number;
	/** Others are told of what waits and is served here: `takeChanges` is called now and then. */
	readonly tells?: boolean;
}

/** A change of one flow, and of which pool. */
export interface RoomChange extends FlowChange {
	readonly pool: number;
}

/** Why a request may not wait. */
export type RoomRefusal = {
	readonly reason: 'full' | 'tenant_full' | 'deadline' | 'wait';
	/** When it may do better. */
	readonly retryAfterMs: number;
};

interface PoolRoom<T> {
	readonly queue: FlowQueue<T>;
	readonly rate: DrainRate;
	/** From being sent to having something for the client: of streams, and of whole answers. */
	readonly stream: AnswerTime;
	readonly whole: AnswerTime;
}

/** Weight of one answer in what is known of how long they take. */
const ANSWER_WEIGHT = 1 / 16;
/** An answer takes at most the mean and so many mean deviations, as far as anybody can say. */
const DEVIATIONS = 2;

/** Smoothed mean and mean deviation; 0 = not known. */
interface AnswerTime {
	meanMs: number;
	deviationMs: number;
}

/** Rooms of pools that nothing waits for are kept up to so many, for what is known of their speed. */
const POOLS_MAX = 4096;

export class WaitingRoom<T> {
	readonly #options: WaitingRoomOptions;
	readonly #pools = new Map<number, PoolRoom<T>>();
	/** Pools something waits for. */
	readonly #busy = new Set<number>();
	#size = 0;
	#bytes = 0;

	constructor(options: WaitingRoomOptions) {
		this.#options = options;
	}

	get size(): number {
		return this.#size;
	}

	get bytes(): number {
		return this.#bytes;
	}

	pools(): readonly number[] {
		return [...this.#busy];
	}

	waiting(pool: number): number {
		return this.#pools.get(pool)?.queue.size ?? 0;
	}

	/** Takes a request in, or says why not. `deadlineAtMs`: by when it must have been answered, as `stream` or whole. */
	enter(
		pool: number,
		arrival: Arrival<T>,
		nowMs: number,
		deadlineAtMs: number,
		stream = false,
	): Waiting<T> | RoomRefusal {
		const room = this.#room(pool);
		const refusal = this.#refusal(room, arrival, nowMs, deadlineAtMs - answerTime(room, stream));
		if (refusal !== undefined) return refusal;
		if (room.queue.size === 0) {
			room.rate.queued(true, nowMs);
			this.#busy.add(pool);
		}
		this.#count(arrival.bytes, 1);
		return room.queue.push(arrival);
	}

	next(pool: number, nowMs: number): Waiting<T> | undefined {
		return this.#pools.get(pool)?.queue.next(nowMs);
	}

	/** It goes to a target: its flow is charged. */
	serve(pool: number, entry: Waiting<T>, nowMs: number): void {
		const room = this.#pools.get(pool);
		if (room === undefined || entry.heapAt < 0) return;
		// What came and went has not waited, and says nothing of how fast the queue drains.
		if (room.queue.size > 1 || nowMs > entry.sinceMs) room.rate.served(entry.cost, nowMs);
		room.queue.serve(entry);
		this.#left(pool, room, entry, nowMs);
	}

	/** It leaves without having been served. */
	leave(pool: number, entry: Waiting<T>, nowMs: number): void {
		const room = this.#pools.get(pool);
		if (room === undefined || entry.heapAt < 0) return;
		room.queue.remove(entry);
		this.#left(pool, room, entry, nowMs);
	}

	settle(pool: number, band: number, tenant: number, service: number): void {
		this.#pools.get(pool)?.queue.settle(band, tenant, service);
	}

	/** Whose turn it is in the mesh when it is this request's here. */
	turn(pool: number, entry: Waiting<T>, nowMs: number): Turn {
		return this.#pools.get(pool)?.queue.turn(entry, nowMs) ?? 'even';
	}

	/** Something waits for the pool elsewhere in the mesh. */
	waitsElsewhere(pool: number): boolean {
		return this.#pools.get(pool)?.queue.waitsElsewhere === true;
	}

	/** What the others tell of one flow. */
	heard(change: RoomChange, weight: number): void {
		this.#room(change.pool).queue.heard(change, weight);
	}

	/** What the others are to be told, once. */
	takeChanges(): readonly RoomChange[] {
		return [...this.#pools].flatMap(([pool, { queue }]) =>
			queue.takeChanges().map(({ band, tenant, service, waiting }) => ({ pool, band, tenant, service, waiting })),
		);
	}

	park(pool: number, entry: Waiting<T>): void {
		this.#pools.get(pool)?.queue.park(entry);
	}

	unpark(pool: number): void {
		this.#pools.get(pool)?.queue.unpark();
	}

	/** Whether a request sent now would be answered too late, by how long answers have taken of late. */
	isHopeless(pool: number, stream: boolean, deadlineAtMs: number, nowMs: number): boolean {
		const room = this.#pools.get(pool);
		return room !== undefined && nowMs + answerTime(room, stream) > deadlineAtMs;
	}

	/** A request that had waited has begun to be answered. */
	answered(pool: number, stream: boolean, ms: number): void {
		const room = this.#pools.get(pool);
		if (room === undefined) return;
		const time = stream ? room.stream : room.whole;
		const off = ms - time.meanMs;
		if (time.meanMs === 0) time.meanMs = ms;
		else {
			time.meanMs += off * ANSWER_WEIGHT;
			time.deviationMs += (Math.abs(off) - time.deviationMs) * ANSWER_WEIGHT;
		}
	}

	/** How long a request would wait, by how fast the queue has drained of late; 0 = nothing is known. */
	waitMs(
		pool: number,
		{ band, tenant, weight, cost }: Pick<Arrival<T>, 'band' | 'tenant' | 'weight' | 'cost'>,
		nowMs: number,
	): number {
		const room = this.#pools.get(pool);
		return room === undefined ? 0 : expectedMs(room, band, tenant, weight, cost, nowMs);
	}

	#refusal(room: PoolRoom<T>, arrival: Arrival<T>, nowMs: number, deadlineAtMs: number): RoomRefusal | undefined {
		const { requestsMax, bytesMax, bandShares, tenantShare, waitMaxMs } = this.#options;
		const { band, tenant, weight, cost, bytes } = arrival;
		const waitMs = expectedMs(room, band, tenant, weight, cost, nowMs);
		const retryAfterMs = Math.max(1000, waitMs / 2);
		const share = bandShares[band] ?? 1;
		if (this.#size >= requestsMax * share || this.#bytes + bytes > bytesMax * share)
			return { reason: 'full', retryAfterMs };
		if (room.queue.tenantSize(band, tenant) >= requestsMax * tenantShare)
			return { reason: 'tenant_full', retryAfterMs };
		if (nowMs + waitMs > deadlineAtMs) return { reason: 'deadline', retryAfterMs: waitMs };
		if (waitMs > waitMaxMs) return { reason: 'wait', retryAfterMs: Math.max(1000, waitMs - waitMaxMs) };
		return undefined;
	}

	#left(pool: number, room: PoolRoom<T>, { bytes }: Waiting<T>, nowMs: number): void {
		this.#count(bytes, -1);
		if (room.queue.size > 0) return;
		room.rate.queued(false, nowMs);
		this.#busy.delete(pool);
	}

	#count(bytes: number, sign: 1 | -1): void {
		this.#bytes += sign * bytes;
		this.#size += sign;
	}

	#room(pool: number): PoolRoom<T> {
		const known = this.#pools.get(pool);
		if (known !== undefined) return known;
		if (this.#pools.size >= POOLS_MAX) {
			const idle = this.#pools.keys().find((one) => !this.#busy.has(one));
			if (idle !== undefined) this.#pools.delete(idle);
		}
		const { agedMs, agedEvery, tells = false } = this.#options;
		const room: PoolRoom<T> = {
			queue: new FlowQueue<T>({ agedMs, agedEvery, tells }),
			rate: new DrainRate(),
			stream: { meanMs: 0, deviationMs: 0 },
			whole: { meanMs: 0, deviationMs: 0 },
		};
		this.#pools.set(pool, room);
		return room;
	}
}

function answerTime<T>(room: PoolRoom<T>, stream: boolean): number {
	const { meanMs, deviationMs } = stream ? room.stream : room.whole;
	return meanMs + DEVIATIONS * deviationMs;
}

function expectedMs<T>(
	room: PoolRoom<T>,
	band: number,
	tenant: number,
	weight: number,
	cost: number,
	nowMs: number,
): number {
	const perMs = room.rate.perMs(nowMs);
	return perMs === 0 ? 0 : (room.queue.serviceAhead(band, tenant, weight) + cost) / perMs;
}
