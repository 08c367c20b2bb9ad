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
}

/** Its configuration. */
export class config {
	/** weight of the queue scorer, 1 for the shortest queue and 0 for the longest (default 2) */
	@inline
	static get queue_weight(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** weight of the KV scorer, the free share of the cache (default 2) */
	@inline
	static get kv_weight(): f32 {
		return load<f32>(configAddress(), 4);
	}
	/** weight of the prefix scorer, the cached share of the prompt (default 3) */
	@inline
	static get prefix_weight(): f32 {
		return load<f32>(configAddress(), 8);
	}
	/** worth of a prefix in host memory; the approximate index of the source knows no tiers, its precise one takes 0.8 (default 1) */
	@inline
	static get host_share(): f32 {
		return load<f32>(configAddress(), 12);
	}
	/** worth of a prefix on disk or in a shared store (default 1) */
	@inline
	static get disk_share(): f32 {
		return load<f32>(configAddress(), 16);
	}
	/** share of the prefix score that goes by cached tokens instead, squared, up to 8192 (default 0) */
	@inline
	static get long_prefix_weight(): f32 {
		return load<f32>(configAddress(), 20);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_QUEUE: u32 = 0;
export const FACTOR_KV: u32 = 1;
export const FACTOR_PREFIX: u32 = 2;
export const FACTOR_COUNT: u32 = 3;
