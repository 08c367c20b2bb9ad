// Owns comparing one answer with what a scenario expects of it: every expectation that does not hold becomes a line with the
// expected and the actual value. Shares over repetitions are run.ts's.
import { RejectReason } from '@infermesh/sdk';
import { NOT_METERED } from '../../strategy/native/code.js';
import type { Decision } from '../../strategy/runtime/decision.js';
import { parseComparator } from './comparator.js';
import type { ExpectSpec } from './schema.js';

/** A decision with names in place of rows. */
export interface NamedDecision {
	readonly cause: string;
	readonly verdict: string;
	readonly reason: string;
	/** Null where none is counted. */
	readonly fuel: number | null;
	readonly ranked: readonly {
		readonly target: string;
		readonly score: number;
		readonly factors: Readonly<Record<string, number>>;
	}[];
	readonly prefill: string;
	readonly fetchFrom: string;
	readonly retryAfterMs: number;
	readonly holdKey: number;
	readonly hedgeDelayMs: number;
	readonly hedgeCopies: number;
	readonly predictedTtftMs: number;
}

export interface Mismatch {
	/** The expectation, as a path below `expect`: `first`, `factors.wait_ms`. */
	readonly key: string;
	readonly expected: string;
	readonly actual: string;
}

const reasonNames = Object.keys(RejectReason);

/** `fuel` of the decision: null where none is counted. */
export function nameDecision(
	decision: Decision,
	fuel: number | null,
	ids: readonly string[],
	factorsOf: (index: number) => Readonly<Record<string, number>>,
): NamedDecision {
	const faulty = decision.cause !== 'none';
	const ranked = Array.from({ length: faulty ? 0 : decision.count }, (_, index) => ({
		target: ids[decision.rows[index] ?? -1] ?? '?',
		score: decision.scores[index] ?? 0,
		factors: factorsOf(index),
	}));
	return {
		cause: decision.cause,
		verdict: faulty ? 'none' : decision.verdict,
		reason: faulty ? 'none' : (reasonNames[decision.rejectReason] ?? 'none'),
		fuel,
		ranked,
		prefill: faulty ? 'none' : (ids[decision.prefillRow] ?? 'none'),
		fetchFrom: faulty ? 'none' : (ids[decision.fetchFromRow] ?? 'none'),
		retryAfterMs: decision.retryAfterMs,
		holdKey: decision.holdKey,
		hedgeDelayMs: decision.hedgeDelayMs,
		hedgeCopies: decision.hedgeCopies,
		predictedTtftMs: decision.predictedTtftMs,
	};
}

/** What of `expect` does not hold for `decision`. Without `cause`, none may have occurred. */
export function compare(expect: ExpectSpec, decision: NamedDecision): Mismatch[] {
	const mismatches: Mismatch[] = [];
	const say = (key: string, expected: string, actual: string): void => {
		mismatches.push({ key, expected, actual });
	};
	if (decision.cause !== (expect.cause ?? 'none')) {
		say('cause', expect.cause ?? 'none', decision.cause);
		return mismatches;
	}
	compareRanking(expect, decision, say);
	const named: [string, string | undefined, string][] = [
		['verdict', expect.verdict, decision.verdict],
		['reason', expect.reason, decision.reason],
		['prefill', expect.prefill, decision.prefill],
		['fetch_from', expect.fetch_from, decision.fetchFrom],
	];
	for (const [key, expected, actual] of named)
		if (expected !== undefined && expected !== actual) say(key, expected, actual);
	for (const [key, expected, actual] of numbersOf(expect, decision)) {
		if (expected === undefined || meets(expected, actual)) continue;
		const missing = key === 'fuel' ? NOT_METERED : 'no value';
		say(key, String(expected), actual === undefined ? missing : formatNumber(actual));
	}
	return mismatches;
}

/** True when `value` meets the comparison; a missing value meets none. */
export function meets(expected: string | number, value: number | undefined): boolean {
	const comparator = parseComparator(expected);
	return value !== undefined && 'test' in comparator && comparator.test(value);
}

export function formatNumber(value: number): string {
	if (Number.isInteger(value)) return String(value);
	return Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3
		? value.toExponential(3)
		: String(Number(value.toPrecision(6)));
}

function compareRanking(
	expect: ExpectSpec,
	decision: NamedDecision,
	say: (key: string, expected: string, actual: string) => void,
): void {
	const ranking = decision.ranked.map((row) => row.target);
	const shown = ranking.join(', ') || 'nothing';
	const first = asList(expect.first);
	if (first.length > 0 && !first.includes(ranking[0] ?? '')) say('first', first.join(' or '), ranking[0] ?? 'nothing');
	for (const id of asList(expect.not)) if (ranking.includes(id)) say('not', `${id} is not ranked`, shown);
	const order = expect.order;
	if (order !== undefined && order.some((id, index) => ranking[index] !== id)) say('order', order.join(', '), shown);
}

function numbersOf(
	expect: ExpectSpec,
	decision: NamedDecision,
): [string, string | number | undefined, number | undefined][] {
	const [best, second] = decision.ranked;
	const margin = best === undefined || second === undefined ? undefined : second.score - best.score;
	const factors = Object.entries(expect.factors ?? {}).map(
		([name, expected]): [string, string | number, number | undefined] => [
			`factors.${name}`,
			expected,
			best?.factors[name],
		],
	);
	return [
		['count', expect.count, decision.ranked.length],
		['fuel', expect.fuel, decision.fuel ?? undefined],
		['score', expect.score, best?.score],
		['score_margin', expect.score_margin, margin],
		['hold_key', expect.hold_key, decision.holdKey],
		['retry_after_ms', expect.retry_after_ms, decision.retryAfterMs],
		['hedge_delay_ms', expect.hedge_delay_ms, decision.hedgeDelayMs],
		['hedge_copies', expect.hedge_copies, decision.hedgeCopies],
		['predicted_ttft_ms', expect.predicted_ttft_ms, decision.predictedTtftMs],
		...factors,
	];
}

function asList(value: string | readonly string[] | undefined): readonly string[] {
	return value === undefined ? [] : typeof value === 'string' ? [value] : value;
}
