// Owns the comparison of a recording with one other strategy: each decision that differs and why, how often they agree, and what each would cost by the
// common predictor. One step only: the fleet is the one that the recorded strategy made, so it says nothing of queues that the other would have made.
import { columns as dictionary, REQUEST_TOKENS_IN_WORD, REQUEST_TOKENS_OUT_WORD } from '@infermesh/sdk';
import { isNative } from '../../strategy/native/code.js';
import { predictCost, signalsOf } from '../../strategy/predictor/common-predictor.js';
import type { Decision, FallbackCause } from '../../strategy/runtime/decision.js';
import type { RecordedDecision, RecordedOutcome } from '../decision.js';
import type { StrategyEntry } from '../entries.js';
import type { AgainstDifference, AgainstReport, ReplayedChoice } from './report.js';
import type { ReplayStream, Subject } from './subject.js';

/** Sees each decision beside what another strategy answers on it, and what became of decisions, in the order of the recording. */
export interface ReplayWatch {
	/** `out`: valid until the call returns; the answer counts only with cause 'none'. */
	asked(decision: RecordedDecision, of: ReplayStream, cause: FallbackCause, out: Decision): void;
	outcome(outcome: RecordedOutcome): void;
}

interface Tally {
	recorded: number;
	other: number;
}

export class Against {
	readonly subject: Subject;
	readonly #differencesMax: number;
	readonly #watch: ReplayWatch | undefined;
	readonly #faults = new Map<string, number>();
	readonly #targets = new Map<string, Tally>();
	readonly #differences: AgainstDifference[] = [];
	#compared = 0;
	#agreed = 0;
	#overlap = 0;
	#fuel = 0;
	#fuelMax = 0;
	#runs = 0;
	#predicted = 0;
	readonly #cost: Tally = { recorded: 0, other: 0 };
	readonly #regret: Tally = { recorded: 0, other: 0 };
	#unlisted = 0;

	constructor(subject: Subject, differencesMax: number, watch: ReplayWatch | undefined) {
		this.subject = subject;
		this.#watch = watch;
		this.#differencesMax = differencesMax;
	}

