// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column, U32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** id: interned target id: one model replica on a GPU slice or data-parallel rank */
	@inline
	static get target(): U32Column {
		return changetype<U32Column>(columnAddress(0));
	}
	/** tokens/s: prompt tokens a second this target prefills when busy, learned; initial value from the profile */
	@inline
	static get prefill_rate(): F32Column {
		return changetype<F32Column>(columnAddress(22));
	}
	/** tokens/s: output tokens a second over all its sequences, learned */
	@inline
	static get decode_rate(): F32Column {
		return changetype<F32Column>(columnAddress(23));
	}
	/** tokens: uncached prompt tokens dispatched whose first token has not come back; always fresh */
	@inline
	static get pending_prefill_tokens(): F32Column {
		return changetype<F32Column>(columnAddress(15));
	}
	/** requests: requests now decoding; always fresh */
	@inline
	static get active_decodes(): F32Column {
		return changetype<F32Column>(columnAddress(17));
	}
	/** blocks: free KV blocks */
	@inline
	static get kv_free_blocks(): F32Column {
		return changetype<F32Column>(columnAddress(19));
	}
	/** tokens: tokens in a KV block */
	@inline
	static get kv_block_tokens(): F32Column {
		return changetype<F32Column>(columnAddress(21));
	}
	/** ratio: cached share of prompt tokens over the last interval */
	@inline
	static get prefix_hit_ratio(): F32Column {
		return changetype<F32Column>(columnAddress(43));
	}
}

/** Its configuration. */
export class config {
	/** ms: how long finished work counts as load of its target; it fades with this time constant (default 180000) */
	@inline
	static get window_ms(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** cached tokens for each missing one from which a holder is taken (default 1) */
	@inline
	static get exploit_ratio(): f32 {
		return load<f32>(configAddress(), 4);
	}
	/** a holder with more than this many times the least load is not taken for its cache (default 2) */
	@inline
	static get rebalance_ratio(): f32 {
		return load<f32>(configAddress(), 8);
	}
	/** weight of the work that evicting for this request may cause (default 1) */
	@inline
	static get eviction_weight(): f32 {
		return load<f32>(configAddress(), 12);
	}
	/** weight of the work a target has finished in the window; 0 = only what it is doing counts (default 0) */
	@inline
	static get past_weight(): f32 {
		return load<f32>(configAddress(), 16);
	}
	/** weight of output tokens in the load, past and present, against prompt tokens (default 0) */
	@inline
	static get decode_weight(): f32 {
		return load<f32>(configAddress(), 20);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_PAST_MS: u32 = 0;
export const FACTOR_PRESENT_MS: u32 = 1;
export const FACTOR_EVICTION_MS: u32 = 2;
export const FACTOR_PREFILL_MS: u32 = 3;
export const FACTOR_EXPLOITED: u32 = 4;
export const FACTOR_COUNT: u32 = 5;
