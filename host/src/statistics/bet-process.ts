// Owns what one-sided e-processes that bet on counts have in common: even stakes whose capital grows and shrinks a window at a time, the evidence that is their mean, the
// alarm, and the state that outlives a restart. Leaves what a window pays to those who bet. Invariant: an alarm once raised stays.
import { MeshError } from '@infermesh/proto';
import { statisticsErrors } from './errors.js';

/** Requests that ended in one window, by arm. */
export interface RateWindow {
	readonly candidate: number;
	readonly candidateBad: number;
	readonly control: number;
	readonly controlBad: number;
}

/** Plain data of fixed size: survives JSON. */
export interface BetState<Options> extends RateWindow {
	readonly version: 1;
	readonly options: Options;
	readonly windows: number;
	/** Log capital of each bet. */
	readonly logs: readonly number[];
	readonly logEvidenceMax: number;
}

export abstract class BetProcess<Options extends { readonly alpha: number }> {
	readonly options: Options;
	readonly #logs: Float64Array;
	#windows = 0;
	#totals: RateWindow = { candidate: 0, candidateBad: 0, control: 0, controlBad: 0 };
	#logEvidence = 0;
	#logEvidenceMax = 0;

	protected constructor(options: Options, bets: number) {
		this.options = options;
		this.#logs = new Float64Array(bets);
	}

	get windows(): number {
		return this.#windows;
	}

	/** Sums over all windows. */
	get totals(): RateWindow {
		return this.#totals;
	}

	/** The e-value now: how many times a stake of 1 has grown. */
	get evidence(): number {
		return Math.exp(this.#logEvidence);
	}

	/** Whether the evidence has ever reached 1/alpha. */
	get alarm(): boolean {
		return this.#logEvidenceMax >= Math.log(1 / this.options.alpha);
	}

	/** 1 over the largest evidence so far: a p-value that may be read at any time. */
	get anytimeP(): number {
		return Math.exp(-this.#logEvidenceMax);
	}

	state(): BetState<Options> {
		return {
			version: 1,
			options: this.options,
			windows: this.#windows,
			...this.#totals,
			logs: Array.from(this.#logs),
			logEvidenceMax: this.#logEvidenceMax,
		};
	}

	/** Adds a window of which bet `index` has the logarithm `won(index)`. */
	protected settle({ candidate, candidateBad, control, controlBad }: RateWindow, won: (index: number) => number): void {
		for (let index = 0; index < this.#logs.length; index++)
			this.#logs[index] = (this.#logs[index] as number) + won(index);
		const before = this.#totals;
		this.#windows++;
		this.#totals = {
			candidate: before.candidate + candidate,
			candidateBad: before.candidateBad + candidateBad,
			control: before.control + control,
			controlBad: before.controlBad + controlBad,
		};
		this.#weigh();
	}

	/** Goes on from a state. Throws a RangeError when it cannot be one of this process. */
	protected restore(state: BetState<Options>): this {
		if (!Number.isSafeInteger(state.windows) || state.windows < 0) throw new RangeError('windows is no count');
		const { candidate, candidateBad, control, controlBad } = state;
		checkCounts({ candidate, candidateBad, control, controlBad });
		if (state.logs.length !== this.#logs.length || !state.logs.every(Number.isFinite))
			throw new RangeError('capital does not fit the bets');
		if (!(state.logEvidenceMax >= 0)) throw new RangeError('the largest evidence is below 1');
		this.#windows = state.windows;
		this.#totals = { candidate, candidateBad, control, controlBad };
		this.#logs.set(state.logs);
		this.#logEvidenceMax = state.logEvidenceMax;
		this.#weigh();
		return this;
	}

	#weigh(): void {
		this.#logEvidence = logSumExp(this.#logs) - Math.log(this.#logs.length);
		this.#logEvidenceMax = Math.max(this.#logEvidenceMax, this.#logEvidence);
	}
}

/** The process that `made` makes of a state; `what` names it. Throws `IM_STATISTICS_STATE` when it is none. */
export function resumed<Process>({ version }: BetState<unknown>, what: string, made: () => Process): Process {
	try {
		if (version !== 1) throw new RangeError(`version ${String(version)} is not known`);
		return made();
	} catch (cause) {
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(statisticsErrors, 'IM_STATISTICS_STATE', `${what} cannot be resumed: ${why}`, { cause });
	}
}

/** Throws a RangeError for counts that cannot be. */
export function checkCounts({ candidate, candidateBad, control, controlBad }: RateWindow): void {
	const arms = [
		['candidate', candidate, candidateBad],
		['control', control, controlBad],
	] as const;
	for (const [arm, requests, bad] of arms)
		if (!Number.isSafeInteger(requests) || !Number.isSafeInteger(bad) || bad < 0 || bad > requests)
			throw new RangeError(`${arm}: ${bad} bad of ${requests} requests cannot be`);
}

/** The logarithm of the sum of what these are the logarithms of. */
export function logSumExp(logs: Float64Array): number {
	let most = Number.NEGATIVE_INFINITY;
	for (const log of logs) most = Math.max(most, log);
	let sum = 0;
	for (const log of logs) sum += Math.exp(log - most);
	return most + Math.log(sum);
}
