// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, F32Column } from 'infermesh';

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
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_COUNT: u32 = 0;
