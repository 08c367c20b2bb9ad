// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** requests: requests this mesh has sent and not yet seen end; always fresh */
	@inline
	static get inflight(): F32Column {
		return changetype<F32Column>(columnAddress(13));
	}
}

/** Its configuration. */
export class config {
	/** requests: difference between most and fewest requests above which only the least loaded targets are considered (default 8) */
	@inline
	static get imbalance_requests(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** standard deviations above the mean load up to which a target that holds the prefix is taken (default 1) */
	@inline
	static get sigma_factor(): f32 {
		return load<f32>(configAddress(), 4);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_MATCHED_TOKENS: u32 = 0;
export const FACTOR_INFLIGHT: u32 = 1;
export const FACTOR_INFLIGHT_MAX: u32 = 2;
export const FACTOR_COUNT: u32 = 3;
