// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column, U32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** tokens: uncached prompt tokens dispatched whose first token has not come back; always fresh */
	@inline
	static get pending_prefill_tokens(): F32Column {
		return changetype<F32Column>(columnAddress(15));
	}
	/** tokens/s: output tokens a second over all its sequences, learned */
	@inline
	static get decode_rate(): F32Column {
		return changetype<F32Column>(columnAddress(23));
	}
	/** ratio: used share of the KV cache, 0 to 1 */
	@inline
	static get kv_usage(): F32Column {
		return changetype<F32Column>(columnAddress(18));
	}
	/** requests: requests this mesh has sent and not yet seen end; always fresh */
	@inline
	static get inflight(): F32Column {
		return changetype<F32Column>(columnAddress(13));
	}
	/** ms: mesh clock of the last runtime report; telemetry age = Request.now_ms − this (modulo 2^32) */
	@inline
	static get telemetry_at_ms(): U32Column {
		return changetype<U32Column>(columnAddress(8));
	}
}

/** Its configuration. */
export class config {
	/** tokens/s: generation speed of a target that has none (default 2000) */
	@inline
	static get throughput_unknown(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** s: charge of a half-full KV cache; k/(1-k) times it for a share k in use (default 0.15) */
	@inline
	static get kv_weight(): f32 {
		return load<f32>(configAddress(), 4);
	}
	/** a fuller cache counts as this full (default 0.999) */
	@inline
	static get kv_usage_max(): f32 {
		return load<f32>(configAddress(), 8);
	}
	/** tokens: what one request in flight is worth on a target that has never reported (default 1024) */
	@inline
	static get unreported_tokens(): f32 {
		return load<f32>(configAddress(), 12);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_QUEUE_S: u32 = 0;
export const FACTOR_KV_S: u32 = 1;
export const FACTOR_COUNT: u32 = 2;
