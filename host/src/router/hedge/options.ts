// Owns the options of hedging and their defaults: for the router, and for single models.

export interface HedgeOptions {
	/** Extra copies of a request for which the strategy asks none; 0 = only strategies ask. */
	readonly copies: number;
	/** Most extra copies of one request, whoever asks; 0 = hedging is off. */
	readonly copiesMax: number;
	/** Wait for a first token before a copy is sent, where the strategy names none; 0 = adaptive. */
	readonly delayMs: number;
	/** Adaptive wait: this quantile of the model's recent times to first token. */
	readonly delayQuantile: number;
	/** No wait is shorter. */
	readonly delayMsMin: number;
	/** Tokens that copies may cost, as a share of the tokens served. */
	readonly budgetRatio: number;
	/** Unused budget kept at most. */
	readonly budgetTokensMax: number;
	/** A target with more requests waiting in its engine has no room for copies. */
	readonly queueMax: number;
	/** A target with more of its KV cache in use has no room for copies. */
	readonly kvUsageMax: number;
}

export interface HedgingOptions extends HedgeOptions {
	/** What differs for single models. */
	readonly models: Readonly<Record<string, Partial<HedgeOptions>>>;
}

export const hedgingDefaults: HedgingOptions = {
	copies: 0,
	copiesMax: 1,
	delayMs: 0,
	delayQuantile: 0.95,
	delayMsMin: 20,
	budgetRatio: 0.05,
	budgetTokensMax: 65_536,
	queueMax: 0,
	kvUsageMax: 0.8,
	models: {},
};
