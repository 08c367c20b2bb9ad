// Owns what other routers may ask of our strategies, whichever protocol they ask by: `score` ranks the targets and leaves no trace; `admit` decides as for a
// request of our own, and counts it as in flight until its outcome is reported. Only callers with a trusted key may ask.
import type { BodyRequest } from '../body-request.js';
import { decide, rankTargets } from '../decide.js';
import type { RouterEnv } from '../env.js';
import { type Refusal, routerErrors } from '../errors.js';
import type { Caller } from '../ports.js';
import { OpenAdmissions, type ReportedOutcome } from './admissions.js';
import { ConnectionHolds } from './connection-holds.js';

export interface Refused {
	readonly refusal: Refusal;
}

/** The targets of a request's own model, best first. */
export interface Scored {
	readonly model: string;
	readonly verdict: string;
	/** `name@version` of what decided, and why that was the fallback. */
	readonly strategy: string;
	readonly fallback: string;
	readonly tokensIn: number;
	/** 0 = not known, here and below. */
	readonly predictedTtftMs: number;
	readonly retryAfterMs: number;
	readonly targets: readonly { readonly target: string; readonly score: number; readonly cachedTokens: number }[];
}

/** Where a request is to be sent, by whoever asked. */
export interface Admitted {
	readonly decision: string;
	readonly target: string;
	readonly model: string;
	readonly strategy: string;
	readonly tokensIn: number;
	readonly cachedTokens: number;
	readonly predictedTtftMs: number;
	/** Without a report it ends by itself, or with a lease when that is not renewed. */
	readonly expiresInMs: number;
}

/** Milliseconds after which an admission ends that was not renewed. */
export const LEASE_HEADER = 'x-infermesh-lease-ms';
/** `connection`: the admission ends with the connection it was asked on. */
export const HOLD_HEADER = 'x-infermesh-hold';

const unknown: Refusal = { code: 'IM_SCORING_DECISION_UNKNOWN' };

export class Scoring {
	readonly #env: RouterEnv;
	readonly #admissions: OpenAdmissions;
	/** Connections that hold admissions. */
	readonly connections: ConnectionHolds;

	constructor(env: RouterEnv) {
		this.#env = env;
		this.#admissions = new OpenAdmissions(env);
		this.connections = new ConnectionHolds(env, (connection) => this.released(connection));
	}

	/** Why the caller may not ask; undefined when it may. */
	denied({ trusted }: Caller): Refusal | undefined {
		return trusted ? undefined : { code: 'IM_SCORING_DENIED' };
	}

	/** Ranks for a request that has been read and whose route is known. */
	score(request: BodyRequest): Scored | Refused {
		const pool = rankTargets(this.#env, request);
		if (pool === undefined) return { refusal: { code: 'IM_ROUTE_DEADLINE' } };
		const { decision, hits } = this.#env;
		const cached = new Map<number, number>();
		for (let at = 0; at < hits.count; at++) cached.set(hits.rows[at] as number, hits.tokens[at] as number);
		const targets = Array.from(decision.rows.subarray(0, decision.count), (row, at) => ({
			target: pool.targets[row]?.id ?? '',
			score: finite(decision.scores[at]),
			cachedTokens: cached.get(row) ?? 0,
		}));
		return {
			model: pool.model,
			verdict: decision.verdict,
			strategy: decision.strategy,
			fallback: decision.cause,
			tokensIn: request.tokensIn,
			predictedTtftMs: finite(decision.predictedTtftMs),
			retryAfterMs: finite(decision.retryAfterMs),
			targets,
		};
	}

	/** Decides for a request that has been read and whose route is known. What is admitted ends when `holder`, if any, is `released`. */
	admit(request: BodyRequest, holder?: object): Admitted | Refused {
		const env = this.#env;
		const retryAfterS = env.options.saturatedRetryAfterS;
		const leaseMs = leaseOf(request, env.options.scoring.admissionTtlMs);
		if (typeof leaseMs === 'object') return { refusal: leaseMs };
		if (this.#admissions.full) return { refusal: { code: 'IM_ROUTE_SATURATED', retryAfterS } };
		const step = decide(env, request);
		if (step.kind === 'refuse') return { refusal: step.refusal };
		if (step.kind === 'hold') return { refusal: { code: 'IM_ROUTE_HELD', retryAfterS } };
		if (step.kind === 'full') return { refusal: { code: 'IM_ROUTE_SATURATED', retryAfterS } };
		const { plan } = step;
		const { clock, ledger } = env.ports;
		const uncached = Math.max(0, request.tokensIn - plan.cachedTokens);
		this.#admissions.add({
			plan,
			ledgerEntry: ledger.dispatch(plan.target, request.tokensIn, uncached),
			tenant: request.tenantId,
			tokensIn: request.tokensIn,
			startedMs: clock.nowMs(),
			holder,
			leaseMs,
		});
		return {
			decision: plan.decisionId,
			target: plan.target.id,
			model: plan.pool.model,
			strategy: plan.strategy,
			tokensIn: request.tokensIn,
			cachedTokens: plan.cachedTokens,
			predictedTtftMs: finite(plan.predictedTtftMs),
			expiresInMs: leaseMs ?? env.options.scoring.admissionTtlMs,
		};
	}

