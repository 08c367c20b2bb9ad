// Owns the scoring API over HTTP: what is asked is the request itself, under a prefix; what is answered, and what is reported, is JSON.
import type { Refusal } from '../errors.js';
import type { Exchange } from '../exchange.js';
import { type OutcomeStatusName, outcomeStatusNames } from '../ports.js';
import type { ReportedOutcome } from './admissions.js';
import type { Refused, Scoring } from './scoring.js';

/** What is answered: a JSON body, or why not. */
export type ScoringAnswer = { readonly body: string } | Refused;

/** Answers for a request that has been read and whose route is known. */
export function scoringAnswer(scoring: Scoring, exchange: Exchange, verb: 'score' | 'admit'): ScoringAnswer {
	const refusal = scoring.denied(exchange.caller);
	if (refusal !== undefined) return { refusal };
	const answer = verb === 'score' ? scoring.score(exchange) : scoring.admit(exchange);
	return 'refusal' in answer ? answer : { body: JSON.stringify(answer) };
}

/** Takes what became of an admitted request. */
export function outcomeAnswer(scoring: Scoring, { caller, body }: Exchange): ScoringAnswer {
	const denied = scoring.denied(caller);
	if (denied !== undefined) return { refusal: denied };
	const report = parsed(body);
	if (report === undefined) return { refusal: { code: 'IM_REQUEST_JSON' } };
	const { decision, event } = report;
	if (typeof decision !== 'string') return { refusal: field('decision', 'the id that `admit` gave') };
	if (event === 'first_token') return told(decision, true, scoring.firstToken(decision));
	const outcome = outcomeOf(report);
	return 'code' in outcome ? { refusal: outcome } : told(decision, false, scoring.ended(decision, outcome));
}

function told(decision: string, open: boolean, refusal: Refusal | undefined): ScoringAnswer {
	return refusal === undefined ? { body: JSON.stringify({ decision, open }) } : { refusal };
}

const field = (param: string, what: string): Refusal => ({
	code: 'IM_REQUEST_FIELD',
	param,
	message: `\`${param}\` must be ${what}.`,
});

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