	/** Runs the other strategy on one decision. `entry`: what decided; undefined for the fallback. */
	compare(index: number, of: ReplayStream, decision: RecordedDecision, entry: StrategyEntry | undefined): void {
		const cause = this.subject.rank(of, decision);
		const { out } = this.subject;
		this.#watch?.asked(decision, of, cause, out);
		this.#runs++;
		this.#fuel += out.fuel;
		this.#fuelMax = Math.max(this.#fuelMax, out.fuel);
		if (cause !== 'none') {
			this.#faults.set(cause, (this.#faults.get(cause) ?? 0) + 1);
			return;
		}
		this.#compared++;
		const was = decision.rows.length === 0 ? -1 : (decision.rows[0] as number);
		const is = out.count === 0 ? -1 : (out.rows[0] as number);
		this.#count(of, was, 'recorded');
		this.#count(of, is, 'other');
		this.#overlap += overlapOf(decision, out);
		if (was >= 0 && is >= 0) this.#predict(of, decision, was, is);
		if (was === is && decision.verdict === out.verdict) this.#agreed++;
		else if (this.#differences.length < this.#differencesMax)
			this.#differences.push(this.#difference(index, of, decision, entry, was, is));
		else this.#unlisted++;
	}

	report(): AgainstReport {
		const { module, learns } = this.subject;
		const metered = !isNative(module.module);
		const mean = (sum: number, count: number): number => (count === 0 ? 0 : sum / count);
		return {
			label: module.label,
			digest: module.digest,
			compared: this.#compared,
			agreed: this.#agreed,
			overlap: mean(this.#overlap, this.#compared),
			faults: Object.fromEntries(this.#faults),
			fuelMean: metered ? mean(this.#fuel, this.#runs) : null,
			fuelMax: metered ? this.#fuelMax : null,
			state: learns ? 'rebuilt' : 'none',
			predicted: {
				recordedMs: mean(this.#cost.recorded, this.#predicted),
				otherMs: mean(this.#cost.other, this.#predicted),
			},
			regret: {
				recordedMs: mean(this.#regret.recorded, this.#predicted),
				otherMs: mean(this.#regret.other, this.#predicted),
			},
			targets: [...this.#targets]
				.map(([target, { recorded, other }]) => ({
					target,
					recorded: mean(recorded, this.#compared),
					other: mean(other, this.#compared),
				}))
				.sort((a, b) => (a.target < b.target ? -1 : 1)),
			differences: this.#differences,
			unlisted: this.#unlisted,
		};
	}

	#count({ stream }: ReplayStream, row: number, side: keyof Tally): void {
		if (row < 0) return;
		const target = stream.entry.targets[row] ?? '(hole)';
		const tally = this.#targets.get(target) ?? { recorded: 0, other: 0 };
		tally[side]++;
		this.#targets.set(target, tally);
	}

	#predict(of: ReplayStream, decision: RecordedDecision, was: number, is: number): void {
		const costs = costsOf(of, decision);
		let least = Number.POSITIVE_INFINITY;
		for (let row = 0; row < of.rows.rowCount; row++)
			if (of.rows.isEligible(row) && !decision.excluded.includes(row)) least = Math.min(least, costs(row));
		if (!Number.isFinite(least)) return;
		this.#predicted++;
		this.#cost.recorded += costs(was);
		this.#cost.other += costs(is);
		this.#regret.recorded += Math.max(0, costs(was) - least);
		this.#regret.other += Math.max(0, costs(is) - least);
	}

	#difference(
		index: number,
		of: ReplayStream,
		decision: RecordedDecision,
		entry: StrategyEntry | undefined,
		was: number,
		is: number,
	): AgainstDifference {
		const { out, module } = this.subject;
		const ids = module.manifest.columns.flatMap((name) => dictionary.filter((column) => column.name === name));
		const columnsOf = (row: number, other: number): Record<string, number> => {
			const values: Record<string, number> = {};
			const cells = of.rows.cells();
			const at = (id: number, of_: number): number => id * of.rows.rowsMax + of_;
			for (const { id, name, type } of ids) {
				if (other >= 0 && cells[at(id, row)] === cells[at(id, other)]) continue;
				values[name] = type === 'f32' ? of.rows.cellF32(id, row) : (cells[at(id, row)] as number);
			}
			return values;
		};
		const costs = costsOf(of, decision);
		const choice = (
			row: number,
			other: number,
			score: number | null,
			factors: Record<string, number>,
		): ReplayedChoice => ({
			target: of.stream.entry.targets[row] ?? '(hole)',
			score,
			factors,
			predictedMs: costs(row),
			columns: columnsOf(row, other),
		});
		const recordedFactors = Object.fromEntries(
			(entry?.factors ?? [])
				.slice(0, decision.factors[0]?.length ?? 0)
				.map((name, f) => [name, decision.factors[0]?.[f] ?? 0]),
		);
		const ranked = out.rows.subarray(0, out.count).indexOf(was);
		const margin = was < 0 || ranked < 0 || is < 0 ? null : (out.scores[ranked] as number) - (out.scores[0] as number);
		return {
			index,
			id: decision.id,
			at: new Date(decision.wallMs).toISOString(),
			model: of.stream.entry.model,
			tokensIn: decision.request[REQUEST_TOKENS_IN_WORD] as number,
			verdicts: { recorded: decision.verdict, other: out.verdict },
			recorded: was < 0 ? null : choice(was, is, decision.scores[0] as number, recordedFactors),
			other: is < 0 ? null : choice(is, was, out.scores[0] as number, this.subject.factors(0)),
			margin,
		};
	}
}

function overlapOf(decision: RecordedDecision, out: Decision): number {
	if (decision.rows.length === 0) return out.count === 0 ? 1 : 0;
	const ranked = out.rows.subarray(0, out.count);
	let shared = 0;
	for (const row of decision.rows) if (ranked.includes(row)) shared++;
	return shared / decision.rows.length;
}

/** Predicted cost of sending the decision's request to a row. */
export function costsOf({ rows }: ReplayStream, { request, hits }: RecordedDecision): (row: number) => number {
	const tokensIn = request[REQUEST_TOKENS_IN_WORD] as number;
	const tokensOut = request[REQUEST_TOKENS_OUT_WORD] as number;
	const cached = new Map(hits.map(({ row, tokens }) => [row, tokens]));
	return (row) => predictCost(signalsOf(rows, row), Math.max(0, tokensIn - (cached.get(row) ?? 0)), tokensOut).totalMs;
}
