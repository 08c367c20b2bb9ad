// Owns the scoring API of the data port: other routers ask our strategies where a request should go. `score` ranks the targets and leaves no trace; `admit`
// decides as for a request of our own, and counts it as in flight until its outcome is reported. Only callers with a trusted key may ask.
import { decide, rankTargets } from '../decide.js';
import type { RouterEnv } from '../env.js';
import type { Refusal } from '../errors.js';
import type { Exchange } from '../exchange.js';
import { type OutcomeStatusName, outcomeStatusNames } from '../ports.js';
import { OpenAdmissions, type ReportedOutcome } from './admissions.js';

/** What is answered: a JSON body, or why not. */
export type ScoringAnswer = { readonly body: string } | { readonly refusal: Refusal };

const refused = (refusal: Refusal): ScoringAnswer => ({ refusal });
const answered = (body: object): ScoringAnswer => ({ body: JSON.stringify(body) });

export class Scoring {
	readonly #env: RouterEnv;
	readonly #admissions: OpenAdmissions;

	constructor(env: RouterEnv) {
		this.#env = env;
		this.#admissions = new OpenAdmissions(env);
	}

	/** Answers for a request that has been read and whose route is known. */
	answer(exchange: Exchange, verb: 'score' | 'admit'): ScoringAnswer {
		if (!exchange.caller.trusted) return refused({ code: 'IM_SCORING_DENIED' });
		return verb === 'score' ? this.#score(exchange) : this.#admit(exchange);
	}

	/** Takes what became of an admitted request. */
	outcome(exchange: Exchange): ScoringAnswer {
		if (!exchange.caller.trusted) return refused({ code: 'IM_SCORING_DENIED' });
		const report = parsed(exchange.body);
		if (report === undefined) return refused({ code: 'IM_REQUEST_JSON' });
		const { decision, event } = report;
		if (typeof decision !== 'string') return refused(field('decision', 'the id that `admit` gave'));
		if (event === 'first_token')
			return this.#admissions.firstToken(decision) ? answered({ decision, open: true }) : refused(unknown);
		const outcome = outcomeOf(report);
		if ('code' in outcome) return refused(outcome);
		return this.#admissions.end(decision, outcome) ? answered({ decision, open: false }) : refused(unknown);
	}

	close(): void {
		this.#admissions.close();
	}

	#score(exchange: Exchange): ScoringAnswer {
		const pool = rankTargets(this.#env, exchange);
		if (pool === undefined) return refused({ code: 'IM_ROUTE_DEADLINE' });
		const { decision, hits } = this.#env;
		const cached = new Map<number, number>();
		for (let at = 0; at < hits.count; at++) cached.set(hits.rows[at] as number, hits.tokens[at] as number);
		const targets = Array.from(decision.rows.subarray(0, decision.count), (row, at) => ({
			target: pool.targets[row]?.id ?? '',
			score: finite(decision.scores[at]),
			cachedTokens: cached.get(row) ?? 0,
		}));
		return answered({
			model: pool.model,
			verdict: decision.verdict,
			strategy: decision.strategy,
			fallback: decision.cause,
			tokensIn: exchange.tokensIn,
			predictedTtftMs: finite(decision.predictedTtftMs),
			retryAfterMs: finite(decision.retryAfterMs),
			targets,
		});
	}

	#admit(exchange: Exchange): ScoringAnswer {
		const env = this.#env;
		const retryAfterS = env.options.saturatedRetryAfterS;
		if (this.#admissions.full) return refused({ code: 'IM_ROUTE_SATURATED', retryAfterS });
		const step = decide(env, exchange);
		if (step.kind === 'refuse') return refused(step.refusal);
		if (step.kind === 'hold') return refused({ code: 'IM_ROUTE_HELD', retryAfterS });
		if (step.kind === 'full') return refused({ code: 'IM_ROUTE_SATURATED', retryAfterS });
		const { plan } = step;
		const { clock, ledger } = env.ports;
		const uncached = Math.max(0, exchange.tokensIn - plan.cachedTokens);
		this.#admissions.add({
			plan,
			ledgerEntry: ledger.dispatch(plan.target, exchange.tokensIn, uncached),
			tenant: exchange.tenantId,
			tokensIn: exchange.tokensIn,
			startedMs: clock.nowMs(),
		});
		return answered({
			decision: plan.decisionId,
			target: plan.target.id,
			model: plan.pool.model,
			strategy: plan.strategy,
			tokensIn: exchange.tokensIn,
			cachedTokens: plan.cachedTokens,
			predictedTtftMs: finite(plan.predictedTtftMs),
			expiresInMs: env.options.scoring.admissionTtlMs,
		});
	}
}

const unknown: Refusal = { code: 'IM_SCORING_DECISION_UNKNOWN' };

const field = (param: string, what: string): Refusal => ({
	code: 'IM_REQUEST_FIELD',
	param,
	message: `\`${param}\` must be ${what}.`,
});

/** JSON has no infinities. */
function finite(value: number | undefined): number {
	return value !== undefined && Number.isFinite(value) ? value : 0;
}

function parsed(body: Buffer): Readonly<Record<string, unknown>> | undefined {
	try {
		const value: unknown = JSON.parse(body.toString('utf8'));
		return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
	} catch {
		return undefined;
	}
}

function outcomeOf(report: Readonly<Record<string, unknown>>): ReportedOutcome | Refusal {
	const { status } = report;
	if (!outcomeStatusNames.includes(status as OutcomeStatusName))
		return field('status', `one of ${outcomeStatusNames.join(', ')}`);
	const numbers: Record<string, number | undefined> = {};
	for (const name of ['httpStatus', 'tokensIn', 'tokensOut', 'tokensCached', 'ttftMs', 'tpotMs'] as const) {
		const value = report[name];
		if (value === undefined) continue;
		if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return field(name, 'a number from 0');
		numbers[name] = value;
	}
	const { httpStatus = 0, tokensIn, tokensOut = 0, tokensCached = 0, ttftMs = 0, tpotMs = 0 } = numbers;
	return { status: status as OutcomeStatusName, httpStatus, tokensIn, tokensOut, tokensCached, ttftMs, tpotMs };
}
