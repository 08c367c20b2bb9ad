// Owns the strategy ABI: the one place where the frame's blocks and limits are defined (its enums
// stand in enums.ts, its columns in columns.ts, the blocks of training plans in training-blocks.ts). Everything else that knows a
// layout (TypeScript, AssemblyScript, Rust and C accessors, docs/abi.md) is generated from here by sdk/abi/generate.ts.
// Rules: append only; a field never moves or changes meaning within a major version; reserved bytes are zero.
import { linkLevel, planOutput, planRequest } from './training-blocks.js';
import { defineStruct, type StructDef } from './types.js';

/** A frame's first word, `IMF1` in memory order. */
export const FRAME_MAGIC = 0x31464d49;
export const ABI_MAJOR = 1;
/** Raised when fields, columns or sections are added. A strategy built for an older minor loads unchanged. */
export const ABI_MINOR = 0;
/** Every section of a frame starts at a multiple of this many bytes (a cache line). */
export const SECTION_ALIGN_BYTES = 64;
/** Entries of the column table; ids beyond a host's own dictionary read as absent (offset 0). */
export const COLUMN_TABLE_ENTRIES = 128;
/** Most rows a decision may rank. */
export const RANKED_ROWS_MAX = 16;
/** Most explain factors per ranked row. */
export const FACTORS_MAX = 8;
export const STATE_BYTES_MAX = 256 * 1024;
export const CONFIG_SLOTS_MAX = 256;
export const LOG_BYTES_MAX = 4096;
/** Most prefix hits given to one decision: the longest are kept. */
export const HITS_MAX = 1024;
/** Outcomes handed to one `observe` call. */
export const OUTCOMES_MAX = 256;
/** "No row" in fields that may name one. */
export const NO_ROW = 0xffffffff;
/** Scratch bytes per row of capacity: four 32-bit working columns. */
export const SCRATCH_BYTES_PER_ROW = 16;

const since = 0;

