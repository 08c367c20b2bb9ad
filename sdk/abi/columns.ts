// Owns the dictionary of fleet-table columns: stable ids, types, units, meaning and source. Append only.
import type { ColumnDef } from './types.js';

type Source = ColumnDef['source'];

function u32(id: number, name: string, unit: string, source: Source, meaning: string, initial = 0): ColumnDef {
	return { id, name, type: 'u32', unit, source, meaning, initial, since: 0 };
}

function f32(id: number, name: string, unit: string, source: Source, meaning: string, initial = 0): ColumnDef {
	return { id, name, type: 'f32', unit, source, meaning, initial, since: 0 };
}

/** All columns, in id order. 32-bit cells only, so that a row's cell is written in one store. */
export const columns: readonly ColumnDef[] = [
	u32(0, 'target', 'id', 'registry', 'interned target id: one model replica on a GPU slice or data-parallel rank'),
	u32(1, 'node', 'id', 'registry', 'interned node id'),
	u32(2, 'zone', 'id', 'registry', 'interned zone'),
	u32(3, 'region', 'id', 'registry', 'interned region'),
	u32(4, 'model', 'id', 'registry', 'interned model name'),
	u32(5, 'revision', 'id', 'registry', 'interned model revision; 0 = none'),
	u32(6, 'state', 'TargetState', 'fusion', 'life-cycle state'),
	u32(7, 'role', 'TargetRole', 'registry', 'prefill, decode or both'),
	u32(
		8,
		'telemetry_at_ms',
		'ms',
		'fusion',
		'mesh clock of the last runtime report; telemetry age = Request.now_ms − this (modulo 2^32)',
	),
	u32(9, 'observed_at_ms', 'ms', 'router', 'mesh clock of the last response the router saw from this target'),
	f32(10, 'weight', '', 'registry', 'operator weight; 1 = normal', 1),
	f32(11, 'queue_depth', 'requests', 'runtime', 'requests waiting in the engine at the last report'),
	f32(12, 'running', 'requests', 'runtime', 'requests running in the engine at the last report'),
	f32(13, 'inflight', 'requests', 'router', 'requests this mesh has sent and not yet seen end; always fresh'),
	f32(
		14,
		'load',
		'requests',
		'fusion',
		'waiting + running at the last report, plus dispatched since, less completed since; at least inflight',
	),
	f32(
		15,
		'pending_prefill_tokens',
		'tokens',
		'router',
		'uncached prompt tokens dispatched whose first token has not come back; always fresh',
	),
	f32(16, 'active_decode_tokens', 'tokens', 'router', 'context tokens of requests now decoding; always fresh'),
	f32(17, 'active_decodes', 'requests', 'router', 'requests now decoding; always fresh'),
	f32(18, 'kv_usage', 'ratio', 'runtime', 'used share of the KV cache, 0 to 1'),
	f32(19, 'kv_free_blocks', 'blocks', 'runtime', 'free KV blocks'),
	f32(20, 'kv_total_blocks', 'blocks', 'runtime', 'KV blocks in all; 0 = unknown'),
	f32(21, 'kv_block_tokens', 'tokens', 'runtime', 'tokens in a KV block', 16),
	f32(
		22,
		'prefill_rate',
		'tokens/s',
		'fusion',
		'prompt tokens a second this target prefills when busy, learned; initial value from the profile',
		8000,
	),
	f32(23, 'decode_rate', 'tokens/s', 'fusion', 'output tokens a second over all its sequences, learned', 1000),
	f32(24, 'ttft_ms', 'ms', 'router', 'time to first token, exponentially smoothed'),
	f32(25, 'ttft_p95_ms', 'ms', 'router', 'time to first token, 95th percentile over the last window'),
	f32(26, 'tpot_ms', 'ms', 'router', 'time per output token, exponentially smoothed'),
	f32(27, 'tpot_p95_ms', 'ms', 'router', 'time per output token, 95th percentile over the last window'),
	f32(28, 'error_ratio', 'ratio', 'router', 'failed share of recent requests, smoothed, 0 to 1'),
	f32(
		29,
		'rtt_ms',
		'ms',
		'fabric',
		'round-trip time from this router to the target’s node; rtt_basis says how it is known, 0 where it is not',
	),
	f32(
		30,
		'bandwidth_mbps',
		'MB/s',
		'fabric',
		'bandwidth to the target’s node, as transfers and `infermesh topology probe` have shown; 0 = unknown',
	),
	f32(31, 'vram_used_mib', 'MiB', 'gpu', 'device memory in use (no source yet: stays at its initial value)'),
	f32(
		32,
		'vram_total_mib',
		'MiB',
		'gpu',
		'device memory in all; 0 = unknown (no source yet: stays at its initial value)',
	),
	f32(
		33,
		'sm_utilization',
		'ratio',
		'gpu',
		'streaming-multiprocessor activity, 0 to 1 (no source yet: stays at its initial value)',
	),
	f32(
		34,
		'memory_utilization',
		'ratio',
		'gpu',
		'device-memory bandwidth activity, 0 to 1 (no source yet: stays at its initial value)',
	),
	f32(35, 'temperature_c', '°C', 'gpu', 'device temperature (no source yet: stays at its initial value)'),
	u32(36, 'throttle', 'bits', 'gpu', 'clock-event reasons in force (no source yet: stays at its initial value)'),
	f32(
		37,
		'ecc_uncorrected',
		'errors',
		'gpu',
		'uncorrected ECC errors since boot (no source yet: stays at its initial value)',
	),
	f32(
		38,
		'mig_fraction',
		'ratio',
		'gpu',
		'share of the device this target has; 1 = whole (no source yet: stays at its initial value)',
		1,
	),
	f32(39, 'cost', 'currency/h', 'registry', 'price of an hour of this target'),
	f32(40, 'health', 'ratio', 'fusion', 'health score, 1 = sound, 0 = out', 1),
	f32(41, 'speed', 'ratio', 'fusion', 'learned speed against the median of the pool; 1 = normal', 1),
	f32(
		42,
		'max_sequences',
		'requests',
		'runtime',
		'most sequences the engine runs at once; 0 = unknown (no source yet: stays at its initial value)',
	),
	f32(43, 'prefix_hit_ratio', 'ratio', 'runtime', 'cached share of prompt tokens over the last interval'),
	f32(44, 'preemptions_per_s', '1/s', 'runtime', 'preemptions a second over the last interval'),
	u32(
		45,
		'dp_rank',
		'',
		'registry',
		'data-parallel rank inside the engine (no source yet: stays at its initial value)',
	),
	u32(
		46,
		'lora_set',
		'id',
		'runtime',
		'interned set of loaded LoRA adapters; 0 = none (no source yet: stays at its initial value)',
	),
	f32(47, 'slow_start', 'ratio', 'fusion', 'share of its normal traffic a recovering target should get, 0 to 1', 1),
	u32(48, 'rtt_basis', 'RttBasis', 'fabric', 'how rtt_ms is known'),
	u32(
		49,
		'rtt_at_ms',
		'ms',
		'fabric',
		'mesh clock of what rtt_ms rests on, to about 5 s; its age = Request.now_ms − this (modulo 2^32); 0 = none',
	),
	u32(50, 'link_class', 'LinkClass', 'fabric', 'how far the target’s node is by zone and region'),
];
