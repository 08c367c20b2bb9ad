// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column } from 'infermesh';

/** The columns this strategy reads. */
export class columns {
	/** tokens: uncached prompt tokens dispatched whose first token has not come back; always fresh */
	@inline
	static get pending_prefill_tokens(): F32Column {
		return changetype<F32Column>(columnAddress(15));
	}
	/** tokens: context tokens of requests now decoding; always fresh */
	@inline
	static get active_decode_tokens(): F32Column {
		return changetype<F32Column>(columnAddress(16));
	}
	/** requests: requests this mesh has sent and not yet seen end; always fresh */
	@inline
	static get inflight(): F32Column {
		return changetype<F32Column>(columnAddress(13));
	}
}

/** Its configuration. */
export class config {
	/** tokens: tokens in a block, the unit of the cost (default 16) */
	@inline
	static get block_tokens(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** weight of prefill blocks against decode blocks (default 1) */
	@inline
	static get prefill_scale(): f32 {
		return load<f32>(configAddress(), 4);
	}
	/** worth of a block cached on the device (default 1) */
	@inline
	static get device_credit(): f32 {
		return load<f32>(configAddress(), 8);
	}
	/** worth of a block cached in host memory (default 0.75) */
	@inline
	static get host_credit(): f32 {
		return load<f32>(configAddress(), 12);
	}
	/** worth of a block cached on disk (default 0.25) */
	@inline
	static get disk_credit(): f32 {
		return load<f32>(configAddress(), 16);
	}
	/** worth of a block in a shared store (default 0.5) */
	@inline
	static get shared_credit(): f32 {
		return load<f32>(configAddress(), 20);
	}
	/** how fast the worth of blocks on the device falls with the prefill a target has more than the least busy one; 0 = not (default 0) */
	@inline
	static get credit_decay(): f32 {
		return load<f32>(configAddress(), 24);
	}
	/** blocks: what each request in flight adds (default 0) */
	@inline
	static get request_weight(): f32 {
		return load<f32>(configAddress(), 28);
	}
	/** draws by softmax over the costs of the ranked targets, scaled to 0..1 over the pool, where the host explores; 0 = the least cost (default 0) */
	@inline
	static get temperature(): f32 {
		return load<f32>(configAddress(), 32);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_PREFILL_BLOCKS: u32 = 0;
export const FACTOR_DECODE_BLOCKS: u32 = 1;
export const FACTOR_REQUEST_BLOCKS: u32 = 2;
export const FACTOR_COUNT: u32 = 3;
