// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
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
	/** blocks: KV blocks in all; 0 = unknown */
	@inline
	static get kv_total_blocks(): F32Column {
		return changetype<F32Column>(columnAddress(20));
	}
}

/** Its configuration. */
export class config {
	/** compare KV-cache use instead, where both targets report it (default false) */
	@inline
	static get by_kv(): bool {
		return load<u32>(configAddress(), 0) != 0;
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 2;
export const FACTOR_INFLIGHT: u32 = 0;
export const FACTOR_KV_USAGE: u32 = 1;
export const FACTOR_COUNT: u32 = 2;