export const frameHeader: StructDef = defineStruct(
	'FrameHeader',
	'host',
	256,
	'The first block of every frame: sizes and the offsets of all sections, from the start of the frame. Written once when an instance is made; the epochs change.',
	[
		{ name: 'magic', type: 'u32', unit: '', meaning: 'FRAME_MAGIC', since },
		{ name: 'abi_version', type: 'u32', unit: '', meaning: 'major << 16 | minor of the host', since },
		{ name: 'frame_bytes', type: 'u32', unit: 'bytes', meaning: 'size of the whole frame', since },
		{ name: 'kind', type: 'u32', unit: '', meaning: 'StrategyKind: which hook the frame is laid out for', since },
		{
			name: 'row_capacity',
			type: 'u32',
			unit: 'rows',
			meaning: 'rows every column has room for; a multiple of 16, so SIMD loops need no tail',
			since,
		},
		{ name: 'row_count', type: 'u32', unit: 'rows', meaning: 'rows in use; rows beyond it are never eligible', since },
		{
			name: 'columns_offset',
			type: 'u32',
			unit: 'bytes',
			meaning: 'table of u32 column offsets indexed by column id; 0 = not declared in the manifest',
			since,
		},
		{ name: 'columns_count', type: 'u32', unit: '', meaning: 'entries in the column table', since },
		{ name: 'request_offset', type: 'u32', unit: 'bytes', meaning: 'Request block', since },
		{ name: 'output_offset', type: 'u32', unit: 'bytes', meaning: 'Output block', since },
		{
			name: 'eligibility_offset',
			type: 'u32',
			unit: 'bytes',
			meaning: 'bitmap, one bit a row, bit (row & 31) of word (row >> 5); 1 = may be chosen',
			since,
		},
		{ name: 'hits_offset', type: 'u32', unit: 'bytes', meaning: 'array of PrefixHit', since },
		{ name: 'hits_capacity', type: 'u32', unit: 'entries', meaning: 'room in the hits array', since },
		{
			name: 'scratch_offset',
			type: 'u32',
			unit: 'bytes',
			meaning: 'working memory of the strategy; contents are undefined at entry',
			since,
		},
		{
			name: 'scratch_bytes',
			type: 'u32',
			unit: 'bytes',
			meaning: 'size of scratch: SCRATCH_BYTES_PER_ROW for each row of capacity',
			since,
		},
		{
			name: 'config_offset',
			type: 'u32',
			unit: 'bytes',
			meaning: 'configuration values, one 32-bit slot each, in manifest order',
			since,
		},
		{ name: 'config_slots', type: 'u32', unit: 'entries', meaning: 'slots in the configuration section', since },
		{
			name: 'state_offset',
			type: 'u32',
			unit: 'bytes',
			meaning: 'state block: read-only in rank, read-write in observe and tick',
			since,
		},
		{
			name: 'state_bytes',
			type: 'u32',
			unit: 'bytes',
			meaning: 'size of the state block, fixed by the manifest',
			since,
		},
		{
			name: 'state_epoch',
			type: 'u32',
			unit: '',
			meaning: 'raised each time a new state block is published; 0 = zeroed, never written',
			since,
		},
		{
			name: 'table_epoch',
			type: 'u32',
			unit: '',
			meaning: 'epoch of the fleet table the rows were copied from',
			since,
		},
		{ name: 'log_offset', type: 'u32', unit: 'bytes', meaning: 'UTF-8 log text written by the strategy', since },
		{
			name: 'log_bytes',
			type: 'u32',
			unit: 'bytes',
			meaning: 'room for log text; what does not fit is dropped and counted',
			since,
		},
		{ name: 'outcomes_offset', type: 'u32', unit: 'bytes', meaning: 'array of Outcome for observe', since },
		{
			name: 'outcomes_capacity',
			type: 'u32',
			unit: 'entries',
			meaning: 'room in the outcomes array; 0 in rank-only instances',
			since,
		},
		{
			name: 'links_offset',
			type: 'u32',
			unit: 'bytes',
			meaning: 'array of LinkLevel for plan: costs as levels with exceptions, never an n×n matrix',
			since,
		},
		{ name: 'links_count', type: 'u32', unit: 'entries', meaning: 'entries in the links array', since },
		{
			name: 'plan_request_offset',
			type: 'u32',
			unit: 'bytes',
			meaning: 'PlanRequest block; 0 in inference frames',
			since,
		},
		{
			name: 'plan_output_offset',
			type: 'u32',
			unit: 'bytes',
			meaning: 'PlanOutput block, followed by rank assignments (u32 each); 0 in inference frames',
			since,
		},
		{ name: 'plan_ranks_capacity', type: 'u32', unit: 'ranks', meaning: 'room for rank assignments', since },
		{
			name: 'mesh_seed',
			type: 'u64',
			unit: '',
			meaning: 'seed common to all instances of the mesh, for consistent hashing',
			since,
		},
	],
);

