// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** requests: waiting + running at the last report, plus dispatched since, less completed since; at least inflight */
	@inline
	static get load(): F32Column {
		return changetype<F32Column>(columnAddress(14));
	}
}

/** Its configuration. */
export class config {
	/** cached shares of a prompt that a load of twice the mean outweighs (default 1) */
	@inline
	static get beta(): f32 {
		return load<f32>(configAddress(), 0);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_LOAD_SHARE: u32 = 0;
export const FACTOR_CACHED_SHARE: u32 = 1;
export const FACTOR_COUNT: u32 = 2;
