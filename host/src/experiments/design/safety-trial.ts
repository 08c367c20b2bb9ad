// Owns what a canary or a split has gathered: evidence of harm only. Pure; its state survives JSON. It gives no size of an effect, on purpose: the arms
// share queues, so any size would be wrong.
import type { RateWindow } from '../../statistics/bet-process.js';
import { RateProcess, type RateState } from '../../statistics/rate-process.js';
import { ShareProcess, type ShareState } from '../../statistics/share-process.js';
import { designDigest, type ExperimentDesign } from './design.js';
import { stateError } from './errors.js';
import type { TrialVerdict } from './promotion.js';

export interface SafetyState {
	readonly version: 1;
	readonly designDigest: string;
	/** Of requests, or of blocks: as the design says. */
	readonly process: RateState | ShareState;
	readonly verdict: TrialVerdict;
}

/**
 * Whether sides are drawn for groups of requests, anew in each block, and a block is one observation. Designs of before this was told apart took requests for
 * drawn one by one, and end by what they were registered with.
 */
export function isClustered({ unit = 'request' }: Pick<ExperimentDesign, 'unit'>): boolean {
	return unit === 'block';
}

export class SafetyTrial {
	readonly design: ExperimentDesign;
	#process: RateProcess | ShareProcess;
	#verdict: TrialVerdict = 'undecided';

	constructor(design: ExperimentDesign) {
		this.design = design;
		const { alpha, share } = design;
		this.#process = isClustered(design) ? new ShareProcess({ alpha, share }) : new RateProcess({ alpha });
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
		trial.#process = isClustered(design)
			? ShareProcess.resume(state.process as ShareState)
			: RateProcess.resume(state.process as RateState);
		trial.#verdict = state.verdict;
		return trial;
	}
}