export const requestBlock: StructDef = defineStruct(
	'Request',
	'host',
	256,
	'What is being decided. Rewritten before every call of rank or admit; all a strategy may know of the request.',
	[
		{
			name: 'now_us',
			type: 'u64',
			unit: 'µs',
			meaning: 'microseconds since the Unix epoch, the only clock a strategy has',
			since,
		},
		{ name: 'seed', type: 'u64', unit: '', meaning: 'random seed of this decision; equal on replay', since },
		{ name: 'session', type: 'u64', unit: '', meaning: 'hash of the session key; 0 = none', since },
		{
			name: 'prompt_hash',
			type: 'u64',
			unit: '',
			meaning: 'hash of the first prefix blocks of the prompt, for consistent hashing; 0 = unknown',
			since,
		},
		{
			name: 'now_ms',
			type: 'u32',
			unit: 'ms',
			meaning: 'milliseconds on the mesh clock, modulo 2^32; subtract columns named *_at_ms from it for an age',
			since,
		},
		{
			name: 'ticket',
			type: 'u32',
			unit: '',
			meaning: 'host counter, one up for each decision of the pool in this worker, starting at a seeded value',
			since,
		},
		{ name: 'model', type: 'u32', unit: 'id', meaning: 'interned model name', since },
		{ name: 'lora', type: 'u32', unit: 'id', meaning: 'interned LoRA adapter; 0 = none', since },
		{
			name: 'tokens_in',
			type: 'u32',
			unit: 'tokens',
			meaning: 'prompt tokens, estimated where no tokeniser is configured',
			since,
		},
		{
			name: 'tokens_out',
			type: 'u32',
			unit: 'tokens',
			meaning: 'output tokens expected (estimate bounded by max_tokens); never the true length',
			since,
		},
		{ name: 'tokens_out_max', type: 'u32', unit: 'tokens', meaning: 'max_tokens of the request; 0 = not given', since },
		{ name: 'priority', type: 'i32', unit: '', meaning: 'higher is more urgent; 0 = default', since },
		{ name: 'tenant', type: 'u32', unit: 'id', meaning: 'interned tenant; 0 = none', since },
		{ name: 'policy_mask', type: 'u32', unit: 'bits', meaning: 'policy classes of the tenant', since },
		{ name: 'slo_ttft_ms', type: 'f32', unit: 'ms', meaning: 'time-to-first-token objective; 0 = none', since },
		{ name: 'slo_tpot_ms', type: 'f32', unit: 'ms', meaning: 'time-per-output-token objective; 0 = none', since },
		{ name: 'deadline_ms', type: 'f32', unit: 'ms', meaning: 'time left until the deadline; 0 = none', since },
		{
			name: 'waited_ms',
			type: 'f32',
			unit: 'ms',
			meaning: 'time the request was held at the router before this decision',
			since,
		},
		{ name: 'zone', type: 'u32', unit: 'id', meaning: 'interned zone of this router', since },
		{ name: 'region', type: 'u32', unit: 'id', meaning: 'interned region of this router', since },
		{ name: 'attempt', type: 'u32', unit: '', meaning: '0 for the first try, then one up for each retry', since },
		{ name: 'flags', type: 'u32', unit: 'bits', meaning: 'RequestFlag bits', since },
		{ name: 'phase', type: 'u32', unit: '', meaning: 'Phase: what is to be placed', since },
		{ name: 'hit_count', type: 'u32', unit: 'entries', meaning: 'PrefixHit entries valid for this request', since },
		{ name: 'eligible_count', type: 'u32', unit: 'rows', meaning: 'bits set in the eligibility bitmap', since },
		{
			name: 'top_k',
			type: 'u32',
			unit: 'rows',
			meaning: 'ranked rows the host can use; a strategy may return fewer',
			since,
		},
		{
			name: 'prefill_row',
			type: 'u32',
			unit: 'row',
			meaning: 'row chosen for prefill when phase is decode; NO_ROW otherwise',
			since,
		},
		{
			name: 'held_count',
			type: 'u32',
			unit: 'requests',
			meaning: 'requests of this pool held at the router now',
			since,
		},
	],
);

export const outputBlock: StructDef = defineStruct(
	'Output',
	'strategy',
	768,
	'The answer. The host clears verdict, count and the optional fields before each call, and validates everything after it.',
	[
		{ name: 'verdict', type: 'u32', unit: '', meaning: 'Verdict: route, reject or hold', since },
		{
			name: 'count',
			type: 'u32',
			unit: 'rows',
			meaning: 'ranked rows given, best first; at least 1 when the verdict is route',
			since,
		},
		{ name: 'reason', type: 'u32', unit: '', meaning: 'RejectReason when the verdict is reject', since },
		{
			name: 'retry_after_ms',
			type: 'f32',
			unit: 'ms',
			meaning: 'with reject: when to come back; 0 = the host decides',
			since,
		},
		{
			name: 'hold_key',
			type: 'f32',
			unit: '',
			meaning: 'with hold: release order, lowest first; the host adds ageing and a bound',
			since,
		},
		{
			name: 'prefill_row',
			type: 'u32',
			unit: 'row',
			meaning:
				'P/D pair: prefill here, decode on the ranked row, where both are engines of one kind; NO_ROW = aggregated',
			since,
		},
		{
			name: 'fetch_from_row',
			type: 'u32',
			unit: 'row',
			meaning: 'row that holds the prefix: the chosen target is told to fetch it from there, if it can; NO_ROW = none',
			since,
		},
		{
			name: 'hedge_delay_ms',
			type: 'f32',
			unit: 'ms',
			meaning:
				'send a copy to the next ranked row after this long without a first token; 0 with copies = the host’s adaptive delay',
			since,
		},
		{
			name: 'hedge_copies',
			type: 'u32',
			unit: '',
			meaning: 'extra copies allowed, within the host’s bound and budget; 0 = none asked for',
			since,
		},
		{
			name: 'temperature',
			type: 'f32',
			unit: '',
			meaning:
				'exploration wanted over the ranked rows (softmax of -score); the host draws and logs propensities; 0 = always the best',
			since,
		},
		{ name: 'factor_count', type: 'u32', unit: '', meaning: 'explain factors written per ranked row', since },
		{ name: 'log_bytes', type: 'u32', unit: 'bytes', meaning: 'log text written', since },
		{
			name: 'predicted_ttft_ms',
			type: 'f32',
			unit: 'ms',
			meaning: 'what the strategy expects of its first row; 0 = no opinion',
			since,
		},
		{ name: 'rows', type: 'u32', count: 16, unit: 'row', meaning: 'ranked rows, best first', since },
		{
			name: 'scores',
			type: 'f32',
			count: 16,
			unit: 'cost',
			meaning: 'score of each ranked row: lower is better, finite',
			since,
		},
		{
			name: 'factors',
			type: 'f32',
			count: 128,
			unit: '',
			meaning: 'explain factors, FACTORS_MAX per ranked row; names in the manifest',
			since,
		},
	],
);

