// Owns the gathering of decisions and their outcomes on a replay, as estimators take them: which decisions count, and why the others do not.
import { meetsSlo, type Slo } from '../../load/slo.js';
import type { LoggedDecision } from '../../statistics/off-policy.js';
import type { Decision, FallbackCause } from '../../strategy/runtime/decision.js';
import type { RecordedDecision, RecordedOutcome } from '../decision.js';
import { costsOf, type ReplayWatch } from '../replay/against.js';
import type { ReplayStream } from '../replay/subject.js';
import { type AskedChoice, choiceOf } from './choice.js';
import { predictOutcomes } from './outcome-model.js';

/**
 * Why a decision does not count: it routed nowhere, or to a target that was given; another target was taken for want of room, so that its probability is not known; no
 * attempt came of it; the other strategy failed on it; what became of it was not recorded; the client left, which tells nothing.
 */
export const skipReasons = ['not_routed', 'forced', 'moved', 'not_sent', 'fault', 'no_outcome', 'cancelled'] as const;
export type SkipReason = (typeof skipReasons)[number];
export type Skipped = Readonly<Record<SkipReason, number>>;

interface Gathered {
	readonly propensity: number;
	readonly choice: AskedChoice;
	/** By the common predictor: at the recorded target, and the other strategy's mean. */
	readonly chosenMs: number;
	readonly targetMs: number;
	outcome: RecordedOutcome | undefined;
}

export class OffPolicyGathering implements ReplayWatch {
	readonly #slo: Slo;
	/** In the order of the recording. */
	readonly #gathered: Gathered[] = [];
	readonly #byId = new Map<string, Gathered>();
	readonly #skipped = new Map<SkipReason, number>();
	#decisions = 0;

	constructor(slo: Slo) {
		this.#slo = slo;
	}

	/** Decisions on which the other strategy was asked. */
	get decisions(): number {
		return this.#decisions;
	}

	asked(decision: RecordedDecision, of: ReplayStream, cause: FallbackCause, out: Decision): void {
		this.#decisions++;
		const reason = skipReasonOf(decision, cause);
		if (reason !== undefined) {
			this.#skip(reason);
			return;
		}
		const choice = choiceOf(decision, out);
		const costs = costsOf(of, decision);
		const gathered = {
			propensity: decision.propensity,
			choice,
			chosenMs: costs(decision.rows[decision.chosen] as number),
			targetMs: choice.rows.reduce((sum, { row, probability }) => sum + probability * costs(row), 0),
			outcome: undefined,
		};
		this.#gathered.push(gathered);
		this.#byId.set(decision.id, gathered);
	}

	/** Of several outcomes of one decision, as of a hedge, the one that brought the answer counts. */
	outcome(outcome: RecordedOutcome): void {
		const gathered = this.#byId.get(outcome.decisionId);
		if (gathered === undefined || outcome.leg === 'prefill') return;
		if (gathered.outcome === undefined || gathered.outcome.lost) gathered.outcome = outcome;
	}

	/** Decisions with an outcome as objectives judge it: 1 = met. Failures are not met. */
	attainment(): LoggedDecision[] {
		return this.#logged(({ status, e2eMs, ttftMs, tpotMs }) => {
			if (status !== 'ok') return 0;
			const latencies = {
				e2e: e2eMs,
				...(ttftMs > 0 ? { ttft: ttftMs } : {}),
				...(tpotMs > 0 ? { tpot: tpotMs } : {}),
			};
			return meetsSlo(this.#slo, latencies) ? 1 : 0;
		});
	}

	/** Decisions that brought a first token, with its milliseconds. */
	ttftMs(): LoggedDecision[] {
		return this.#logged(({ status, ttftMs }) => (status === 'ok' && ttftMs > 0 ? ttftMs : undefined));
	}

	skipped(): Skipped {
		const counts = new Map(this.#skipped);
		for (const { outcome } of this.#gathered) {
			const reason = outcome === undefined ? 'no_outcome' : outcome.status === 'cancelled' ? 'cancelled' : undefined;
			if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + 1);
		}
		return Object.fromEntries(skipReasons.map((reason) => [reason, counts.get(reason) ?? 0])) as Skipped;
	}

	#logged(valueOf: (outcome: RecordedOutcome) => number | undefined): LoggedDecision[] {
		const kept = this.#gathered.flatMap((gathered) => {
			const { outcome, chosenMs, targetMs } = gathered;
			const value = outcome === undefined || outcome.status === 'cancelled' ? undefined : valueOf(outcome);
			return value === undefined ? [] : [{ gathered, chosenMs, targetMs, outcome: value }];
		});
		const predicted = predictOutcomes(kept);
		return kept.map(({ gathered, outcome }, index) => {
			const { propensity, choice } = gathered;
			const logged = { propensity, targetProbability: choice.ofRecorded, unsupported: choice.unsupported, outcome };
			const model = predicted[index];
			// Where the other strategy routes nowhere there is no target to predict for.
			return model === undefined || choice.rows.length === 0 ? logged : Object.assign(logged, { predicted: model });
		});
	}

	#skip(reason: SkipReason): void {
		this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1);
	}
}

function skipReasonOf(decision: RecordedDecision, cause: FallbackCause): SkipReason | undefined {
	if (decision.verdict !== 'route' || decision.rows.length === 0) return 'not_routed';
	if (decision.forced) return 'forced';
	if (decision.moved) return 'moved';
	if (decision.id === '') return 'not_sent';
	return cause === 'none' ? undefined : 'fault';
}
