// preble: exploits a cached prefix where that saves more than half, else explores for the least cost. All costs are milliseconds of a
// target's time; what it remembers is in memory.ts. The formula is in README.md.
import {
	begin,
	F32Column,
	findHit,
	hit,
	hitCount,
	isEligible,
	lowestOf,
	putFactor,
	randomBelow,
	rankedCount,
	rankedRow,
	rankLowest,
	request,
	rowCount,
	scratch,
	setFactorCount,
	Status,
} from 'infermesh';
import {
	columns,
	config,
	FACTOR_COUNT,
	FACTOR_EVICTION_MS,
	FACTOR_EXPLOITED,
	FACTOR_PAST_MS,
	FACTOR_PREFILL_MS,
	FACTOR_PRESENT_MS,
	TOP_K,
} from './manifest';
import { decodeMs, fade, pastMs, prefillMs, remember } from './memory';
export { init } from 'infermesh';

/** Score of the row that is taken for its prefix: before every cost. */
const EXPLOITED: f32 = -1;

@inline
function promptTokens(): u32 {
	return max<u32>(request().tokens_in, 1);
}

/** Prompt tokens cached on a row. */
@inline
function cachedTokens(row: i32): u32 {
	const index = findHit(row);
	return index < 0 ? 0 : min<u32>(hit(index).tokens, promptTokens());
}

/** Work on a row now: prompts to prefill, and answers being decoded, each as long as this one's is expected to be. */
@inline
function presentMs(row: i32): f32 {
	const decoding = columns.active_decodes[row] * <f32>request().tokens_out;
	return prefillMs(row, columns.pending_prefill_tokens[row]) + decodeMs(row, decoding);
}

/** Load of the window: what a row has done and what it is doing. */
@inline
function loadMs(row: i32): f32 {
	return config.past_weight * pastMs(row) + presentMs(row);
}

/** Work that comes back when this request drives cached blocks out: as much of it as is used again. */
@inline
function evictionMs(row: i32, cached: u32): f32 {
	const needed = <f32>(promptTokens() - cached + request().tokens_out);
	const free = columns.kv_free_blocks[row] * columns.kv_block_tokens[row];
	const evicted = max<f32>(needed - free, 0);
	return config.eviction_weight * prefillMs(row, evicted) * columns.prefix_hit_ratio[row];
}

@inline
function missingMs(row: i32, cached: u32): f32 {
	return prefillMs(row, <f32>(promptTokens() - cached));
}

/** Most tokens of the prompt that an eligible row holds. */
function longestPrefix(): u32 {
	let longest: u32 = 0;
	for (let index = 0; index < hitCount(); index++) {
		if (isEligible(hit(index).row)) longest = max<u32>(longest, min<u32>(hit(index).tokens, promptTokens()));
	}
	return longest;
}

/** Of the rows that hold `tokens`: the one with the least load; equal ones are drawn. −1 = none. */
function leastLoadedHolder(tokens: u32, load: F32Column): i32 {
	let holder = -1;
	let equals: u32 = 0;
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		if (!isEligible(row) || min<u32>(hit(index).tokens, promptTokens()) != tokens) continue;
		if (holder >= 0 && load[row] > load[holder]) continue;
		equals = holder >= 0 && load[row] == load[holder] ? equals + 1 : 1;
		// The n-th of equal ones replaces the one before with probability 1/n, so each is as likely.
		if (equals == 1 || randomBelow(equals) == 0) holder = row;
	}
	return holder;
}

/** The row to take for its cache; −1 = none: too little is cached, or its load is too far from the least. */
function exploited(load: F32Column): i32 {
	const cached = longestPrefix();
	const missing = promptTokens() - cached;
	if (cached == 0 || <f32>cached < config.exploit_ratio * <f32>missing) return -1;
	const holder = leastLoadedHolder(cached, load);
	return load[holder] > config.rebalance_ratio * lowestOf(load) ? -1 : holder;
}

export function rank(frame: usize): i32 {
	begin(frame);
	const load = scratch(0);
	const cost = scratch(1);
	for (let row = 0; row < rowCount(); row++) {
		load[row] = loadMs(row);
		cost[row] = load[row] + evictionMs(row, 0) + missingMs(row, 0);
	}
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		const cached = min<u32>(hit(index).tokens, promptTokens());
		cost[row] = load[row] + evictionMs(row, cached) + missingMs(row, cached);
	}
	const holder = exploited(load);
	if (holder >= 0) cost[holder] = EXPLOITED;
	const status = rankLowest(cost, TOP_K);
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		putFactor(position, FACTOR_PAST_MS, config.past_weight * pastMs(row));
		putFactor(position, FACTOR_PRESENT_MS, presentMs(row));
		putFactor(position, FACTOR_EVICTION_MS, evictionMs(row, cachedTokens(row)));
		putFactor(position, FACTOR_PREFILL_MS, missingMs(row, cachedTokens(row)));
		putFactor(position, FACTOR_EXPLOITED, row == holder ? 1 : 0);
	}
	return status;
}

export function observe(frame: usize, count: i32): i32 {
	begin(frame);
	remember(count);
	return Status.ok;
}

export function tick(frame: usize): i32 {
	begin(frame);
	fade();
	return Status.ok;
}
