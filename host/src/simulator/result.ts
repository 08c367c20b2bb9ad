// Owns what one simulation answers: totals, distributions, timelines and, when asked for, a row a request. Plain data: it crosses threads, and is written
// as JSON. Times are milliseconds unless a name says otherwise.

/** Of a set of values; NaN-free: all 0 when there was none. */
export interface Distribution {
	readonly count: number;
	readonly mean: number;
	readonly p50: number;
	readonly p90: number;
	readonly p95: number;
	readonly p99: number;
	readonly max: number;
}

/** How a request ended. Index = the number kept in `RequestRows.status`. */
export const requestStatuses = ['finished', 'rejected', 'failed', 'timed_out', 'unfinished'] as const;
export type RequestStatus = (typeof requestStatuses)[number];

/** One entry a request, in order of arrival. */
export interface RequestRows {
	readonly arrivalMs: Float64Array;
	readonly inputTokens: Uint32Array;
	readonly outputTokens: Uint32Array;
	/** −1 where no token came. */
	readonly ttftMs: Float64Array;
	/** −1 where fewer than two tokens came. */
	readonly tpotMs: Float64Array;
	readonly e2eMs: Float64Array;
	readonly heldMs: Float64Array;
	/** Index into `targets`; −1 = none. */
	readonly target: Int32Array;
	readonly arm: Uint8Array;
	readonly status: Uint8Array;
	readonly cachedTokens: Uint32Array;
	/** Probability with which the target was drawn. */
	readonly propensity: Float32Array;
	/** Where an arm was asked: 1 when it would have chosen the request's target, 0 when another, −1 when one that could not have been drawn. */
	readonly asked?: Int8Array;
	readonly good: Uint8Array;
}

export interface StrategyCosts {
	readonly label: string;
	readonly digest: string;
	readonly decisions: number;
	/** By cause, the fallback's decisions. */
	readonly fallbacks: Readonly<Record<string, number>>;
	/** Null of a native library, like the next: it is not metered. */
	readonly fuelMean: number | null;
	readonly fuelMax: number | null;
	readonly trap?: string;
}

export interface TargetTotals {
	readonly id: string;
	readonly requests: number;
	readonly busyShare: number;
	readonly prefillTokens: number;
	readonly decodeTokens: number;
	readonly preemptions: number;
}

/** Per bin of time and target: `values[target * bins + bin]`. */
export interface Timelines {
	readonly bins: number;
	readonly binMs: number;
	/** Mean requests in flight. */
	readonly inflight: Float32Array;
	readonly waiting: Float32Array;
	readonly kvUsage: Float32Array;
	/** Per bin over the fleet: mean TTFT of the requests that arrived in it; −1 = none. */
	readonly ttftMs: Float32Array;
}

export interface ArmSummary {
	readonly arm: number;
	readonly requests: number;
	readonly ttft: Distribution;
	readonly goodput: number;
}

export interface SimulationSummary {
	readonly requests: number;
	readonly finished: number;
	readonly rejected: number;
	readonly failed: number;
	readonly timedOut: number;
	/** Were under way when the simulation ended: counted as not good. */
	readonly unfinished: number;
	readonly ttft: Distribution;
	readonly tpot: Distribution;
	readonly e2e: Distribution;
	/** Time held at the router, over those held. */
	readonly held: Distribution;
	/** Share of all requests that met the objective, 0..1. */
	readonly goodput: number;
	/** Prompt tokens found cached over all prompt tokens of admitted requests, 0..1. */
	readonly hitRatio: number;
	/** Largest busy time of a target over the mean. */
	readonly imbalance: number;
	readonly preemptions: number;
	readonly retries: number;
	readonly hedges: number;
	/** Tokens computed by losing copies over all tokens computed, 0..1. */
	readonly hedgeWaste: number;
	readonly fetches: number;
	/** Σ (cost of the choice − least cost) under the common predictor, milliseconds a decision. */
	readonly regretMs: number;
	readonly arms: readonly ArmSummary[];
}

export interface SimulationResult {
	readonly name: string;
	readonly strategies: readonly StrategyCosts[];
	readonly targets: readonly TargetTotals[];
	readonly summary: SimulationSummary;
	readonly timelines?: Timelines;
	readonly rows?: RequestRows;
	/** SHA-256 over everything that happened: equal for equal spec, workload and strategies. */
	readonly digest: string;
	/** Simulated time, and what it took. */
	readonly simulatedMs: number;
	readonly wallMs: number;
	readonly events: number;
	/** Set when the run could not be carried through: what there is of it is partial. */
	readonly partial?: string;
}
