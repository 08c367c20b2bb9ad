// Owns when the steps of an engine that are in flight end: one, or several that follow each other and are looked at together. A run can be cut short at the
// end of any of its steps.

/** Steps of one run. */
export const STEPS_MAX = 1024;

export class StepRun {
	startUs = 0;
	endUs = 0;
	count = 0;
	readonly #endsUs = new Float64Array(STEPS_MAX);

	/** A run of one step. */
	begin(startUs: number, durationUs: number): void {
		this.startUs = startUs;
		this.endUs = startUs;
		this.count = 0;
		this.add(durationUs);
	}

	/** One more step; `STEPS_MAX` bounds them. */
	add(durationUs: number): void {
		this.endUs += durationUs;
		this.#endsUs[this.count++] = this.endUs;
	}

	/** Steps before the last that are over by `nowUs`. */
	endedBy(nowUs: number): number {
		return this.#first((endUs) => endUs > nowUs);
	}

	/** The run ends with its first step that is not over before `atUs`. */
	cutAt(atUs: number): void {
		this.count = this.#first((endUs) => endUs >= atUs) + 1;
		this.endUs = this.#endsUs[this.count - 1] as number;
	}

	/** Duration of the first so many steps. */
	durationUs(steps: number): number {
		return (this.#endsUs[steps - 1] as number) - this.startUs;
	}

	/** The first step of whose end something is true, else the last. */
	#first(is: (endUs: number) => boolean): number {
		let at = 0;
		while (at < this.count - 1 && !is(this.#endsUs[at] as number)) at++;
		return at;
	}
}
