// Owns the blocks of frames for training plans: link costs, the job, the layout chosen. Append only, as definition.ts.
import { defineStruct, type StructDef } from './types.js';

const since = 0;

export const linkLevel: StructDef = defineStruct(
	'LinkLevel',
	'host',
	32,
	'Cost of communication between rows, by the nearest level they share, or for one pair as an exception.',
	[
		{
			name: 'level',
			type: 'u32',
			unit: '',
			meaning: '0 same device, 1 same node, 2 same rack, 3 same zone, 4 same region, 5 beyond',
			since,
		},
		{ name: 'row_a', type: 'u32', unit: 'row', meaning: 'NO_ROW for the level as a whole', since },
		{ name: 'row_b', type: 'u32', unit: 'row', meaning: 'NO_ROW for the level as a whole', since },
		{ name: 'latency_us', type: 'f32', unit: 'µs', meaning: 'small-message latency', since },
		{ name: 'bandwidth_gbps', type: 'f32', unit: 'GB/s', meaning: 'large-message bandwidth', since },
		{ name: 'loss_ratio', type: 'f32', unit: '', meaning: 'retransmitted or lost share', since },
		{ name: 'age_ms', type: 'u32', unit: 'ms', meaning: 'age of the measurement', since },
	],
);

export const planRequest: StructDef = defineStruct(
	'PlanRequest',
	'host',
	128,
	'The training job to lay out; read by plan.',
	[
		{ name: 'now_us', type: 'u64', unit: 'µs', meaning: 'as Request.now_us', since },
		{ name: 'seed', type: 'u64', unit: '', meaning: 'as Request.seed', since },
		{ name: 'job', type: 'u32', unit: 'id', meaning: 'interned job id', since },
		{ name: 'ranks', type: 'u32', unit: 'ranks', meaning: 'ranks wanted', since },
		{ name: 'ranks_min', type: 'u32', unit: 'ranks', meaning: 'fewest ranks the job can run with', since },
		{ name: 'tensor_parallel', type: 'u32', unit: 'ranks', meaning: 'degree that must share a node', since },
		{ name: 'pipeline_parallel', type: 'u32', unit: 'ranks', meaning: 'pipeline stages', since },
		{ name: 'data_parallel', type: 'u32', unit: 'ranks', meaning: 'data-parallel degree', since },
		{ name: 'expert_parallel', type: 'u32', unit: 'ranks', meaning: 'expert-parallel degree', since },
		{ name: 'priority', type: 'i32', unit: '', meaning: 'higher is more urgent', since },
		{
			name: 'gradient_bytes',
			type: 'u64',
			unit: 'bytes',
			meaning: 'bytes all-reduced a step by one data-parallel group',
			since,
		},
		{
			name: 'activation_bytes',
			type: 'u64',
			unit: 'bytes',
			meaning: 'bytes sent between neighbouring pipeline stages a microbatch',
			since,
		},
		{ name: 'step_compute_us', type: 'f32', unit: 'µs', meaning: 'compute time a step, estimated', since },
		{ name: 'memory_per_rank_mib', type: 'f32', unit: 'MiB', meaning: 'device memory a rank needs', since },
		{
			name: 'flags',
			type: 'u32',
			unit: 'bits',
			meaning: 'bit 0: re-plan of a running job (rank assignments hold the present layout)',
			since,
		},
	],
);

export const planOutput: StructDef = defineStruct(
	'PlanOutput',
	'strategy',
	512,
	'The layout chosen by plan; rank assignments (u32 row per rank) follow at the next 64-byte boundary.',
	[
		{
			name: 'verdict',
			type: 'u32',
			unit: '',
			meaning: 'Verdict: route = place now, hold = wait, reject = cannot ever run',
			since,
		},
		{ name: 'ranks', type: 'u32', unit: 'ranks', meaning: 'ranks placed', since },
		{ name: 'reason', type: 'u32', unit: '', meaning: 'RejectReason', since },
		{ name: 'predicted_step_us', type: 'f32', unit: 'µs', meaning: 'predicted step time', since },
		{ name: 'rule_count', type: 'u32', unit: 'entries', meaning: 'collective rules given', since },
		{ name: 'rule_collective', type: 'u32', count: 16, unit: '', meaning: 'Collective the rule is for', since },
		{
			name: 'rule_bytes_max',
			type: 'u32',
			count: 16,
			unit: 'KiB',
			meaning: 'largest message the rule applies to',
			since,
		},
		{
			name: 'rule_algorithm',
			type: 'u32',
			count: 16,
			unit: '',
			meaning: 'Algorithm: ring, tree, hierarchical …',
			since,
		},
		{ name: 'rule_channels', type: 'u32', count: 16, unit: '', meaning: 'channels; 0 = library default', since },
	],
);
