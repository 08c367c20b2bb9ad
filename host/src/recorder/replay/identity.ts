// Owns the comparison of a recorded decision with what the same strategy answers now: every field, bit for bit.
import type { Decision } from '../../strategy/runtime/decision.js';
import type { RecordedDecision } from '../decision.js';

/** The answer as the recorder would have written it. */
export function fieldsThatDiffer(recorded: RecordedDecision, now: Decision): string[] {
	const fields: string[] = [];
	const check = (name: string, was: number | string, is: number | string): void => {
		if (!Object.is(was, is)) fields.push(`${name}: ${was} → ${is}`);
	};
	check('cause', recorded.cause, now.cause);
	check('fuel', recorded.fuel, now.fuel);
	check('verdict', recorded.verdict, now.verdict);
	check('count', recorded.rows.length, now.count);
	for (let i = 0; i < Math.min(recorded.rows.length, now.count); i++) {
		check(`row ${i}`, recorded.rows[i] as number, now.rows[i] as number);
		check(`score ${i}`, recorded.scores[i] as number, now.scores[i] as number);
	}
	// What happened after the draw, for want of room, was not the strategy's.
	if (!recorded.moved) check('chosen', recorded.chosen, now.chosen);
	if (!recorded.moved) check('propensity', recorded.propensity, Math.fround(now.propensity));
	check('prefill row', recorded.prefillRow, now.prefillRow);
	check('fetch from', recorded.fetchFromRow, now.fetchFromRow);
	check('hedge delay', recorded.hedgeDelayMs, Math.fround(now.hedgeDelayMs));
	check('hedge copies', recorded.hedgeCopies, now.hedgeCopies);
	check('hold key', recorded.holdKey, Math.fround(now.holdKey));
	check('reason', recorded.rejectReason, now.rejectReason);
	check('retry after', recorded.retryAfterMs, Math.fround(now.retryAfterMs));
	check('predicted TTFT', recorded.predictedTtftMs, Math.fround(now.predictedTtftMs));
	check('temperature', recorded.temperature, Math.fround(now.temperature));
	return fields;
}
