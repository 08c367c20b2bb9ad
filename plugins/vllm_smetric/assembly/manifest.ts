// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** tokens: uncached prompt tokens dispatched whose first token has not come back; always fresh */
	@inline
	static get pending_prefill_tokens(): F32Column {
		return changetype<F32Column>(columnAddress(15));
	}
	/** Mi pairs: pairs of a pending prompt token and a token before it, in 2^20: the part of pending prefill that attention takes; always fresh */
	@inline
	static get pending_prefill_pairs(): F32Column {
		return changetype<F32Column>(columnAddress(59));
	}
	/** tokens/s: prompt tokens a second this target prefills when busy, learned; initial value from the profile */
	@inline
	static get prefill_rate(): F32Column {
		return changetype<F32Column>(columnAddress(22));
	}
	/** requests: requests this mesh has sent and not yet seen end; always fresh */
	@inline
	static get inflight(): F32Column {
		return changetype<F32Column>(columnAddress(13));
	}
}

/** Its configuration. */
export class config {
	/** work of an uncached token (default 1) */
	@inline
	static get linear_cost(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** work of an uncached token for each token before it; 0 = priced by new tokens alone, as in the source (default 0) */
	@inline
	static get attention_cost(): f32 {
		return load<f32>(configAddress(), 4);
	}
	/** share of the expected prefix that must be cached for affinity (default 0.5) */
	@inline
	static get hit_ratio(): f32 {
		return load<f32>(configAddress(), 8);
	}
	/** share of the prompt that is expected to be cached; the source takes what the turn before has sent (default 0.5) */
	@inline
	static get history_share(): f32 {
		return load<f32>(configAddress(), 12);
	}
	/** factor of the objective (default 1) */
	@inline
	static get slack(): f32 {
		return load<f32>(configAddress(), 16);
	}
	/** ms: objective of an empty prompt (default 1000) */
	@inline
	static get ttft_base_ms(): f32 {
		return load<f32>(configAddress(), 20);
	}
	/** ms: what 1,000 prompt tokens add to the objective (default 62.5) */
	@inline
	static get ttft_per_1k_ms(): f32 {
		return load<f32>(configAddress(), 24);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_HIT_TOKENS: u32 = 0;
export const FACTOR_QUEUED_MS: u32 = 1;
export const FACTOR_SLO_MS: u32 = 2;
export const FACTOR_INFLIGHT: u32 = 3;
export const FACTOR_COUNT: u32 = 4;
