// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
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
}

/** Its configuration. */
export class config {
	/** tokens: prompt tokens that one request now decoding is worth; 1 only parts targets on which nothing waits (default 1) */
	@inline
	static get decode_tokens(): f32 {
		return load<f32>(configAddress(), 0);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_PENDING_TOKENS: u32 = 0;
export const FACTOR_DECODES: u32 = 1;
export const FACTOR_COUNT: u32 = 2;
