// Generated from strategy.yaml by the build. Do not edit.
import { columnAddress, configAddress, F32Column, U32Column } from 'infermesh';

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
	/** Mi pairs: pairs of a pending prompt token and a token before it, in 2^20: the part of pending prefill that attention takes; always fresh */
	@inline
	static get pending_prefill_pairs(): F32Column {
		return changetype<F32Column>(columnAddress(59));
	}
	/** ms: mesh clock since when the first of what is pending is being prefilled: the last first token, or the dispatch to a target with nothing pending (modulo 2^32; says nothing while nothing is pending) */
	@inline
	static get prefill_at_ms(): U32Column {
		return changetype<U32Column>(columnAddress(60));
	}
	/** requests: waiting + running at the last report, plus dispatched since, less completed since; at least inflight */
	@inline
	static get load(): F32Column {
		return changetype<F32Column>(columnAddress(14));
	}
	/** ratio: used share of the KV cache, 0 to 1 */
	@inline
	static get kv_usage(): F32Column {
		return changetype<F32Column>(columnAddress(18));
	}
	/** blocks: free KV blocks */
	@inline
	static get kv_free_blocks(): F32Column {
		return changetype<F32Column>(columnAddress(19));
	}
	/** tokens: tokens in a KV block */
	@inline
	static get kv_block_tokens(): F32Column {
		return changetype<F32Column>(columnAddress(21));
	}
	/** ms: round-trip time from this router to the target’s node; rtt_basis says how it is known, 0 where it is not */
	@inline
	static get rtt_ms(): F32Column {
		return changetype<F32Column>(columnAddress(29));
	}
	/** ratio: failed share of recent requests, smoothed, 0 to 1 */
	@inline
	static get error_ratio(): F32Column {
		return changetype<F32Column>(columnAddress(28));
	}
	/** ratio: health score, 1 = sound, 0 = out */
	@inline
	static get health(): F32Column {
		return changetype<F32Column>(columnAddress(40));
	}
	/** ratio: share of its normal traffic a recovering target should get, 0 to 1 */
	@inline
	static get slow_start(): F32Column {
		return changetype<F32Column>(columnAddress(47));
	}
	/** operator weight; 1 = normal */
	@inline
	static get weight(): F32Column {
		return changetype<F32Column>(columnAddress(10));
	}
	/** ms: mesh clock of the last runtime report; telemetry age = Request.now_ms − this (modulo 2^32) */
	@inline
	static get telemetry_at_ms(): U32Column {
		return changetype<U32Column>(columnAddress(8));
	}
	/** bool: 1 = can fetch a cached prefix from another target, 0 = cannot */
	@inline
	static get fetches_prefixes(): U32Column {
		return changetype<U32Column>(columnAddress(58));
	}
	/** MB/s: bandwidth to the target’s node, as transfers and `infermesh topology probe` have shown; 0 = unknown */
	@inline
	static get bandwidth_mbps(): F32Column {
		return changetype<F32Column>(columnAddress(30));
	}
}

