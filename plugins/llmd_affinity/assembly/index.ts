// llmd_affinity: a filter before three scores. Rows that hold most of the prompt are kept, unless they are far behind; those the filter drops
// rank after all that are kept, so that a retry has somewhere to go. The formula is in README.md.
import {
	begin,
	F32Column,
	hit,
	hitCount,
	isEligible,
	nextEligible,
	PrefixHit,
	putFactor,
	rankedCount,
	rankedRow,
	rankLowest,
	request,
	rowCount,
	scratch,
	setFactorCount,
	tierShare,
} from 'infermesh';
import {
	columns,
	config,
	FACTOR_COUNT,
	FACTOR_DROPPED,
	FACTOR_KV,
	FACTOR_PREFIX,
	FACTOR_QUEUE,
	TOP_K,
} from './manifest';
export { init } from 'infermesh';

/** Cached share of the prompt. */
@inline
function matchOf(entry: PrefixHit): f32 {
	const cached = <f32>entry.tokens * tierShare(entry.tier, config.host_share, config.disk_share);
	return min<f32>(cached / <f32>max<u32>(request().tokens_in, 1), 1);
}

/** match[row] = cached share of the prompt. Returns how many eligible rows hold enough to be kept. */
function fillMatches(match: F32Column): i32 {
	for (let row = 0; row < rowCount(); row++) match[row] = 0;
	let sticky = 0;
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		match[row] = matchOf(hit(index));
		if (isEligible(row) && match[row] >= config.affinity_threshold) sticky++;
	}
	return sticky;
}

/** Whether the filter drops all others: some rows hold the prompt, and the least busy of them is not too far behind the least busy other. */
function isFiltering(match: F32Column, sticky: i32): bool {
	if (sticky == 0) return false;
	let bestSticky: f32 = Infinity;
	let bestOther: f32 = Infinity;
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		const waitMs = (columns.pending_prefill_tokens[row] * <f32>1000) / config.prefill_tokens_per_s;
		if (match[row] >= config.affinity_threshold) bestSticky = min<f32>(bestSticky, waitMs);
		else bestOther = min<f32>(bestOther, waitMs);
	}
	return !(bestSticky - bestOther > config.ttft_penalty_max_ms);
}

/** Shortest queue and its distance to the longest, over the rows the scorers see. */
let shortest: f32 = 0;
let range: f32 = 0;

function measureQueues(match: F32Column, threshold: f32): void {
	shortest = Infinity;
	let longest: f32 = -Infinity;
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		if (match[row] < threshold) continue;
		shortest = min<f32>(shortest, columns.queue_depth[row]);
		longest = max<f32>(longest, columns.queue_depth[row]);
	}
	range = longest - shortest;
}

@inline
function clamp(value: f32): f32 {
	return min<f32>(max<f32>(value, 0), 1);
}

@inline
function queuePart(row: i32): f32 {
	return range > 0 ? config.queue_weight * clamp((columns.queue_depth[row] - shortest) / range) : 0;
}

@inline
function kvPart(row: i32): f32 {
	return config.kv_weight * clamp(columns.kv_usage[row]);
}

/** What puts a dropped row behind every kept one. */
@inline
function droppedPart(row: i32, match: F32Column, threshold: f32): f32 {
	return match[row] < threshold ? <f32>1 + config.queue_weight + config.kv_weight + config.prefix_weight : 0;
}

export function rank(frame: usize): i32 {
	begin(frame);
	const match = scratch(0);
	const cost = scratch(1);
	const threshold = isFiltering(match, fillMatches(match)) ? config.affinity_threshold : 0;
	measureQueues(match, threshold);
	for (let row = 0; row < rowCount(); row++) {
		const prefix = config.prefix_weight * (<f32>1 - match[row]);
		cost[row] = queuePart(row) + kvPart(row) + prefix + droppedPart(row, match, threshold);
	}
	const status = rankLowest(cost, TOP_K);
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		putFactor(position, FACTOR_QUEUE, queuePart(row));
		putFactor(position, FACTOR_KV, kvPart(row));
		putFactor(position, FACTOR_PREFIX, config.prefix_weight * (<f32>1 - match[row]));
		putFactor(position, FACTOR_DROPPED, droppedPart(row, match, threshold));
	}
	return status;
}
