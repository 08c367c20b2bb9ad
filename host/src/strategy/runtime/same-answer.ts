// Owns the comparison of two instances' answers to one frame: what determinism means here.
import {
	OUTPUT_COUNT_WORD,
	OUTPUT_ROWS_WORD,
	OUTPUT_SCORES_WORD,
	OUTPUT_VERDICT_WORD,
	RANKED_ROWS_MAX,
} from '@infermesh/sdk';
import type { StrategyInstance } from './instance.js';

/** Bit-for-bit comparison of two answers: fuel, verdict, and the rows and scores that count. */
export function sameAnswer(a: StrategyInstance, b: StrategyInstance): boolean {
	if (a.lastFuel !== b.lastFuel) return false;
	const from = a.outputWord;
	const to = b.outputWord;
	if (a.u32[from + OUTPUT_VERDICT_WORD] !== b.u32[to + OUTPUT_VERDICT_WORD]) return false;
	const count = a.u32[from + OUTPUT_COUNT_WORD] as number;
	if (count !== b.u32[to + OUTPUT_COUNT_WORD] || count > RANKED_ROWS_MAX) return false;
	for (let i = 0; i < count; i++) {
		if (a.u32[from + OUTPUT_ROWS_WORD + i] !== b.u32[to + OUTPUT_ROWS_WORD + i]) return false;
		if (a.u32[from + OUTPUT_SCORES_WORD + i] !== b.u32[to + OUTPUT_SCORES_WORD + i]) return false;
	}
	return true;
}
