// Owns the records by which adapters report what they saw of a target: one type per kind of source, fields all optional.
// Adapters fill them, fusion turns them into columns and judges their age. No smoothing, no default and no guess happens
// here: a field that is absent was not seen, which is not the same as zero.
// Units stand last in a name; a name without one is a count or a ratio as its comment says.

/** What one look at an inference runtime told: a scrape of its metrics, or a load report on a response. */
export interface ModelStateDelta {
	/** When it was observed, in the observer's monotonic clock, ms. */
	readonly observedAtMs: number;
	/** Time between the two looks that rates, ratios of increases and percentiles come from, ms. Absent on a first look. */
	readonly intervalMs?: number;
	/** The runtime restarted between the two looks: its counters began anew and its caches are empty. */
	readonly restarted?: boolean;

	/** Requests waiting in the engine, all data-parallel engines of the process together. */
	readonly queueDepth?: number;
	/** Requests in execution batches, all engines together. */
	readonly running?: number;
	/** Most sequences the engine runs at once. */
	readonly maxSequences?: number;

	/** Used share of the KV cache, 0 to 1; of several engines the fullest. */
	readonly kvUsage?: number;
	/** KV blocks of all engines. */
	readonly kvBlocksTotal?: number;
	/** Tokens a KV block holds. */
	readonly kvBlockTokens?: number;
	/** KV blocks a new request could take: free, or cached and evictable. */
	readonly kvBlocksFree?: number;

	/** Prompt tokens computed (not taken from a cache, where the runtime tells) a second, over the interval, idle time included. */
	readonly prefillTokensPerSec?: number;
	/** Output tokens a second over the interval, idle time included. */
	readonly decodeTokensPerSec?: number;
	/** Prompt tokens since the runtime started, cached ones included. */
	readonly promptTokensTotal?: number;
	/** Output tokens since the runtime started. */
	readonly generationTokensTotal?: number;

	/** Mean time to first token of the requests that got theirs in the interval, ms. Absent when there were none. */
	readonly ttftMsMean?: number;
	/** 95th percentile of the same, interpolated in the runtime's own buckets; the last finite bound where it lies beyond, ms. */
	readonly ttftMsP95?: number;
	/** Mean time between output tokens in the interval, ms. Absent when there were none. */
	readonly tpotMsMean?: number;
	/** 95th percentile of the same, as for `ttftMsP95`, ms. */
	readonly tpotMsP95?: number;

	/** Share of prompt tokens found in the prefix cache in the interval, 0 to 1. Absent when nothing was asked for. */
	readonly prefixHitRatio?: number;
	/** Running requests pushed back for want of KV blocks, a second, over the interval. */
	readonly preemptionsPerSec?: number;
	/** Share of the requests that ended in the interval which ended in an error of the engine, 0 to 1. Absent when none ended. */
	readonly errorRatio?: number;

	/** LoRA adapters running or waiting, at most `deltaBounds.lorasMax`. */
	readonly loras?: readonly string[];
	/** Model names the runtime reports under, at most `deltaBounds.modelsMax`. */
	readonly models?: readonly string[];
	/** The engine sleeps (weights offloaded or dropped) and must be woken before it can serve. */
	readonly sleeping?: boolean;

	/** What should have been there and could not be read, and why; at most `deltaBounds.unreadMax` entries. Empty when all is well. */
	readonly unread: readonly string[];
}

/** Bounds of the lists in a delta, and of one string in them. */
export const deltaBounds = Object.freeze({ unreadMax: 32, unreadCharsMax: 200, modelsMax: 64, lorasMax: 256 });
