// Owns what a canary or a split by request has gathered: evidence of harm only. Pure; its state survives JSON. It gives no size of an effect, on purpose: the arms
// share queues, so any size would be wrong.
import { RateProcess, type RateState, type RateWindow } from '../../statistics/rate-process.js';
import { designDigest, type ExperimentDesign } from './design.js';
import { stateError } from './errors.js';
import type { TrialVerdict } from './promotion.js';

export interface SafetyState {
	readonly version: 1;
	readonly designDigest: string;
	readonly process: RateState;
	readonly verdict: TrialVerdict;
}

export class SafetyTrial {
	readonly design: ExperimentDesign;
	#process: RateProcess;
	#verdict: TrialVerdict = 'undecided';

	constructor(design: ExperimentDesign) {
		this.design = design;
		this.#process = new RateProcess({ alpha: design.alpha });
	}

	get verdict(): TrialVerdict {
		return this.#verdict;
	}

	/** How many times a stake of 1 on harm has grown; 1/alpha is the alarm. */
	get evidence(): number {
		return this.#process.evidence;
	}

	get anytimeP(): number {
		return this.#process.anytimeP;
	}

	get totals(): RateWindow {
		return this.#process.totals;
	}

	/**
	 * The requests of both arms that ended since the last window, `elapsedMs` after the start. Bad = a failed or a late answer. Returns the verdict so far; after
	 * one nothing changes it.
	 */
	add(window: RateWindow, elapsedMs: number): TrialVerdict {
		if (this.#verdict !== 'undecided') return this.#verdict;
		this.#process.observe(window);
		const { requestsMin, durationMsMin } = this.design;
		if (this.#process.alarm) this.#verdict = 'harm';
		else if (this.#process.totals.candidate >= requestsMin && elapsedMs >= durationMsMin) this.#verdict = 'no-harm';
		return this.#verdict;
	}

	state(): SafetyState {
		return {
			version: 1,
			designDigest: designDigest(this.design),
			process: this.#process.state(),
			verdict: this.#verdict,
		};
	}

	/** Throws `IM_EXPERIMENT_STATE` or `IM_STATISTICS_STATE` when it is not what a trial of this design has gathered. */
	static resume(design: ExperimentDesign, state: SafetyState): SafetyTrial {
		if (state.version !== 1) throw stateError(`version ${String(state.version)} is not known`);
		if (state.designDigest !== designDigest(design)) throw stateError('its design is another one');
		const trial = new SafetyTrial(design);
		trial.#process = RateProcess.resume(state.process);
		trial.#verdict = state.verdict;
		return trial;
	}
}
