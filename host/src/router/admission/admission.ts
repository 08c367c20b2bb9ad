// Owns the admit stage: a request first spends its tenant's quota, then goes on to be decided or waits for room in fair order; when it leaves, what it
// took is settled. Driver of the quota gate and the waiting room; both have their own rules. A request of an unlimited tenant, when nothing waits, costs
// two look-ups here and leaves no trace.
import type { Clock, Timer } from '@infermesh/proto';
import type { RouterErrorCode } from '../errors.js';
import type { ModelPool } from '../ports.js';
import type { RoutedRequest, RunningAttempt } from '../routed-request.js';
import { ttftObjective } from '../tenant-policy.js';
import type { Waiting } from './flow-band.js';
import { MeshTurns } from './mesh-turns.js';
import { type AdmissionOptions, bandOf } from './options.js';
import type { AdmissionPorts, AdmissionReason } from './ports.js';
import { type GateAnswer, QuotaGate } from './quota-gate.js';
import { Ticket } from './ticket.js';
import { type RoomChange, type RoomRefusal, WaitingRoom } from './waiting-room.js';

/** What admission asks of whoever takes requests further; bound once, before the first request. */
export interface AdmissionEvents {
	/** It has been let in: to be decided. */
	admitted(request: RoutedRequest): void;
	/** Time to look whether there is room at a pool again. */
	look(pool: number): void;
	/** Output tokens to expect at a pool. */
	expected(request: RoutedRequest, pool: ModelPool): number;
	/** Requests the strategy holds for a pool. */
	held(pool: number): number;
}

const RETRY_AFTER_S_MAX = 60;
/** Status of an open session. */
const SWITCHED = 101;
const ignore = (): void => undefined;

const roomRefusals: Readonly<
	Record<RoomRefusal['reason'], { readonly code: RouterErrorCode; readonly reason: AdmissionReason }>
> = {
	full: { code: 'IM_FLOW_QUEUE_FULL', reason: 'queue_full' },
	tenant_full: { code: 'IM_FLOW_TENANT_QUEUE_FULL', reason: 'tenant_queue_full' },
	deadline: { code: 'IM_FLOW_DEADLINE', reason: 'deadline' },
	wait: { code: 'IM_FLOW_WAIT', reason: 'wait' },
};

export class Admission {
	readonly #options: AdmissionOptions;
	readonly #ports: AdmissionPorts;
	readonly #clock: Clock;
	#events: AdmissionEvents = { admitted: ignore, look: ignore, expected: () => 0, held: () => 0 };
	readonly #gate: QuotaGate | undefined;
	readonly #room: WaitingRoom<RoutedRequest>;
	readonly #turns: MeshTurns<RoutedRequest>;
	#looking: Timer | undefined;

	constructor(options: AdmissionOptions, ports: AdmissionPorts, clock: Clock) {
		this.#options = options;
		this.#ports = ports;
		this.#clock = clock;
		const { leaseWaitMs, requestsMax } = options;
		this.#gate =
			ports.quotas === undefined
				? undefined
				: new QuotaGate({ leaseWaitMs, waitingMax: requestsMax }, ports.quotas, clock);
		this.#room = new WaitingRoom({ ...options, tells: ports.mesh !== undefined });
		this.#turns = new MeshTurns(options, ports.mesh, this.#room, clock);
	}

	bind(events: AdmissionEvents): void {
		this.#events = events;
	}

	/** Requests that wait for room. */
	get size(): number {
		return this.#room.size;
	}

	/** Whether a target takes one more. */
	hasRoom(tableRow: number): boolean {
		return !this.#options.enabled || this.#turns.takes(tableRow, this.#ports.hasRoom(tableRow));
	}

	/** Nothing waits for the pool here but one request, which came because others wait elsewhere: it may be its turn at once. */
	isAlone(pool: number): boolean {
		return this.#room.waiting(pool) === 1 && this.#room.waitsElsewhere(pool);
	}

	/** What the other queues of the mesh tell, all of them together. */
	heard(changes: readonly RoomChange[]): void {
		for (const change of changes) this.#room.heard(change, this.#weight(change.tenant));
	}

