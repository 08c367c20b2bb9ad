// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** tokens/s: prompt tokens a second this target prefills when busy, learned; initial value from the profile */
	@inline
	static get prefill_rate(): F32Column {
		return changetype<F32Column>(columnAddress(22));
	}
	/** tokens: uncached prompt tokens dispatched whose first token has not come back; always fresh */
	@inline
	static get pending_prefill_tokens(): F32Column {
		return changetype<F32Column>(columnAddress(15));
	}
	/** MB/s: bandwidth to the target’s node, as transfers and `infermesh topology probe` have shown; 0 = unknown */
	@inline
	static get bandwidth_mbps(): F32Column {
		return changetype<F32Column>(columnAddress(30));
	}
}

/** Its configuration. */
export class config {
	/** share of a token's prefill that each token of context before it adds (default 0.000035) */
	@inline
	static get attention_per_token(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** a prefix is fetched from its best holder when that has this many times what the target has; 0 = never (default 0) */
	@inline
	static get fetch_ratio(): f32 {
		return load<f32>(configAddress(), 4);
	}
	/** KiB: KV cache of a token, for the time a fetch takes (default 320) */
	@inline
	static get kv_kib_per_token(): f32 {
		return load<f32>(configAddress(), 8);
	}
	/** MB/s: bandwidth of a fetch where the target's is not known (default 34000) */
	@inline
	static get transfer_mbps(): f32 {
		return load<f32>(configAddress(), 12);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_TRANSFER_MS: u32 = 0;
export const FACTOR_QUEUE_MS: u32 = 1;
export const FACTOR_PREFILL_MS: u32 = 2;
export const FACTOR_COUNT: u32 = 3;
