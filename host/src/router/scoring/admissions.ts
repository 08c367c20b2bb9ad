// Owns what was admitted for others to dispatch, and has not been reported back: bounded in number and in time, for an entry counts as load at its target
// until it ends. One that nobody reports on ends by itself, and is told as one that timed out; one with a lease ends when that is not renewed, and one whose holder (the
// connection it was asked on, or the stream there) breaks ends with it, for nobody is left to report: both are told as cancelled. Entries lie with the worker that
// made them.
import type { Timer } from '@infermesh/proto';
import { type HeapEntry, IndexedHeap } from '../admission/indexed-heap.js';
import type { RouterEnv } from '../env.js';
import type { AdmissionEnd, OutcomeStatusName } from '../ports.js';
import type { AttemptPlan } from '../upstream-response.js';

export interface OpenAdmission {
	readonly plan: AttemptPlan;
	readonly ledgerEntry: number;
	readonly tenant: number;
	readonly tokensIn: number;
	readonly startedMs: number;
	/** What it ends with, if that breaks; undefined = it lasts until a report or its time. */
	holder: object | undefined;
	/** It ends when it is not renewed for so long; undefined = renewed or not, when `admissionTtlMs` have passed. */
	readonly leaseMs: number | undefined;
}

interface Entry extends OpenAdmission, HeapEntry {
	endsAtMs: number;
}

/** What another router says became of what it dispatched. */
export interface ReportedOutcome {
	readonly status: OutcomeStatusName;
	readonly httpStatus: number;
	readonly tokensIn: number | undefined;
	readonly tokensOut: number;
	readonly tokensCached: number;
	readonly ttftMs: number;
	readonly tpotMs: number;
}

const nothing: ReportedOutcome = {
	status: 'timeout',
	httpStatus: 0,
	tokensIn: undefined,
	tokensOut: 0,
	tokensCached: 0,
	ttftMs: 0,
	tpotMs: 0,
};

const cancelled: ReportedOutcome = { ...nothing, status: 'cancelled' };

export class OpenAdmissions {
	readonly #env: RouterEnv;
	/** By decision id, and by when they end. */
	readonly #open = new Map<string, Entry>();
	readonly #ends = new IndexedHeap<Entry>((a, b) => a.endsAtMs < b.endsAtMs);
	/** Decision ids by who holds them. */
	readonly #held = new WeakMap<object, Set<string>>();
	#timer: Timer | undefined;
	#timerAtMs = 0;

	constructor(env: RouterEnv) {
		this.#env = env;
	}

	get full(): boolean {
		return this.#open.size >= this.#env.options.scoring.admissionsMax;
	}

	add(admission: OpenAdmission): void {
		const endsAtMs = admission.startedMs + (admission.leaseMs ?? this.#env.options.scoring.admissionTtlMs);
		const entry = { ...admission, endsAtMs, heapAt: -1 };
		this.#open.set(admission.plan.decisionId, entry);
		this.#ends.push(entry);
		this.#hold(entry);
		this.#watch();
	}

	/** Its lease, if it has one, begins anew. False when no such decision is open here. */
	renew(decisionId: string): boolean {
		const entry = this.#open.get(decisionId);
		if (entry?.leaseMs !== undefined) {
			entry.endsAtMs = this.#env.ports.clock.nowMs() + entry.leaseMs;
			this.#ends.moved(entry);
		}
		return entry !== undefined;
	}

	/** The first token has come, from a holder that lives. False when no such decision is open here. */
	firstToken(decisionId: string): boolean {
		const admission = this.#open.get(decisionId);
		if (admission !== undefined) this.#env.ports.ledger.firstToken(admission.ledgerEntry);
		return this.renew(decisionId);
	}

	/** Whoever holds it gives it up. False when no such decision is open here. */
	giveUp(decisionId: string): boolean {
		return this.end(decisionId, cancelled, 'released');
	}

	/** It is over. False when no such decision is open here. */
	end(decisionId: string, outcome: ReportedOutcome, how: AdmissionEnd = 'reported'): boolean {
		const admission = this.#open.get(decisionId);
		if (admission === undefined) return false;
		this.#open.delete(decisionId);
		this.#ends.remove(admission);
		const { plan, ledgerEntry, tenant, startedMs, holder } = admission;
		if (holder !== undefined) this.#held.get(holder)?.delete(decisionId);
		const { ports } = this.#env;
		ports.metrics.admissionEnded(how);
		ports.ledger.end(ledgerEntry);
		ports.outcomes.record({
			decisionId,
			poolIndex: plan.pool.index,
			poolRow: plan.poolRow,
			target: plan.target,
			...outcome,
			tokensIn: outcome.tokensIn ?? admission.tokensIn,
			e2eMs: ports.clock.nowMs() - startedMs,
			predictedTtftMs: plan.predictedTtftMs,
			tenant,
			fallbackDecided: plan.fallbackDecided,
			retried: false,
			hedge: 'none',
			lost: false,
			unreachable: false,
			wastedTokens: 0,
			leg: 'whole',
		});
		return true;
	}

	/** Its holder is gone, and nobody is left to report: they end as cancelled. */
	release(holder: object): void {
		for (const decisionId of this.#held.get(holder) ?? []) this.end(decisionId, cancelled, 'disconnected');
	}

	/** What `from` held is another's from now on, or nobody's: it lasts until a report or its time. */
	handOver(from: object, to: object | undefined): void {
		for (const decisionId of this.#held.get(from) ?? []) {
			const admission = this.#open.get(decisionId);
			if (admission === undefined) continue;
			admission.holder = to;
			this.#hold(admission);
		}
		this.#held.delete(from);
	}

	/** Ends all of them as cancelled: the router closes. */
	close(): void {
		this.#timer?.cancel();
		for (const decisionId of this.#open.keys()) this.end(decisionId, cancelled, 'closed');
	}

	#hold({ holder, plan }: Entry): void {
		if (holder === undefined) return;
		const held = this.#held.get(holder);
		if (held === undefined) this.#held.set(holder, new Set([plan.decisionId]));
		else held.add(plan.decisionId);
	}

	/** One timer for what ends first, and none while there is nothing. One that was renewed meanwhile is found alive. */
	#watch(): void {
		const next = this.#ends.first;
		if (next === undefined || (this.#timer !== undefined && this.#timerAtMs <= next.endsAtMs)) return;
		const { clock } = this.#env.ports;
		this.#timer?.cancel();
		this.#timerAtMs = next.endsAtMs;
		this.#timer = clock.after(Math.max(1, next.endsAtMs - clock.nowMs()), () => this.#expire(), { unref: true });
	}

	#expire(): void {
		this.#timer = undefined;
		const now = this.#env.ports.clock.nowMs();
		for (let next = this.#ends.first; next !== undefined && next.endsAtMs <= now; next = this.#ends.first) {
			const { plan, leaseMs } = next;
			if (leaseMs === undefined) this.end(plan.decisionId, nothing, 'expired');
			else this.end(plan.decisionId, cancelled, 'lapsed');
		}
		this.#watch();
	}
}
