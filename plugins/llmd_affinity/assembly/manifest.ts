// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** requests: requests waiting in the engine at the last report */
	@inline
	static get queue_depth(): F32Column {
		return changetype<F32Column>(columnAddress(11));
	}
	/** ratio: used share of the KV cache, 0 to 1 */
	@inline
	static get kv_usage(): F32Column {
		return changetype<F32Column>(columnAddress(18));
	}
	/** tokens: uncached prompt tokens dispatched whose first token has not come back; always fresh */
	@inline
	static get pending_prefill_tokens(): F32Column {
		return changetype<F32Column>(columnAddress(15));
	}
}

/** Its configuration. */
export class config {
	/** cached share of the prompt from which a target is kept (default 0.8) */
	@inline
	static get affinity_threshold(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** ms: all targets stay where the best kept one is predicted to answer this much later than the best other (default 18000) */
	@inline
	static get ttft_penalty_max_ms(): f32 {
		return load<f32>(configAddress(), 4);
	}
	/** tokens/s: speed by which prompt tokens in flight are turned into time, for all targets alike (default 15928) */
	@inline
	static get prefill_tokens_per_s(): f32 {
		return load<f32>(configAddress(), 8);
	}
	/** weight of the queue scorer, 1 for the shortest queue and 0 for the longest (default 2) */
	@inline
	static get queue_weight(): f32 {
		return load<f32>(configAddress(), 12);
	}
	/** weight of the KV scorer, the free share of the cache (default 2) */
	@inline
	static get kv_weight(): f32 {
		return load<f32>(configAddress(), 16);
	}
	/** weight of the prefix scorer, the cached share of the prompt (default 3) */
	@inline
	static get prefix_weight(): f32 {
		return load<f32>(configAddress(), 20);
	}
	/** worth of a prefix in host memory; the approximate index of the source knows no tiers, its precise one takes 0.8 (default 1) */
	@inline
	static get host_share(): f32 {
		return load<f32>(configAddress(), 24);
	}
	/** worth of a prefix on disk or in a shared store (default 1) */
	@inline
	static get disk_share(): f32 {
		return load<f32>(configAddress(), 28);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_QUEUE: u32 = 0;
export const FACTOR_KV: u32 = 1;
export const FACTOR_PREFIX: u32 = 2;
export const FACTOR_DROPPED: u32 = 3;
export const FACTOR_COUNT: u32 = 4;
