// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, F32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** requests: waiting + running at the last report, plus dispatched since, less completed since; at least inflight */
	@inline
	static get load(): F32Column {
		return changetype<F32Column>(columnAddress(14));
	}
	/** operator weight; 1 = normal */
	@inline
	static get weight(): F32Column {
		return changetype<F32Column>(columnAddress(10));
	}
	/** ratio: share of its normal traffic a recovering target should get, 0 to 1 */
	@inline
	static get slow_start(): F32Column {
		return changetype<F32Column>(columnAddress(47));
	}
}

/** Its configuration. */
export class config {
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_COUNT: u32 = 0;