	/** True when the request goes on at once. Otherwise it waits, or has been refused. */
	admit(request: RoutedRequest, pool: ModelPool): boolean {
		if (this.#gate !== undefined) {
			const answer = this.#gate.enter(request, this.#events.expected(request, pool));
			if (answer === 'waits') return false;
			if (answer !== 'in') return this.#refuseAtGate(request, answer);
		}
		if (!this.#contended(pool.index)) return true;
		this.wait(request, pool, undefined);
		return false;
	}

	/** There is no room at the pool: the request waits, or is refused. `last`: the attempt before, answered with in place of a refusal. */
	wait(request: RoutedRequest, pool: ModelPool, last: RunningAttempt | undefined): void {
		const now = this.#clock.nowMs();
		if (request.heldSinceMs === 0) request.heldSinceMs = now;
		const { tenantId, wishes, deadlineAtMs, bodyBytes, startMs } = request;
		const board = this.#ports.quotas?.board;
		const ticket = (request.ticket ??= new Ticket(tenantId));
		const band = bandOf(wishes.priority === 0 ? (board?.priority(tenantId) ?? 0) : wishes.priority);
		const objectiveMs = ttftObjective(request, pool) || this.#options.dueMs;
		const entry = this.#room.enter(
			pool.index,
			{
				item: request,
				band,
				tenant: tenantId,
				weight: this.#weight(tenantId),
				dueMs: Math.min(deadlineAtMs, startMs + objectiveMs),
				sinceMs: request.heldSinceMs,
				cost: Math.max(1, this.#service(request.tokensIn, this.#events.expected(request, pool))),
				bytes: bodyBytes,
			},
			now,
			deadlineAtMs,
			request.stream,
		);
		if ('reason' in entry) return this.#refuseForRoom(request, entry, last);
		ticket.entry = entry;
		ticket.pool = pool.index;
		ticket.band = band;
		ticket.last = last;
		this.#count(ticket, 1);
		this.#looking ??= this.#clock.after(this.#options.lookMs, () => this.#look(), { unref: true });
	}

	/** Whose turn it is at a pool, as long as the strategy does not hold too much already. */
	next(pool: number): Waiting<RoutedRequest> | undefined {
		if (this.#events.held(pool) >= this.#options.strategyWindow) return undefined;
		const now = this.#clock.nowMs();
		for (;;) {
			const entry = this.#room.next(pool, now);
			if (entry === undefined) return undefined;
			const { ticket, stream, deadlineAtMs } = entry.item;
			if (ticket === undefined || !this.#room.isHopeless(pool, stream, deadlineAtMs, now)) {
				this.#turns.begin(pool, entry);
				return entry;
			}
			// What no target could answer in time takes nobody's room.
			this.#leaveRoom(ticket);
			this.#refuse(entry.item, 'deadline', now < deadlineAtMs ? 'IM_FLOW_DEADLINE' : 'IM_ROUTE_DEADLINE', 1);
		}
	}

	/** It is on its way. Answers the attempt it had before it waited. */
	serve(entry: Waiting<RoutedRequest>): RunningAttempt | undefined {
		const { ticket } = entry.item;
		if (ticket?.entry !== entry) return undefined;
		const now = this.#clock.nowMs();
		this.#room.serve(ticket.pool, entry, now);
		ticket.served += entry.cost;
		this.#out(ticket);
		this.#ports.metrics.waited(entry.band, now - entry.sinceMs);
		this.#ports.metrics.turn(this.#turns.turn);
		this.#turns.end();
		const { last } = ticket;
		ticket.last = undefined;
		return last;
	}

	/** What stands first cannot go where there is room; others may. Undone by `lookedAll`. */
	passOver(pool: number, entry: Waiting<RoutedRequest>): void {
		this.#room.park(pool, entry);
	}

	lookedAll(pool: number): void {
		this.#turns.end();
		this.#room.unpark(pool);
	}

	/** The agent has looked for more of these tenants' quotas. */
	quotaGranted(tenants: readonly number[]): void {
		for (const tenant of tenants)
			this.#gate?.granted(
				tenant,
				(request) => this.#expected(request),
				(request, answer) => this.#decided(request, answer),
			);
	}

	/** True when the request waits here; one that has waited too long is refused. */
	check(request: RoutedRequest, now: number): boolean {
		const { ticket } = request;
		if (ticket === undefined) return false;
		if (ticket.leaseUntilMs !== 0) {
			if (now > ticket.leaseUntilMs && this.#gate !== undefined)
				this.#decided(request, this.#gate.overdue(request, this.#expected(request)));
			return true;
		}
		if (ticket.entry === undefined) return false;
		const late = now > request.deadlineAtMs;
		if (!late && now - request.heldSinceMs <= this.#options.waitMaxMs) return true;
		this.#leaveRoom(ticket);
		this.#refuse(request, late ? 'deadline' : 'wait', late ? 'IM_ROUTE_DEADLINE' : 'IM_FLOW_WAIT', 1);
		return true;
	}

	/** A request under way has asked for more than it was let in with. */
	more({ ticket }: RoutedRequest, tokensIn: number): void {
		if (ticket !== undefined) this.#gate?.more(ticket, tokensIn);
	}

	/** An attempt goes on: a stream may be long, and a session without end. Messages of a session are no tokens; what it says it has used is. */
	soFar({ ticket }: RoutedRequest, { usage, events, status }: RunningAttempt): void {
		if (ticket?.charged === undefined) return;
		const tokensOut = usage?.tokensOut ?? (status === SWITCHED ? 0 : events);
		this.#gate?.soFar(ticket, { tokensIn: usage?.tokensIn ?? 0, tokensOut: ticket.tokensOut + tokensOut });
	}

	/** An attempt has ended: whose turn is next goes by what it took. */
	spent(request: RoutedRequest, attempt: RunningAttempt): void {
		const { ticket } = request;
		this.#turns.freed(attempt.target.tableRow);
		if (ticket === undefined) return;
		ticket.spent(request, attempt);
		this.#settleFlow(ticket);
		if (ticket.pool < 0 || attempt.status !== 200 || attempt.end === 'cancelled') return;
		const answeredMs = request.stream ? attempt.firstTokenMs : this.#clock.nowMs();
		this.#room.answered(ticket.pool, request.stream, answeredMs - attempt.startedMs);
	}

	/** The request is over, however it ended: its place is free and its account is settled. */
	leave(request: RoutedRequest): void {
		const { ticket } = request;
		if (ticket === undefined) return;
		request.ticket = undefined;
		if (ticket.leaseUntilMs !== 0) this.#gate?.forget(request);
		this.#leaveRoom(ticket);
		this.#gate?.settle(ticket);
		this.#settleFlow(ticket);
	}

	close(): void {
		this.#looking?.cancel();
		this.#turns.close();
	}

	#contended(pool: number): boolean {
		if (!this.#options.enabled) return false;
		if (this.#room.waiting(pool) > 0 || this.#room.waitsElsewhere(pool)) return true;
		return this.#events.held(pool) >= this.#options.strategyWindow;
	}

	/** What never waited was never charged to a flow. */
	#settleFlow(ticket: Ticket): void {
		if (ticket.served === 0) return;
		const service = this.#service(ticket.tokensIn, ticket.tokensOut);
		this.#room.settle(ticket.pool, ticket.band, ticket.tenant, service - ticket.served);
		ticket.served = service;
		this.#turns.changed();
	}

	#weight(tenant: number): number {
		return this.#ports.quotas?.board.weight(tenant) ?? 1;
	}

	#service(tokensIn: number, tokensOut: number): number {
		return tokensIn + this.#options.outputWeight * tokensOut;
	}

	#expected(request: RoutedRequest): number {
		return request.route === undefined ? 0 : this.#events.expected(request, request.route.pool);
	}