/** Its configuration. */
export class config {
	/** tokens: prompt tokens that one request already there is worth, whatever its prompt (default 32) */
	@inline
	static get request_tokens(): f32 {
		return load<f32>(configAddress(), 0);
	}
	/** tokens: prompt tokens that each expected output token costs for each request already there (default 0.1) */
	@inline
	static get output_share(): f32 {
		return load<f32>(configAddress(), 4);
	}
	/** charge of own prefill wherever it is done, per millisecond of it; what makes a cached prefix worth more than the time it saves (default 1) */
	@inline
	static get own_weight(): f32 {
		return load<f32>(configAddress(), 8);
	}
	/** charge of a millisecond of own prefill where requests will come behind it, approached as what is before it grows (default 0.7) */
	@inline
	static get crowd_weight(): f32 {
		return load<f32>(configAddress(), 12);
	}
	/** ms: cost before own prefill at which half of crowd_weight is charged (default 850) */
	@inline
	static get crowd_ms(): f32 {
		return load<f32>(configAddress(), 16);
	}
	/** charge of a millisecond in which own prefill keeps a target while all others are busy; falls with the square of the busy share (default 2) */
	@inline
	static get busy_weight(): f32 {
		return load<f32>(configAddress(), 20);
	}
	/** ms: mean prefill time of a request; the steps in which the pool's backlog is looked at are multiples of it (default 500) */
	@inline
	static get service_ms(): f32 {
		return load<f32>(configAddress(), 24);
	}
	/** ms: cost of a full KV cache; rises with the eighth power of its use (default 1000) */
	@inline
	static get kv_pressure_ms(): f32 {
		return load<f32>(configAddress(), 28);
	}
	/** prompt tokens of waiting for each KV token that is needed and not free (default 2) */
	@inline
	static get shortage_weight(): f32 {
		return load<f32>(configAddress(), 32);
	}
	/** cost of a millisecond of round-trip time (default 1) */
	@inline
	static get rtt_weight(): f32 {
		return load<f32>(configAddress(), 36);
	}
	/** ms: cost of a certain failure (default 5000) */
	@inline
	static get error_ms(): f32 {
		return load<f32>(configAddress(), 40);
	}
	/** ms: age at which a report counts as stale (default 2000) */
	@inline
	static get stale_after_ms(): i32 {
		return load<i32>(configAddress(), 44);
	}
	/** cost of a millisecond of age beyond that (default 0.01) */
	@inline
	static get stale_weight(): f32 {
		return load<f32>(configAddress(), 48);
	}
	/** ms: age beyond stale_after_ms that costs no more (default 10000) */
	@inline
	static get stale_max_ms(): i32 {
		return load<i32>(configAddress(), 52);
	}
	/** worth of a prefix cached in host memory (default 0.98) */
	@inline
	static get host_share(): f32 {
		return load<f32>(configAddress(), 56);
	}
	/** worth of a prefix cached on disk or in a shared store (default 0.25) */
	@inline
	static get disk_share(): f32 {
		return load<f32>(configAddress(), 60);
	}
	/** ms: predicted wait on every target above which the request is held at the router, shortest first; 0 = never (default 0) */
	@inline
	static get hold_above_ms(): f32 {
		return load<f32>(configAddress(), 64);
	}
	/** ms: time to load the LoRA adapter of the request where it is not loaded; counts once some target has it (default 250) */
	@inline
	static get lora_load_ms(): f32 {
		return load<f32>(configAddress(), 68);
	}
	/** share of a token's prefill that each token of context before it adds (default 0.000027) */
	@inline
	static get attention_per_token(): f32 {
		return load<f32>(configAddress(), 72);
	}
	/** share of what is pending that counts however long it has been prefilled (default 0.15) */
	@inline
	static get queue_floor(): f32 {
		return load<f32>(configAddress(), 76);
	}
	/** have targets that can fetch a cached prefix from its best holder, where that is cheaper (default true) */
	@inline
	static get fetch(): bool {
		return load<u32>(configAddress(), 80) != 0;
	}
	/** ms: time a fetch takes beside the transfer (default 10) */
	@inline
	static get fetch_ms(): f32 {
		return load<f32>(configAddress(), 84);
	}
	/** KiB: KV cache of a token, for the time a fetch takes (default 320) */
	@inline
	static get kv_kib_per_token(): f32 {
		return load<f32>(configAddress(), 88);
	}
	/** MB/s: bandwidth of a fetch where the target's is not known (default 10000) */
	@inline
	static get transfer_mbps(): f32 {
		return load<f32>(configAddress(), 92);
	}
	/** ms: time after which a held request is routed all the same; shorter than the router's own bound, which refuses it (default 20000) */
	@inline
	static get hold_max_ms(): f32 {
		return load<f32>(configAddress(), 96);
	}
	/** requests: requests held at once beyond which others are routed (default 256) */
	@inline
	static get hold_count_max(): u32 {
		return load<u32>(configAddress(), 100);
	}
	/** seconds of being held that outweigh a second of own prefill, at the router's usual ageing (default 5) */
	@inline
	static get hold_patience(): f32 {
		return load<f32>(configAddress(), 104);
	}
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_PREFILL_MS: u32 = 0;
export const FACTOR_SAVED_MS: u32 = 1;
export const FACTOR_QUEUE_MS: u32 = 2;
export const FACTOR_BUSY_MS: u32 = 3;
export const FACTOR_KV_MS: u32 = 4;
export const FACTOR_NETWORK_MS: u32 = 5;
export const FACTOR_ERROR_MS: u32 = 6;
export const FACTOR_STALE_MS: u32 = 7;
export const FACTOR_COUNT: u32 = 8;
