// Owns what an attempt is, whichever protocol it speaks: the plan it carries out, what is known of it so far, and that it ends exactly once. How it asks its target,
// and what it passes on, is each protocol's.
import { EMPTY } from './body-request.js';
import type { RouterEnv } from './env.js';
import type { RouterErrorCode } from './errors.js';
import type { PairPlan } from './pd/pair.js';
import type { ModelPool, PrefixSource, UpstreamTarget } from './ports.js';
import type { AttemptEnd, RunningAttempt } from './routed-request.js';
import type { ResponseHeaders } from './upstream/response-parser.js';
import type { AttemptPlan } from './upstream-response.js';
import type { Usage } from './usage.js';

/** Until the response has begun; never written to. */
const NO_HEADERS: ResponseHeaders = Object.freeze({});

export abstract class BaseAttempt implements RunningAttempt {
	readonly plan: AttemptPlan;
	readonly ledgerEntry: number;
	readonly startedMs: number;

	// What is known of it so far.
	end: AttemptEnd | undefined;
	failure: RouterErrorCode | undefined;
	/** The row at fault when it has failed: its own, or that of its prefill. */
	failedRow: number;
	resetUnanswered = false;
	/** 0 until the response has begun; in HTTP's terms whatever the protocol. */
	status = 0;
	headers: ResponseHeaders = NO_HEADERS;
	/** The held response. */
	body: Buffer = EMPTY;
	firstTokenMs = 0;
	chunks = 0;
	usage: Usage | undefined;

	/** Whoever is told of the end. */
	protected readonly told: (attempt: RunningAttempt) => void;

	/** `onEnd` is called once, when it has ended. */
	constructor(env: RouterEnv, plan: AttemptPlan, ledgerEntry: number, onEnd: (attempt: RunningAttempt) => void) {
		this.plan = plan;
		this.failedRow = plan.poolRow;
		this.ledgerEntry = ledgerEntry;
		this.startedMs = env.ports.clock.nowMs();
		this.told = onEnd;
	}

	get pool(): ModelPool {
		return this.plan.pool;
	}

	get poolRow(): number {
		return this.plan.poolRow;
	}

	get target(): UpstreamTarget {
		return this.plan.target;
	}

	get decisionId(): string {
		return this.plan.decisionId;
	}

	get strategy(): string {
		return this.plan.strategy;
	}

	get fallbackDecided(): boolean {
		return this.plan.fallbackDecided;
	}

	get inDoubt(): boolean {
		return this.plan.inDoubt;
	}

	get predictedTtftMs(): number {
		return this.plan.predictedTtftMs;
	}

	get cachedTokens(): number {
		return this.plan.cachedTokens;
	}

	get cachedSource(): PrefixSource {
		return this.plan.cachedSource;
	}

	get scores(): string | undefined {
		return this.plan.scores;
	}

	get pair(): PairPlan | undefined {
		return this.plan.pair;
	}

	get fetchFrom(): string | undefined {
		return this.plan.fetchFrom;
	}

	abstract readonly events: number;
	abstract start(): void;
	abstract stop(end: 'failed' | 'cancelled', failure?: RouterErrorCode): void;
	abstract overdue(nowMs: number): RouterErrorCode | undefined;

	/** It has ended: a second end counts for nothing. What the protocol has to let go of is let go before anybody hears of it. */
	protected finish(end: AttemptEnd, failure?: RouterErrorCode): void {
		if (this.end !== undefined) return;
		this.end = end;
		this.failure = failure;
		this.finishing?.(end, failure);
		this.told(this);
	}

	/** Lets go of what the attempt holds besides its own connection. */
	protected finishing?(end: AttemptEnd, failure: RouterErrorCode | undefined): void;
}
