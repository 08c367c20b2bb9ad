// Owns the quota of requests on their way in and out: what is expected is spent when they come, what was taken is settled when they go. A request that
// finds too little waits a moment for the agent to lease more; what cannot be leased is refused, with the time at which it can.
import type { Clock } from '@infermesh/proto';
import type { Refusal } from '../errors.js';
import type { RoutedRequest } from '../routed-request.js';
import type { AdmissionReason, QuotaPort } from './ports.js';
import { type Charge, CONCURRENCY, quotaDimensions } from './quota-board.js';
import { Ticket } from './ticket.js';

/** What becomes of a request at the gate. */
export type GateAnswer = 'in' | 'waits' | { readonly reason: AdmissionReason; readonly refusal: Refusal };

const RETRY_AFTER_S_MAX = 3600;

export interface QuotaGateOptions {
	readonly leaseWaitMs: number;
	/** Requests that wait for leases. */
	readonly waitingMax: number;
}

export class QuotaGate {
	readonly #options: QuotaGateOptions;
	readonly #port: QuotaPort;
	readonly #clock: Clock;
	/** By tenant, in the order they came. */
	readonly #waiting = new Map<number, Set<RoutedRequest>>();
	#size = 0;

	constructor(options: QuotaGateOptions, port: QuotaPort, clock: Clock) {
		this.#options = options;
		this.#port = port;
		this.#clock = clock;
	}

	/** Spends what a request is expected to take. */
	enter(request: RoutedRequest, tokensOut: number): GateAnswer {
		const { board } = this.#port;
		const tenant = request.tenantId;
		if (board.limited(tenant) === 0) return 'in';
		const charge = this.#charge(request, tokensOut);
		if (board.tooLarge(tenant, charge) >= 0)
			return { reason: 'quota_too_large', refusal: { code: 'IM_QUOTA_TOO_LARGE' } };
		const short = this.#take(request, charge);
		if (short < 0) return 'in';
		const readyInMs = board.readyAtMs(tenant, short, charge) - this.#clock.wallMs();
		if (readyInMs > this.#options.leaseWaitMs || this.#size >= this.#options.waitingMax)
			return this.#refusal(tenant, short, charge);
		this.#wait(request);
		return 'waits';
	}

	/** The agent has looked for more: everybody who waits for it looks again, once. */
	granted(
		tenant: number,
		expected: (request: RoutedRequest) => number,
		decided: (request: RoutedRequest, answer: GateAnswer) => void,
	): void {
		const waiting = this.#waiting.get(tenant);
		if (waiting === undefined) return;
		this.#waiting.delete(tenant);
		this.#size -= waiting.size;
		for (const request of waiting) {
			if (request.ticket !== undefined) request.ticket.leaseUntilMs = 0;
			const charge = this.#charge(request, expected(request));
			const short = this.#take(request, charge);
			decided(request, short < 0 ? 'in' : this.#refusal(tenant, short, charge));
		}
	}

	/** It waits no longer. */
	forget(request: RoutedRequest): void {
		const waiting = this.#waiting.get(request.tenantId);
		if (waiting?.delete(request) !== true) return;
		this.#size--;
		if (request.ticket !== undefined) request.ticket.leaseUntilMs = 0;
		if (waiting.size === 0) this.#waiting.delete(request.tenantId);
	}

	/** What a request is told that has waited too long for a lease. */
	overdue(request: RoutedRequest, tokensOut: number): GateAnswer {
		const charge = this.#charge(request, tokensOut);
		this.forget(request);
		const short = this.#take(request, charge);
		return short < 0 ? 'in' : this.#refusal(request.tenantId, short, charge);
	}

	/** Charges what a request under way takes beyond what was expected of it: at once, for it may be a stream without end. */
	more(ticket: Ticket, tokensIn: number): void {
		const { charged, tenant, limited } = ticket;
		if (charged === undefined) return;
		ticket.charged = { tokensIn: charged.tokensIn + tokensIn, tokensOut: charged.tokensOut };
		this.#port.board.spend(tenant, limited, { tokensIn, tokensOut: 0 });
	}

	/** What a request under way has taken so far: what goes beyond its charge is charged now, for its end may be far off. */
	soFar(ticket: Ticket, taken: Charge): void {
		const { charged, tenant, limited } = ticket;
		if (charged === undefined) return;
		const tokensIn = Math.max(0, taken.tokensIn - charged.tokensIn);
		const tokensOut = Math.max(0, taken.tokensOut - charged.tokensOut);
		if (tokensIn === 0 && tokensOut === 0) return;
		ticket.charged = { tokensIn: charged.tokensIn + tokensIn, tokensOut: charged.tokensOut + tokensOut };
		this.#port.board.spend(tenant, limited, { tokensIn, tokensOut });
	}

	settle(ticket: Ticket): void {
		const { charged, tenant, limited, tokensIn, tokensOut, sent } = ticket;
		if (charged === undefined) return;
		ticket.charged = undefined;
		const { board, worker } = this.#port;
		board.settle(worker, tenant, limited, charged, { tokensIn, tokensOut }, sent ? 1 : 0);
	}

	#charge({ tenantId, tokensIn }: RoutedRequest, tokensOut: number): Charge {
		return { tokensIn, tokensOut: Math.min(tokensOut, this.#port.board.outputCeiling(tenantId, tokensIn)) };
	}

	#take(request: RoutedRequest, charge: Charge): number {
		const { board, worker } = this.#port;
		const limited = board.limited(request.tenantId);
		const short = board.take(worker, request.tenantId, charge);
		if (short >= 0) return short;
		const ticket = (request.ticket ??= new Ticket(request.tenantId));
		ticket.charged = charge;
		ticket.limited = limited;
		return short;
	}

	#wait(request: RoutedRequest): void {
		const tenant = request.tenantId;
		const ticket = (request.ticket ??= new Ticket(tenant));
		ticket.leaseUntilMs = this.#clock.nowMs() + this.#options.leaseWaitMs;
		const waiting = this.#waiting.get(tenant);
		this.#size++;
		if (waiting !== undefined) {
			waiting.add(request);
			return;
		}
		this.#waiting.set(tenant, new Set([request]));
		this.#port.want(tenant);
	}

	#refusal(tenant: number, short: number, charge: Charge): GateAnswer {
		const inMs = this.#port.board.readyAtMs(tenant, short, charge) - this.#clock.wallMs();
		const retryAfterS = Math.max(1, Math.min(RETRY_AFTER_S_MAX, Math.ceil(inMs / 1000)));
		if (short === CONCURRENCY)
			return { reason: 'quota_concurrency', refusal: { code: 'IM_QUOTA_CONCURRENCY', retryAfterS } };
		return quotaDimensions[short]?.startsWith('requests') === true
			? { reason: 'quota_requests', refusal: { code: 'IM_QUOTA_REQUESTS', retryAfterS } }
			: { reason: 'quota_tokens', refusal: { code: 'IM_QUOTA_TOKENS', retryAfterS } };
	}
}