	/** The first token of an admitted request has come. */
	firstToken(decision: string): Refusal | undefined {
		return this.#admissions.firstToken(decision) ? undefined : unknown;
	}

	/** Who holds an admission lives: its lease begins anew. */
	renewed(decision: string): Refusal | undefined {
		return this.#admissions.renew(decision) ? undefined : unknown;
	}

	/** Who holds an admission gives it up: it was not dispatched, or nothing is known of it. */
	givenUp(decision: string): Refusal | undefined {
		return this.#admissions.giveUp(decision) ? undefined : unknown;
	}

	/** An admitted request is over. */
	ended(decision: string, outcome: ReportedOutcome): Refusal | undefined {
		return this.#admissions.end(decision, outcome) ? undefined : unknown;
	}

	/** Who held admissions is gone. */
	released(holder: object): void {
		this.#admissions.release(holder);
	}

	/** A stream that held admissions has ended: well, and then its connection holds them, or nobody where they are held by none (`'nobody'`); or not, and then nobody is left to report. */
	streamEnded(stream: object, next: object | 'nobody' | undefined): void {
		if (next === 'nobody') this.#admissions.handOver(stream, undefined);
		else if (next === undefined || this.connections.isGone(next)) this.released(stream);
		else this.#admissions.handOver(stream, next);
	}

	/** Ends what was admitted for others. */
	close(): void {
		this.#admissions.close();
	}
}

/** How long an admission may go without being renewed, as its request says: never longer than one without a lease. Undefined where it says nothing. */
function leaseOf({ headers }: BodyRequest, mostMs: number): number | Refusal | undefined {
	const given = headers[LEASE_HEADER];
	if (given === undefined) return undefined;
	const leaseMs = typeof given === 'string' && /^\d{1,9}$/.test(given) ? Number(given) : 0;
	if (leaseMs > 0) return Math.min(leaseMs, mostMs);
	return { code: 'IM_REQUEST_FIELD', param: LEASE_HEADER, message: `\`${LEASE_HEADER}\` must be milliseconds from 1.` };
}

/** Why a question of a stream got no better answer, as its reply says it. */
export interface ToldRefusal {
	readonly code: string;
	readonly message: string;
	/** 0 = another try is not worth it. */
	readonly retryAfterMs: number;
}

export function toldRefusal({ code, message, retryAfterS = 0 }: Refusal): ToldRefusal {
	const { summary, hint } = routerErrors[code];
	return { code, message: `${message ?? summary} ${hint}`, retryAfterMs: Math.max(0, Math.round(retryAfterS * 1000)) };
}

/** Neither JSON nor readers of a report know infinities. */
function finite(value: number | undefined): number {
	return value !== undefined && Number.isFinite(value) ? value : 0;
}
