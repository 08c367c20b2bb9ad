// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column, U32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** hash: hash of the target’s id as text: the same on every router and after every restart, unlike `target` */
	@inline
	static get target_hash(): U32Column {
		return changetype<U32Column>(columnAddress(57));
	}
	/** requests: requests this mesh has sent and not yet seen end; always fresh */
	@inline
	static get inflight(): F32Column {
		return changetype<F32Column>(columnAddress(13));
	}
	/** ratio: used share of the KV cache, 0 to 1 */
	@inline
	static get kv_usage(): F32Column {
		return changetype<F32Column>(columnAddress(18));
	}
}

/** Its configuration. */
export class config {
	/** share of the prompt that must be cached for the owner of the prefix to be taken (default 0.3) */
	@inline
	static get cache_threshold(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** requests: a pool is out of balance where the most and the fewest requests in flight differ by more than this, and by balance_rel (default 64) */
	@inline
	static get balance_abs(): f32 {
		return load<f32>(configAddress(), 4);
	}
	/** and where the most are more than this many times the fewest (default 1.5) */
	@inline
	static get balance_rel(): f32 {
		return load<f32>(configAddress(), 8);
	}
	/** a pool is out of balance too where a KV cache is fuller than this; 1 = never (default 1) */
	@inline
	static get kv_overload(): f32 {
		return load<f32>(configAddress(), 12);
	}
	/** or where the uses of KV caches differ by more than this; 1 = never (default 1) */
	@inline
	static get kv_spread(): f32 {
		return load<f32>(configAddress(), 16);
	}
	/** choose by cache events, as over gRPC, any holder of the longest prefix, the one with the fewest in flight, without a threshold (default false) */
	@inline
	static get kv_events(): bool {
		return load<u32>(configAddress(), 20) != 0;
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_INFLIGHT: u32 = 0;
export const FACTOR_MATCH: u32 = 1;
export const FACTOR_IMBALANCED: u32 = 2;
export const FACTOR_COUNT: u32 = 3;
