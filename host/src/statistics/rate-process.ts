// Owns the evidence that one arm's rate of bad outcomes is higher than another's: a one-sided e-process over counts a window, for canaries.
// Leaves what is a bad outcome, and the length of a window, to the callers.
import { BetProcess, type BetState, checkCounts, logSumExp, type RateWindow, resumed } from './bet-process.js';

export interface RateOptions {
	/** Probability of a false alarm over the whole life of the process, in (0, 1). */
	readonly alpha: number;
	/** Odds ratios above 1 that are bet on, with even stakes; fixed before the first window. */
	readonly oddsRatios: readonly number[];
}

export const rateDefaults: RateOptions = { alpha: 0.001, oddsRatios: [1.5, 2, 4, 8] };
/** Requests an arm may have in one window: above it a window costs too much to judge. */
export const WINDOW_REQUESTS_MAX = 10_000_000;

export type RateState = BetState<RateOptions>;

/**
 * Tests H0: in every window, the candidate's probability of a bad outcome is at most the control's. In a window with n₁ and n₀ requests, B₁ and B₀ of them
 * bad, and b = B₁ + B₀, the bet on odds ratio ω > 1 pays
 *
 *     E_ω = ω^{B₁} / M(b),      M(b) = Σ_k ω^k C(n₁,k) C(n₀,b−k) / C(n₁+n₀,b)
 *
 * (the likelihood ratio of Fisher's conditional test: the non-central hypergeometric distribution at ω against ω = 1). The process is the mean over the
 * chosen ω of the products over windows; the alarm is its first time at or above 1/α.
 *
 * Proof that it is an e-process. (1) Where both arms have the same probability, or where outcomes are what they are and only which requests were the
 * candidate's was drawn at random (all sets of n₁ alike), B₁ given b is hypergeometric and E[E_ω | b, past] = 1 exactly. (2) With B₀ fixed, E_ω rises in B₁:
 * hypergeometric variables of b and b + 1 draws can be coupled so that the second is at most one more, so M(b+1) ≤ ω M(b) and
 * E_ω(B₁+1, B₀) / E_ω(B₁, B₀) = ω M(b)/M(b+1) ≥ 1. (3) Under H0, B₁ is stochastically smaller than at equality with the control's probability while B₀ is
 * as there (independent outcomes), or request by request no larger (the candidate makes no request bad that the control would have served well, assignment at
 * random, whatever the dependence between outcomes); by (2) E[E_ω | past] ≤ 1. (4) So each product is a non-negative supermartingale from 1, and so is their
 * mean with fixed weights; Ville's inequality gives P(ever ≥ 1/α) ≤ α. Nothing is asked of rates across windows: they may move with load, for both arms
 * together. Numbers of requests may depend on the past in any way. A window where one arm is empty pays 1: no evidence.
 *
 * What it does not hold for: requests of one session that fail together count as one draw of the assignment only if the assignment is by request; where it is
 * by session, give sessions (bad = any bad request) instead of requests.
 * Source of the construction: conditional e-variables for two-by-two tables as in Turner, Ly and Grünwald, "Generic e-variables for exact sequential
 * k-sample tests", 2024; conditional test: Fisher 1935.
 */
export class RateProcess extends BetProcess<RateOptions> {
	constructor(options: Partial<RateOptions> = {}) {
		const whole = { ...rateDefaults, ...options };
		const { alpha, oddsRatios } = whole;
		if (!(alpha > 0 && alpha < 1)) throw new RangeError(`alpha must be between 0 and 1, not ${alpha}`);
		if (oddsRatios.length === 0 || oddsRatios.length > 64 || oddsRatios.some((one) => !(one > 1 && one <= 1e6)))
			throw new RangeError('odds ratios are 1 to 64 numbers above 1');
		super(whole, oddsRatios.length);
	}

	/** The process whose state it is. Throws `IM_STATISTICS_STATE` when it is none. */
	static resume(state: RateState): RateProcess {
		return resumed(state, 'an e-process', () => new RateProcess(state.options).restore(state));
	}

	/** Adds one window. Throws a RangeError for counts that cannot be, and for more than `WINDOW_REQUESTS_MAX` of an arm. */
	observe(window: RateWindow): void {
		checkCounts(window);
		checkSize(window.candidate, 'candidate');
		checkSize(window.control, 'control');
		const weights = hypergeometricLogWeights(window);
		const { oddsRatios } = this.options;
		this.settle(window, (index) => {
			const log = Math.log(oddsRatios[index] as number);
			return window.candidateBad * log - logMeanPower(weights, log);
		});
	}
}

/** Log weights of k = first … of the hypergeometric distribution, up to a constant. */
interface LogWeights {
	readonly first: number;
	readonly logs: Float64Array;
}

function hypergeometricLogWeights({ candidate, candidateBad, control, controlBad }: RateWindow): LogWeights {
	const bad = candidateBad + controlBad;
	const first = Math.max(0, bad - control);
	const last = Math.min(bad, candidate);
	const logs = new Float64Array(last - first + 1);
	for (let k = first; k < last; k++) {
		const ratio = ((candidate - k) * (bad - k)) / ((k + 1) * (control - bad + k + 1));
		logs[k - first + 1] = (logs[k - first] as number) + Math.log(ratio);
	}
	return { first, logs };
}

/** log M: the logarithm of the mean of ω^k. */
function logMeanPower({ first, logs }: LogWeights, logRatio: number): number {
	return logSumExp(logs.map((log, index) => log + (first + index) * logRatio)) - logSumExp(logs);
}

function checkSize(requests: number, arm: string): void {
	if (requests > WINDOW_REQUESTS_MAX)
		throw new RangeError(`${arm}: ${requests} requests in one window, more than ${WINDOW_REQUESTS_MAX}`);
}
