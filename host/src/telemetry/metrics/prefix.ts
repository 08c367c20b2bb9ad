// Owns the metrics of what is known of prompts: the index of prefixes, tokenising, and the KV events of engines.
import { counter, gauge, geometric, histogram, TARGETS } from './define.js';

export const prefixMetrics = {
	// What is known of prefixes, counted by the worker that decides.
	prefixLookups: counter('prefix_lookups', ['result'], 4, 'Prompts looked up in the prefix indexes: hit or miss.'),
	prefixHitTokens: counter(
		'prefix_hit_tokens',
		['source'],
		8,
		'Prompt tokens expected in the cache of the target a request went to, by what said so: approximate, speculative, precise.',
	),
	prefixCachedTokens: counter(
		'prefix_cached_tokens',
		['kind'],
		4,
		'Cached prompt tokens of answers whose engine reports them: predicted and reported.',
	),
	prefixErrorTokens: histogram(
		'prefix_error_tokens',
		['source'],
		8,
		geometric(16, 2, 15),
		'Difference between cached tokens predicted and reported by the engine, either way, by what predicted.',
	),
	prefixIndexPairs: gauge(
		'prefix_index_pairs',
		['index'],
		4,
		'Pairs of a block and a target that a worker remembers: sent (approximate) and speculative.',
	),
	prefixIndexEvictions: counter(
		'prefix_index_evictions',
		['index'],
		4,
		'Pairs given up because the target’s cache, or the index, has no room for more.',
	),
	tokenizations: counter(
		'tokenizations',
		['result'],
		8,
		'Prompts whose token ids were asked for: done, late (decided without), full, too_large, unsupported, failed, stale.',
	),
	tokenizeWait: histogram(
		'tokenize_wait_seconds',
		[],
		1,
		geometric(0.0001, 2, 14),
		'Time a request waited for its token ids, in vain or not.',
	),
	// KV events, counted by the thread that follows them.
	kvEvents: counter(
		'kv_events',
		['kind'],
		8,
		'KV events of engines, by kind; `unread` could not be read or are not known.',
	),
	kvEventLag: histogram(
		'kv_event_lag_seconds',
		[],
		1,
		geometric(0.0001, 2, 18),
		'From the time an engine gives its batch of events to when it was applied; clocks of both machines count.',
	),
	kvBatchesMissing: counter('kv_batches_missing', ['target'], TARGETS, 'Batches of events that did not come in turn.'),
	kvReplays: counter('kv_replays', ['target', 'result'], TARGETS, 'Replays asked for: done or failed.'),
	kvForgets: counter(
		'kv_forgets',
		['target', 'cause'],
		TARGETS,
		'Times all that was known of an engine was forgotten: restarted, lost, replay_failed, reconnected, unreadable.',
	),
	kvTargetsLive: gauge('kv_targets_live', [], 1, 'Targets of which all KV events are known.'),
	kvIndexBlocks: gauge('kv_index_blocks', [], 1, 'Blocks that engines have said they hold.'),
	kvIndexPositions: gauge('kv_index_positions', [], 1, 'Distinct prefixes published of them.'),
	kvBlocksLeftOut: counter(
		'kv_blocks_left_out',
		['cause'],
		8,
		'Blocks not indexed: no room for more blocks, no room in their bucket, or following a block that is not known.',
	),
} as const;
