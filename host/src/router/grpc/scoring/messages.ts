// Owns the messages of the scoring API: what a question says, and how an answer or a refusal is put. Numbers that a message cannot hold are bounded, not wrapped.
import {
	AdmitReply,
	AdmitRequest,
	type Outcome,
	OutcomeStatus,
	ReportOutcomeReply,
	ReportOutcomeRequest,
	ScoreTargetsReply,
	ScoreTargetsRequest,
	type Error as ScoringError,
} from '@infermesh/proto/grpc/scoring/v1/scoring';
import type { Refusal } from '../../errors.js';
import type { OutcomeStatusName } from '../../ports.js';
import type { ReportedOutcome } from '../../scoring/admissions.js';
import { type Admitted, type Scored, toldRefusal } from '../../scoring/scoring.js';

/** One kind of question `Q` and its answer `A`, as bytes. */
export interface Messages<Q extends { readonly id: bigint }, A> {
	/** Throws for bytes that are no protobuf. */
	readonly decode: (bytes: Uint8Array) => Q;
	readonly answer: (id: bigint, answer: A) => Uint8Array;
	readonly refusal: (id: bigint, refusal: Refusal) => Uint8Array;
}

/** What is left of an admission after a report. */
export interface Reported {
	readonly decision: string;
	readonly open: boolean;
}

const NOTHING = new Uint8Array();
const noScore = ScoreTargetsReply.decode(NOTHING);
const noAdmission = AdmitReply.decode(NOTHING);
const noReport = ReportOutcomeReply.decode(NOTHING);

export const scoreMessages: Messages<ScoreTargetsRequest, Scored> = {
	decode: (bytes) => ScoreTargetsRequest.decode(bytes),
	answer: (id, scored) =>
		ScoreTargetsReply.encode({
			...scored,
			id,
			error: undefined,
			tokensIn: whole(scored.tokensIn),
			targets: scored.targets.map((one) => ({ ...one, cachedTokens: whole(one.cachedTokens) })),
		}).finish(),
	refusal: (id, refusal) => ScoreTargetsReply.encode({ ...noScore, id, error: errorOf(refusal) }).finish(),
};

export const admitMessages: Messages<AdmitRequest, Admitted> = {
	decode: (bytes) => AdmitRequest.decode(bytes),
	answer: (id, admitted) =>
		AdmitReply.encode({
			...admitted,
			id,
			error: undefined,
			tokensIn: whole(admitted.tokensIn),
			cachedTokens: whole(admitted.cachedTokens),
		}).finish(),
	refusal: (id, refusal) => AdmitReply.encode({ ...noAdmission, id, error: errorOf(refusal) }).finish(),
};

export const reportMessages: Messages<ReportOutcomeRequest, Reported> = {
	decode: (bytes) => ReportOutcomeRequest.decode(bytes),
	answer: (id, reported) => ReportOutcomeReply.encode({ ...reported, id, error: undefined }).finish(),
	refusal: (id, refusal) => ReportOutcomeReply.encode({ ...noReport, id, error: errorOf(refusal) }).finish(),
};

const statuses: ReadonlyMap<OutcomeStatus, OutcomeStatusName> = new Map([
	[OutcomeStatus.OUTCOME_STATUS_OK, 'ok'],
	[OutcomeStatus.OUTCOME_STATUS_UPSTREAM_ERROR, 'upstream_error'],
	[OutcomeStatus.OUTCOME_STATUS_TIMEOUT, 'timeout'],
	[OutcomeStatus.OUTCOME_STATUS_CANCELLED, 'cancelled'],
	[OutcomeStatus.OUTCOME_STATUS_REJECTED, 'rejected'],
]);

/** A report as the mesh takes it, or what is wrong with it. */
export function outcomeOf(outcome: Outcome): ReportedOutcome | Refusal {
	const status = statuses.get(outcome.status);
	if (status === undefined) return field('outcome.status', 'one of OutcomeStatus');
	const { httpStatus, tokensIn, tokensOut, tokensCached, ttftMs, tpotMs } = outcome;
	if (!isTime(ttftMs)) return field('outcome.ttft_ms', 'a number from 0');
	if (!isTime(tpotMs)) return field('outcome.tpot_ms', 'a number from 0');
	return { status, httpStatus, tokensIn, tokensOut, tokensCached, ttftMs, tpotMs };
}

/** Says that a field of a question is wrong. */
export function field(param: string, what: string): Refusal {
	return { code: 'IM_REQUEST_FIELD', param, message: `\`${param}\` must be ${what}.` };
}

function errorOf(refusal: Refusal): ScoringError {
	const told = toldRefusal(refusal);
	return { ...told, retryAfterMs: whole(told.retryAfterMs) };
}

function isTime(value: number): boolean {
	return Number.isFinite(value) && value >= 0;
}

const UINT32_MAX = 0xffff_ffff;

function whole(value: number): number {
	return Math.min(UINT32_MAX, Math.max(0, Math.round(value)));
}
