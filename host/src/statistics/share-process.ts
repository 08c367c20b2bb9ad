// Owns the evidence that one arm gets more than its share of the bad outcomes, where the assignment is drawn anew in each block for groups of requests (sessions,
// tenants): a one-sided e-process over counts a block. Leaves how groups are drawn, and how long a block is, to the callers.
import { BetProcess, type BetState, checkCounts, type RateWindow, resumed } from './bet-process.js';

export interface ShareOptions {
	/** Probability of a false alarm over the whole life of the process, in (0, 1). */
	readonly alpha: number;
	/** Probability with which a group is the candidate's, in (0, 1): its expected share of the bad outcomes. */
	readonly share: number;
	/** Shares of the capital that may be lost in a block, in (0, 1), with even stakes; fixed before the first block. */
	readonly stakes: readonly number[];
}

export const shareDefaults = { alpha: 0.001, stakes: [0.05, 0.1, 0.2, 0.4, 0.7, 0.9] } as const;

export type ShareState = BetState<ShareOptions>;

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
export class ShareProcess extends BetProcess<ShareOptions> {
	constructor(options: Pick<ShareOptions, 'share'> & Partial<ShareOptions>) {
		const whole = { ...shareDefaults, ...options };
		const { alpha, share, stakes } = whole;
		for (const [name, value] of Object.entries({ alpha, share }))
			if (!(value > 0 && value < 1)) throw new RangeError(`${name} must be between 0 and 1, not ${value}`);
		if (stakes.length === 0 || stakes.length > 64 || stakes.some((one) => !(one > 0 && one < 1)))
			throw new RangeError('stakes are 1 to 64 numbers between 0 and 1');
		super(whole, stakes.length);
	}

	/** The process whose state it is. Throws `IM_STATISTICS_STATE` when it is none. */
	static resume(state: ShareState): ShareProcess {
		return resumed(state, 'an e-process of shares', () => new ShareProcess(state.options).restore(state));
	}

	/** Adds one block. Throws a RangeError for counts that cannot be. */
	observe(block: RateWindow): void {
		checkCounts(block);
		const { share, stakes } = this.options;
		const bad = block.candidateBad + block.controlBad;
		const excess = bad === 0 ? 0 : block.candidateBad / bad / share - 1;
		this.settle(block, (index) => Math.log1p((stakes[index] as number) * excess));
	}
}