export const prefixHit: StructDef = defineStruct(
	'PrefixHit',
	'host',
	16,
	'One row that already holds a prefix of the prompt, or has the request’s LoRA adapter loaded (then tokens may be 0). Ordered by row.',
	[
		{ name: 'row', type: 'u32', unit: 'row', meaning: 'row of this pool', since },
		{
			name: 'tokens',
			type: 'u32',
			unit: 'tokens',
			meaning: 'prompt tokens cached there, counted from the start',
			since,
		},
		{ name: 'tier', type: 'u32', unit: '', meaning: 'CacheTier the prefix lives in', since },
		{
			name: 'flags',
			type: 'u32',
			unit: 'bits',
			meaning: 'HitFlag bits',
			since,
		},
	],
);

export const outcomeBlock: StructDef = defineStruct(
	'Outcome',
	'host',
	64,
	'What became of one decision; handed to observe in batches.',
	[
		{
			name: 'row',
			type: 'u32',
			unit: 'row',
			meaning: 'row that served (or failed) the request; NO_ROW if it has left the pool',
			since,
		},
		{ name: 'status', type: 'u32', unit: '', meaning: 'OutcomeStatus', since },
		{
			name: 'tokens_in',
			type: 'u32',
			unit: 'tokens',
			meaning: 'prompt tokens as reported by the engine, else estimated',
			since,
		},
		{ name: 'tokens_out', type: 'u32', unit: 'tokens', meaning: 'output tokens', since },
		{
			name: 'tokens_cached',
			type: 'u32',
			unit: 'tokens',
			meaning: 'prompt tokens the engine says came from its cache',
			since,
		},
		{
			name: 'ttft_ms',
			type: 'f32',
			unit: 'ms',
			meaning: 'time to first token seen by the router; 0 = none came',
			since,
		},
		{
			name: 'tpot_ms',
			type: 'f32',
			unit: 'ms',
			meaning: 'mean time per output token after the first; 0 = fewer than two',
			since,
		},
		{ name: 'e2e_ms', type: 'f32', unit: 'ms', meaning: 'from dispatch to the last byte', since },
		{ name: 'predicted_ttft_ms', type: 'f32', unit: 'ms', meaning: 'what the strategy predicted; 0 = nothing', since },
		{ name: 'tenant', type: 'u32', unit: 'id', meaning: 'interned tenant', since },
		{ name: 'at_ms', type: 'u32', unit: 'ms', meaning: 'mesh clock when it ended, as Request.now_ms', since },
		{
			name: 'flags',
			type: 'u32',
			unit: 'bits',
			meaning:
				'bit 0: fallback decided; bit 1: hedge copy; bit 2: retried; bit 3: the prefill of a pair; bit 4: its decode',
			since,
		},
	],
);

/** Every block, in the order the reference page shows them. */
export const structs: readonly StructDef[] = [
	frameHeader,
	requestBlock,
	outputBlock,
	prefixHit,
	outcomeBlock,
	linkLevel,
	planRequest,
	planOutput,
];
