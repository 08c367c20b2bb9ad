// Owns the evidence that one arm gets more than its share of the bad outcomes, where the assignment is drawn anew in each block for groups of requests (sessions,
// tenants): a one-sided e-process over counts a block. Leaves how groups are drawn, and how long a block is, to the callers. Invariant: an alarm once raised stays.
import { MeshError } from '@infermesh/proto';
import { statisticsErrors } from './errors.js';
import type { RateWindow } from './rate-process.js';

export interface ShareOptions {
	/** Probability of a false alarm over the whole life of the process, in (0, 1). */
	readonly alpha: number;
	/** Probability with which a group is the candidate's, in (0, 1): its expected share of the bad outcomes. */
	readonly share: number;
	/** Shares of the capital that may be lost in a block, in (0, 1), with even stakes; fixed before the first block. */
	readonly stakes: readonly number[];
}

export const shareDefaults = { alpha: 0.001, stakes: [0.05, 0.1, 0.2, 0.4, 0.7, 0.9] } as const;

/** Plain data of fixed size: survives JSON. */
export interface ShareState extends RateWindow {
	readonly version: 1;
	readonly options: ShareOptions;
	readonly windows: number;
	/** Log capital of each stake. */
	readonly logs: readonly number[];
	readonly logEvidenceMax: number;
}

/**
 * Tests H0: the candidate makes no request bad that the control would have served well (nor spares the control any). In a block with B > 0 bad outcomes, B₁ of them
 * the candidate's, X = B₁ / B and the bet with stake c pays
 *
 *     E_c = 1 + (c / π) (X − π)                         (π: the candidate's share of groups)
 *
 * The process is the mean over the stakes of the products over blocks; the alarm is its first time at or above 1/α.
 *
 * Proof that it is an e-process. Between a strategy and itself the outcomes of a block are what they are, whoever is assigned where: B is fixed, and each bad
 * outcome falls to the candidate with probability π, because its group does. So E[X | past] = π by linearity alone, whatever the dependence of requests within a
 * group, between groups, or of a group's requests in earlier blocks: the draw of this block is independent of all of them. Where the candidate has fewer bad outcomes,
 * X is smaller. As X ≥ 0, a factor is at least 1 − c > 0; so each product is a non-negative supermartingale from 1, and so is their mean; Ville's inequality gives
 * P(ever ≥ 1/α) ≤ α. Blocks without a bad outcome pay 1, and lengths of blocks and numbers of requests may depend on the past in any way.
 *
 * What it needs is the draw: groups assigned by a hash that is keyed anew for each block. With one assignment for good, a session that always fails would be
 * counted as new evidence in every block. Source of the construction: betting on a bounded mean (Waudby-Smith and Ramdas, "Estimating means of bounded random
 * variables by betting", 2024), with Fisher's randomisation (1935) in the place of a model.
 */
export class ShareProcess {
	readonly options: ShareOptions;
	readonly #logs: Float64Array;
	#windows = 0;
	#candidate = 0;
	#candidateBad = 0;
	#control = 0;
	#controlBad = 0;
	#logEvidence = 0;
	#logEvidenceMax = 0;

	constructor(options: Pick<ShareOptions, 'share'> & Partial<ShareOptions>) {
		this.options = { ...shareDefaults, ...options };
		const { alpha, share, stakes } = this.options;
		for (const [name, value] of Object.entries({ alpha, share }))
			if (!(value > 0 && value < 1)) throw new RangeError(`${name} must be between 0 and 1, not ${value}`);
		if (stakes.length === 0 || stakes.length > 64 || stakes.some((one) => !(one > 0 && one < 1)))
			throw new RangeError('stakes are 1 to 64 numbers between 0 and 1');
		this.#logs = new Float64Array(stakes.length);
	}

	get windows(): number {
		return this.#windows;
	}

	/** Sums over all blocks. */
	get totals(): RateWindow {
		return {
			candidate: this.#candidate,
			candidateBad: this.#candidateBad,
			control: this.#control,
			controlBad: this.#controlBad,
		};
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

	/** Adds one block. Throws a RangeError for counts that cannot be. */
	observe(block: RateWindow): void {
		checkCounts(block);
		const { share, stakes } = this.options;
		const bad = block.candidateBad + block.controlBad;
		if (bad > 0) {
			const excess = block.candidateBad / bad / share - 1;
			stakes.forEach((stake, index) => {
				this.#logs[index] = (this.#logs[index] as number) + Math.log1p(stake * excess);
			});
		}
		this.#windows++;
		this.#candidate += block.candidate;
		this.#candidateBad += block.candidateBad;
		this.#control += block.control;
		this.#controlBad += block.controlBad;
		this.#weigh();
	}

	state(): ShareState {
		return {
			version: 1,
			options: this.options,
			windows: this.#windows,
			...this.totals,
			logs: Array.from(this.#logs),
			logEvidenceMax: this.#logEvidenceMax,
		};
	}

	/** The process whose state it is. Throws `IM_STATISTICS_STATE` when it is none. */
	static resume(state: ShareState): ShareProcess {
		if (state.version !== 1) throw damaged(`version ${String(state.version)} is not known`);
		let made: ShareProcess;
		try {
			made = new ShareProcess(state.options);
			if (!Number.isSafeInteger(state.windows) || state.windows < 0) throw new RangeError('windows is no count');
			checkCounts(state);
			if (state.logs.length !== made.#logs.length || !state.logs.every(Number.isFinite))
				throw new RangeError('capital does not fit the stakes');
			if (!(state.logEvidenceMax >= 0)) throw new RangeError('the largest evidence is below 1');
		} catch (cause) {
			throw damaged(cause instanceof Error ? cause.message : String(cause), cause);
		}
		made.#windows = state.windows;
		made.#candidate = state.candidate;
		made.#candidateBad = state.candidateBad;
		made.#control = state.control;
		made.#controlBad = state.controlBad;
		made.#logs.set(state.logs);
		made.#logEvidenceMax = state.logEvidenceMax;
		made.#weigh();
		return made;
	}

	#weigh(): void {
		const most = Math.max(...this.#logs);
		const sum = this.#logs.reduce((total, log) => total + Math.exp(log - most), 0);
		this.#logEvidence = most + Math.log(sum / this.#logs.length);
		this.#logEvidenceMax = Math.max(this.#logEvidenceMax, this.#logEvidence);
	}
}

function checkCounts({ candidate, candidateBad, control, controlBad }: RateWindow): void {
	const arms = [
		[candidate, candidateBad],
		[control, controlBad],
	] as const;
	for (const [requests, bad] of arms)
		if (!Number.isSafeInteger(requests) || !Number.isSafeInteger(bad) || bad < 0 || bad > requests)
			throw new RangeError(`${bad} bad of ${requests} requests cannot be`);
}

function damaged(why: string, cause?: unknown): MeshError {
	return new MeshError(statisticsErrors, 'IM_STATISTICS_STATE', `an e-process of shares cannot be resumed: ${why}`, {
		cause,
	});
}
