// Owns the rows by which `bench --rows` hands single requests on to `simulate calibrate`: what a prompt took alone, and what a step of a batch took. A client
// knows the batch only in a closed loop on one engine, so there is one run for each size of it; rows of several runs go together.
import { type Outcome, tpotMs } from './outcome.js';

/** Requests kept; further ones are left out. */
export const MEASURED_ROWS_MAX = 200_000;

/** Over fewer further tokens the time between two is chance. */
const FURTHER_TOKENS_MIN = 15;

const HEADER = 'input_tokens,ttft_ms,context_tokens,batch,itl_ms';

export class MeasuredRows {
	readonly #concurrency: number;
	readonly #outcomes: Outcome[] = [];

	constructor(concurrency: number) {
		this.#concurrency = concurrency;
	}

	add(outcome: Outcome): void {
		if (outcome.end === 'ok' && this.#outcomes.length < MEASURED_ROWS_MAX) this.#outcomes.push(outcome);
	}

	/** CSV with a header. Times to first token only from a loop of one: in a larger one prompts wait for each other. */
	csv(): string {
		const batch = this.#concurrency;
		const contexts = this.#outcomes.map(({ inputTokens, outputTokens }) => inputTokens + outputTokens / 2);
		const mean = contexts.reduce((sum, context) => sum + context, 0) / Math.max(1, contexts.length);
		const rows = this.#outcomes.map((outcome, index) => {
			const { inputTokens, sentMs, firstTokenMs } = outcome;
			const alone = batch === 1 && firstTokenMs !== undefined;
			const prefill = alone ? [inputTokens, short(firstTokenMs - sentMs)] : ['', ''];
			const itlMs = outcome.outputTokens > FURTHER_TOKENS_MIN ? tpotMs(outcome) : undefined;
			// Of the others in the batch only the mean is known.
			const context = Math.round((contexts[index] ?? mean) + (batch - 1) * mean);
			const decode = itlMs === undefined || itlMs <= 0 ? ['', '', ''] : [context, batch, short(itlMs)];
			return [...prefill, ...decode].join(',');
		});
		return `${[HEADER, ...rows].join('\n')}\n`;
	}
}

/** Microseconds. */
function short(ms: number): number {
	return Math.round(ms * 1000) / 1000;
}