	#decided(request: RoutedRequest, answer: GateAnswer): void {
		if (answer === 'waits') return;
		if (answer !== 'in') {
			this.#refuseAtGate(request, answer);
			return;
		}
		const pool = request.route?.pool;
		if (pool !== undefined && this.#contended(pool.index)) this.wait(request, pool, undefined);
		else this.#events.admitted(request);
	}

	#refuseAtGate(request: RoutedRequest, { reason, refusal }: Exclude<GateAnswer, string>): false {
		this.#countRefused(request, reason);
		request.protocol.refuse(request, refusal);
		return false;
	}

	#refuseForRoom(
		request: RoutedRequest,
		{ reason, retryAfterMs }: RoomRefusal,
		last: RunningAttempt | undefined,
	): void {
		const { code, reason: counted } = roomRefusals[reason];
		if (last === undefined) this.#refuse(request, counted, code, Math.ceil(retryAfterMs / 1000));
		else {
			this.#countRefused(request, counted);
			request.protocol.answer(request, last);
		}
	}

	#refuse(request: RoutedRequest, reason: AdmissionReason, code: RouterErrorCode, retryAfterS: number): void {
		this.#countRefused(request, reason);
		request.protocol.refuse(request, { code, retryAfterS: Math.max(1, Math.min(RETRY_AFTER_S_MAX, retryAfterS)) });
	}

	#countRefused({ tenantId }: RoutedRequest, reason: AdmissionReason): void {
		this.#ports.metrics.refused(reason, tenantId);
		const { quotas } = this.#ports;
		quotas?.board.refused(quotas.worker, tenantId);
	}

	#leaveRoom(ticket: Ticket): void {
		if (ticket.entry === undefined) return;
		this.#room.leave(ticket.pool, ticket.entry, this.#clock.nowMs());
		this.#out(ticket);
	}

	#out(ticket: Ticket): void {
		ticket.entry = undefined;
		this.#count(ticket, -1);
	}

	#count({ band, tenant }: Ticket, change: 1 | -1): void {
		const { metrics, quotas } = this.#ports;
		metrics.queued(band, change);
		quotas?.board.waits(quotas.worker, tenant, change);
		this.#turns.changed();
	}

	/** Room may have been made by other workers, or by targets that came back. */
	#look(): void {
		this.#looking = undefined;
		for (const pool of this.#room.pools()) this.#events.look(pool);
		if (this.#room.size > 0)
			this.#looking ??= this.#clock.after(this.#options.lookMs, () => this.#look(), { unref: true });
	}
}
