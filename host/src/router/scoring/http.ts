// Owns the scoring API over HTTP, one question a request: what is asked is the request itself, under a prefix; what is answered, and what is reported, is JSON. Reports are
// read here for streams, too.
import type { Refusal } from '../errors.js';
import type { Exchange } from '../exchange.js';
import { type OutcomeStatusName, outcomeStatusNames } from '../ports.js';
import type { ReportedOutcome } from './admissions.js';
import type { ReportVerb } from './paths.js';
import { type Admitted, HOLD_HEADER, type Refused, type Scoring } from './scoring.js';

export type Json = Readonly<Record<string, unknown>>;

/** What is answered as JSON, or why not. */
export type ScoringAnswer = object | Refused;

/** Answers for a request that has been read and whose route is known. */
export function scoringAnswer(scoring: Scoring, exchange: Exchange, verb: 'score' | 'admit'): ScoringAnswer {
	const refusal = scoring.denied(exchange.caller);
	if (refusal !== undefined) return { refusal };
	return verb === 'score' ? scoring.score(exchange) : admitted(scoring, exchange);
}

/** Connections of HTTP come and go: an admission ends with its own only where the caller says so. */
function admitted(scoring: Scoring, exchange: Exchange): Admitted | Refused {
	const held = heldByConnection(scoring, exchange);
	if (typeof held === 'object') return { refusal: held };
	return scoring.admit(exchange, held ? exchange.connection : undefined);
}

/** Whether what is admitted is to end with its connection, which is then watched. */
export function heldByConnection(scoring: Scoring, exchange: Exchange): boolean | Refusal {
	const { connection, headers, req, stream2 } = exchange;
	const hold = headers[HOLD_HEADER];
	if (hold === undefined) return false;
	if (hold !== 'connection') return field(HOLD_HEADER, '`connection`');
	if (stream2 === undefined) scoring.connections.watch(connection, req.socket, true);
	else scoring.connections.watch(connection, stream2.session);
	return true;
}

/** Takes what a caller says of what was admitted for it. */
export function reportAnswer(scoring: Scoring, exchange: Exchange, verb: ReportVerb): ScoringAnswer {
	const denied = scoring.denied(exchange.caller);
	if (denied !== undefined) return { refusal: denied };
	const report = parsed(exchange.body);
	if (report === undefined) return { refusal: { code: 'IM_REQUEST_JSON' } };
	return verb === 'outcome' ? outcomeAnswer(scoring, report) : heldAnswer(scoring, report, verb);
}

/** One admission, told as outcomes are, or many: which of them were here, and which were not. */
function heldAnswer(scoring: Scoring, { decision, decisions }: Json, verb: 'renew' | 'release'): ScoringAnswer {
	const tell = (id: string): Refusal | undefined => (verb === 'renew' ? scoring.renewed(id) : scoring.givenUp(id));
	if (typeof decision === 'string') return told(decision, verb === 'renew', tell(decision));
	if (!Array.isArray(decisions) || !decisions.every((id) => typeof id === 'string'))
		return { refusal: field('decisions', 'a list of ids that `admit` gave') };
	const known: string[] = [];
	const unknown: string[] = [];
	for (const id of decisions) (tell(id) === undefined ? known : unknown).push(id);
	return { decisions: known, unknown, open: verb === 'renew' };
}

/** Takes what became of an admitted request, or what of it goes on. */
export function outcomeAnswer(scoring: Scoring, report: Json): ScoringAnswer {
	const { decision, event } = report;
	if (typeof decision !== 'string') return { refusal: field('decision', 'the id that `admit` gave') };
	if (event === 'first_token') return told(decision, true, scoring.firstToken(decision));
	if (event === 'renew') return told(decision, true, scoring.renewed(decision));
	if (event === 'release') return told(decision, false, scoring.givenUp(decision));
	if (event !== undefined) return { refusal: field('event', '`first_token`, `renew` or `release`') };
	const outcome = outcomeOf(report);
	return 'code' in outcome ? { refusal: outcome } : told(decision, false, scoring.ended(decision, outcome));
}

function told(decision: string, open: boolean, refusal: Refusal | undefined): ScoringAnswer {
	return refusal === undefined ? { decision, open } : { refusal };
}

export const field = (param: string, what: string): Refusal => ({
	code: 'IM_REQUEST_FIELD',
	param,
	message: `\`${param}\` must be ${what}.`,
});

function parsed(body: Buffer): Json | undefined {
	try {
		const value: unknown = JSON.parse(body.toString('utf8'));
		return typeof value === 'object' && value !== null ? (value as Json) : undefined;
	} catch {
		return undefined;
	}
}

function outcomeOf(report: Json): ReportedOutcome | Refusal {
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
