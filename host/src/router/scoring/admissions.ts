// Owns what was admitted for others to dispatch, and has not been reported back: bounded in number and in time, for an entry counts as load at its target
// until it ends. One that nobody reports on ends by itself, and is told as one that timed out; one whose holder (the connection it was asked on, or the
// stream there) breaks ends with it, for nobody is left to report. Entries lie with the worker that made them.
import type { Timer } from '@infermesh/proto';
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
	/** By decision id, oldest first: all stand for the same time. */
	readonly #open = new Map<string, OpenAdmission>();
	/** Decision ids by who holds them. */
	readonly #held = new WeakMap<object, Set<string>>();
	#timer: Timer | undefined;

	constructor(env: RouterEnv) {
		this.#env = env;
	}

	get full(): boolean {
		return this.#open.size >= this.#env.options.scoring.admissionsMax;
	}

	add(admission: OpenAdmission): void {
		this.#open.set(admission.plan.decisionId, admission);
		this.#hold(admission);
		this.#watch();
	}

	/** The first token has come. False when no such decision is open here. */
	firstToken(decisionId: string): boolean {
		const admission = this.#open.get(decisionId);
		if (admission !== undefined) this.#env.ports.ledger.firstToken(admission.ledgerEntry);
		return admission !== undefined;
	}

	/** It is over. False when no such decision is open here. */
	end(decisionId: string, outcome: ReportedOutcome, how: AdmissionEnd = 'reported'): boolean {
		const admission = this.#open.get(decisionId);
		if (admission === undefined) return false;
		this.#open.delete(decisionId);
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

	/** What `from` held is another's from now on. */
	handOver(from: object, to: object): void {
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

	#hold({ holder, plan }: OpenAdmission): void {
		if (holder === undefined) return;
		const held = this.#held.get(holder);
		if (held === undefined) this.#held.set(holder, new Set([plan.decisionId]));
		else held.add(plan.decisionId);
	}

	/** One timer for the oldest, and none while there is none. */
	#watch(): void {
		const [oldest] = this.#open.values();
		if (oldest === undefined || this.#timer !== undefined) return;
		const { ports, options } = this.#env;
		const leftMs = Math.max(1, oldest.startedMs + options.scoring.admissionTtlMs - ports.clock.nowMs());
		this.#timer = ports.clock.after(leftMs, () => this.#expire(), { unref: true });
	}

	#expire(): void {
		this.#timer = undefined;
		const { ports, options } = this.#env;
		const before = ports.clock.nowMs() - options.scoring.admissionTtlMs;
		for (const [decisionId, { startedMs }] of this.#open) {
			if (startedMs > before) break;
			this.end(decisionId, nothing, 'expired');
		}
		this.#watch();
	}
}
