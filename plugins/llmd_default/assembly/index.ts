// llmd_default: how much a row falls short of the highest possible sum of three weighted scores; the least shortfall wins. The formula is in README.md.
import {
	begin,
	findHit,
	highestOf,
	hit,
	hitCount,
	lowestOf,
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
import { columns, config, FACTOR_COUNT, FACTOR_KV, FACTOR_PREFIX, FACTOR_QUEUE, TOP_K } from './manifest';
export { init } from 'infermesh';

/** Cached tokens from which the long-prefix part of the score is full. */
const LONG_PREFIX_TOKENS: f32 = 8192;

/** 0 for the shortest queue, 1 for the longest; 0 for all where they are equal. */
@inline
function queueShortfall(row: i32, shortest: f32, range: f32): f32 {
	return range > 0 ? (columns.queue_depth[row] - shortest) / range : 0;
}

@inline
function kvShortfall(row: i32): f32 {
	return min<f32>(max<f32>(columns.kv_usage[row], 0), 1);
}

/** Score of a cached prefix, 0 to 1. */
function prefixScore(entry: PrefixHit): f32 {
	const cached = <f32>entry.tokens * tierShare(entry.tier, config.host_share, config.disk_share);
	const match = min<f32>(cached / <f32>max<u32>(request().tokens_in, 1), 1);
	const long = min<f32>(cached / LONG_PREFIX_TOKENS, 1);
	return config.long_prefix_weight * long * long + (<f32>1 - config.long_prefix_weight) * match;
}

@inline
function prefixShortfall(row: i32): f32 {
	const index = findHit(row);
	return index < 0 ? 1 : <f32>1 - prefixScore(hit(index));
}

export function rank(frame: usize): i32 {
	begin(frame);
	const shortest = lowestOf(columns.queue_depth);
	const range = highestOf(columns.queue_depth) - shortest;
	const cost = scratch(0);
	const base = scratch(1);
	for (let row = 0; row < rowCount(); row++) {
		base[row] = config.queue_weight * queueShortfall(row, shortest, range) + config.kv_weight * kvShortfall(row);
		cost[row] = base[row] + config.prefix_weight;
	}
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		cost[row] = base[row] + config.prefix_weight * (<f32>1 - prefixScore(hit(index)));
	}
	const status = rankLowest(cost, TOP_K);
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		putFactor(position, FACTOR_QUEUE, config.queue_weight * queueShortfall(row, shortest, range));
		putFactor(position, FACTOR_KV, config.kv_weight * kvShortfall(row));
		putFactor(position, FACTOR_PREFIX, config.prefix_weight * prefixShortfall(row));
	}
	return status;
}
