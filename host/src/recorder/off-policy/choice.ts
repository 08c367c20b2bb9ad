// Owns the probabilities with which the host would have carried out a strategy's answer: by the strategy's own temperature, else spread over near-equal rows
// as the recorded host did, else the best row. The recorded host's exploration is not asked of it: what it would do in charge is the question.
import type { Decision } from '../../strategy/runtime/decision.js';
import { candidatesOf, type RecordedDecision } from '../decision.js';

export interface AskedChoice {
	/** Probability that the other strategy takes the recorded target. */
	readonly ofRecorded: number;
	/** Probability that it takes one that the recorded strategy could not have drawn. */
	readonly unsupported: number;
	/** Its rows and their probabilities. */
	readonly rows: readonly { readonly row: number; readonly probability: number }[];
}

/** `out`: what the other strategy answered on the same frame, not yet drawn from. An answer that routes nowhere is all unsupported. */
export function choiceOf(decision: RecordedDecision, out: Decision): AskedChoice {
	if (out.verdict !== 'route' || out.count === 0) return { ofRecorded: 0, unsupported: 1, rows: [] };
	const weights = weightsOf(decision, out);
	const total = weights.reduce((sum, weight) => sum + weight, 0);
	const rows = weights.map((weight, i) => ({ row: out.rows[i] as number, probability: weight / total }));
	const supported = new Set(candidatesOf(decision).flatMap(({ row, propensity }) => (propensity > 0 ? [row] : [])));
	const recorded = decision.rows[decision.chosen];
	return {
		ofRecorded: rows.find(({ row }) => row === recorded)?.probability ?? 0,
		unsupported: rows.reduce((sum, { row, probability }) => sum + (supported.has(row) ? 0 : probability), 0),
		rows,
	};
}

function weightsOf({ drawn, drawRatio }: RecordedDecision, { scores, count, temperature }: Decision): number[] {
	const ranked = Array.from(scores.subarray(0, count));
	const best = ranked[0] as number;
	if (temperature > 0) {
		const least = Math.min(...ranked);
		return ranked.map((score) => Math.exp((least - score) / temperature));
	}
	if (drawn !== 'spread') return ranked.map((_, i) => (i === 0 ? 1 : 0));
	const most = best + drawRatio * Math.abs(best);
	const firstFar = ranked.findIndex((score, i) => i > 0 && score > most);
	return ranked.map((_, i) => (firstFar < 0 || i < firstFar ? 1 : 0));
}
