// Owns the enums of the strategy ABI. Append only: a value never changes meaning within a major version.
import type { EnumDef } from './types.js';

export const enums: readonly EnumDef[] = [
	{
		name: 'StrategyKind',
		summary: 'What a strategy decides.',
		values: [
			{ name: 'inference', value: 0, meaning: 'rank: which target serves a request' },
			{ name: 'training', value: 1, meaning: 'plan: how a job is laid out' },
		],
	},
	{
		name: 'Verdict',
		summary: 'What the host shall do.',
		values: [
			{ name: 'route', value: 0, meaning: 'send to the ranked rows in order' },
			{ name: 'reject', value: 1, meaning: 'refuse with a reason' },
			{ name: 'hold', value: 2, meaning: 'keep at the router and decide again when room appears' },
		],
	},
	{
		name: 'RejectReason',
		summary: 'Why a request was refused.',
		values: [
			{ name: 'none', value: 0, meaning: 'not given' },
			{ name: 'saturated', value: 1, meaning: 'no target has room' },
			{ name: 'deadline', value: 2, meaning: 'the deadline cannot be met' },
			{ name: 'quota', value: 3, meaning: 'over quota' },
			{ name: 'policy', value: 4, meaning: 'not allowed' },
		],
	},
	{
		name: 'Phase',
		summary: 'What is to be placed.',
		values: [
			{
				name: 'aggregated',
				value: 0,
				meaning: 'prefill and decode on one target (or a pair, if the strategy says so)',
			},
			{ name: 'prefill', value: 1, meaning: 'prefill only' },
			{ name: 'decode', value: 2, meaning: 'decode only' },
			{ name: 'embedding', value: 3, meaning: 'prefill work with no decode' },
		],
	},
	{
		name: 'CacheTier',
		summary: 'Where a cached prefix lives.',
		values: [
			{ name: 'device', value: 0, meaning: 'GPU memory' },
			{ name: 'host', value: 1, meaning: 'CPU memory' },
			{ name: 'disk', value: 2, meaning: 'local disk' },
			{ name: 'remote', value: 3, meaning: 'shared store' },
		],
	},
	{
		name: 'HitFlag',
		summary: 'Bits of PrefixHit.flags.',
		values: [
			{ name: 'speculative', value: 1, meaning: 'inserted at dispatch, not yet confirmed' },
			{ name: 'lora', value: 2, meaning: 'the LoRA adapter the request asks for is loaded there' },
		],
	},
	{
		name: 'TargetState',
		summary: 'Life cycle of a row; only `ready` and `degraded` rows are ever eligible.',
		values: [
			{ name: 'unknown', value: 0, meaning: 'never checked' },
			{ name: 'ready', value: 1, meaning: 'serving' },
			{ name: 'degraded', value: 2, meaning: 'serving, with stale or bad signals' },
			{ name: 'ejected', value: 3, meaning: 'outlier ejection or breaker open' },
			{ name: 'unhealthy', value: 4, meaning: 'fails its health checks' },
			{ name: 'draining', value: 5, meaning: 'finishes what it has' },
			{ name: 'quarantined', value: 6, meaning: 'out by rule or by hand' },
		],
	},
	{
		name: 'TargetRole',
		summary: 'What a target may be asked to do.',
		values: [
			{ name: 'both', value: 0, meaning: 'prefill and decode' },
			{ name: 'prefill', value: 1, meaning: 'prefill only' },
			{ name: 'decode', value: 2, meaning: 'decode only' },
		],
	},
	{
		name: 'RttBasis',
		summary: 'How the round trip to a target is known.',
		values: [
			{ name: 'unknown', value: 0, meaning: 'it is not' },
			{ name: 'measured', value: 1, meaning: 'by probes between the nodes, recently' },
			{ name: 'estimated', value: 2, meaning: 'from network coordinates' },
			{ name: 'unreachable', value: 3, meaning: 'the node does not answer this one; a health check’s value may stand' },
			{ name: 'checked', value: 4, meaning: 'by health checks, which hold the engine’s own handling too' },
		],
	},
	{
		name: 'LinkClass',
		summary: 'How far two nodes are by where they say they stand.',
		values: [
			{ name: 'unknown', value: 0, meaning: '' },
			{ name: 'same_node', value: 1, meaning: 'this node' },
			{ name: 'same_zone', value: 2, meaning: 'another node of the zone' },
			{ name: 'same_region', value: 3, meaning: 'another zone of the region' },
			{ name: 'wan', value: 4, meaning: 'another region' },
		],
	},
	{
		name: 'RequestFlag',
		summary: 'Bits of Request.flags.',
		values: [
			{ name: 'stream', value: 1, meaning: 'the client wants a stream' },
			{ name: 'explain', value: 2, meaning: 'factors are wanted' },
			{ name: 'shadow', value: 4, meaning: 'a shadow decision: it routes nothing' },
			{ name: 'retry', value: 8, meaning: 'an earlier attempt failed' },
			{ name: 'idempotent', value: 16, meaning: 'may be sent twice: hedged if it is streamed' },
		],
	},
	{
		name: 'OutcomeStatus',
		summary: 'How a request ended.',
		values: [
			{ name: 'ok', value: 0, meaning: 'answered' },
			{ name: 'upstream_error', value: 1, meaning: 'the target failed' },
			{ name: 'timeout', value: 2, meaning: 'the target was too slow' },
			{ name: 'cancelled', value: 3, meaning: 'the client went away, or another copy of a hedged request was faster' },
			{ name: 'rejected', value: 4, meaning: 'the target refused (429 or 503)' },
		],
	},
	{
		name: 'Status',
		summary: 'What a hook returns; any other value counts as an invalid answer.',
		values: [
			{ name: 'ok', value: 0, meaning: 'the output block holds the answer' },
			{ name: 'decline', value: 1, meaning: 'no opinion: the fallback decides, without a strike' },
			{
				name: 'error',
				value: -1,
				meaning: 'the strategy cannot decide: the fallback decides, counted as an invalid answer',
			},
		],
	},
	{
		name: 'Collective',
		summary: 'Collective operations a plan can tune.',
		values: [
			{ name: 'all_reduce', value: 0, meaning: '' },
			{ name: 'all_gather', value: 1, meaning: '' },
			{ name: 'reduce_scatter', value: 2, meaning: '' },
			{ name: 'broadcast', value: 3, meaning: '' },
			{ name: 'all_to_all', value: 4, meaning: '' },
		],
	},
	{
		name: 'Algorithm',
		summary: 'Topology of a collective.',
		values: [
			{ name: 'default', value: 0, meaning: 'the library chooses' },
			{ name: 'ring', value: 1, meaning: '' },
			{ name: 'tree', value: 2, meaning: '' },
			{ name: 'hierarchical', value: 3, meaning: '' },
			{ name: 'in_network', value: 4, meaning: 'switch reduction' },
		],
	},
];
