// Owns what is done with rows that are well formed and make no sense: prompts of no tokens, times before the row before. They are mended and
// counted for the notes of a report, or refused with their place.
import { MeshError } from '@infermesh/proto';
import { traceErrors } from './errors.js';

export class Defects {
	readonly #refuse: boolean;
	#lastMs = 0;
	#steppedBack = 0;
	#emptyPrompts = 0;

	constructor(refuse: boolean) {
		this.#refuse = refuse;
	}

	/** Arrival of the next row, never before the row before. Throws IM_TRACE_DEFECT when defects are refused. */
	time(atMs: number, where: () => string): number {
		if (atMs < this.#lastMs) {
			if (this.#refuse)
				throw this.#error(
					`the clock goes back by ${Math.round(this.#lastMs - atMs)} ms to before the row above`,
					where,
				);
			this.#steppedBack++;
		} else this.#lastMs = atMs;
		return this.#lastMs;
	}

	/** Prompt length of the next row, at least 1. Throws IM_TRACE_DEFECT when defects are refused. */
	prompt(tokens: number, where: () => string): number {
		if (tokens >= 1) return tokens;
		if (this.#refuse) throw this.#error('the prompt has no tokens', where);
		this.#emptyPrompts++;
		return 1;
	}

	/** What was mended so far. */
	notes(): string[] {
		return [
			...(this.#steppedBack > 0
				? [`${this.#steppedBack} rows stepped back in time and were moved to the row before`]
				: []),
			...(this.#emptyPrompts > 0 ? [`${this.#emptyPrompts} prompts of no tokens were taken as of one`] : []),
		];
	}

	#error(message: string, where: () => string): MeshError {
		return new MeshError(traceErrors, 'IM_TRACE_DEFECT', message, { where: where() });
	}
}
