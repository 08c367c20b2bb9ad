// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column, U32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** hash: hash of the target’s id as text: the same on every router and after every restart, unlike `target` */
	@inline
	static get target_hash(): U32Column {
		return changetype<U32Column>(columnAddress(57));
	}
	/** requests: requests this mesh has sent and not yet seen end; always fresh */
	@inline
	static get inflight(): F32Column {
		return changetype<F32Column>(columnAddress(13));
	}
	/** operator weight; 1 = normal */
	@inline
	static get weight(): F32Column {
		return changetype<F32Column>(columnAddress(10));
	}
}

/** Its configuration. */
export class config {
	/** a target that has this many times its share of what is in flight is passed over, for the next one on the ring (default 1.25) */
	@inline
	static get load_factor(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** hash the beginning of the prompt even where the request has a session (default false) */
	@inline
	static get by_prompt(): bool {
		return load<u32>(configAddress(), 4) != 0;
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_RING_SHARE: u32 = 0;
export const FACTOR_OVER: u32 = 1;
export const FACTOR_COUNT: u32 = 2;
