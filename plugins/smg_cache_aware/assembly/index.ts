// smg_cache_aware: requests in flight rank the rows; while the pool is balanced, the owner of the longest cached prefix comes before them.
// The formula is in README.md.
import {
	begin,
	findHit,
	highestOf,
	hit,
	hitCount,
	isEligible,
	lowestOf,
	putFactor,
	randomBelow,
	rankedCount,
	rankedRow,
	rankLowest,
	rendezvous,
	request,
	rowCapacity,
	scratch,
	setFactorCount,
} from 'infermesh';
import { columns, config, FACTOR_COUNT, FACTOR_IMBALANCED, FACTOR_INFLIGHT, FACTOR_MATCH, TOP_K } from './manifest';
export { init } from 'infermesh';

/** Score of a row that is taken for its prefix: before every count of requests. */
const OWNER: f32 = -1;

/** Cached share of the prompt. */
@inline
function matchOf(tokens: u32): f32 {
	const prompt = max<u32>(request().tokens_in, 1);
	return <f32>min<u32>(tokens, prompt) / <f32>prompt;
}

function isImbalanced(): bool {
	const fewest = lowestOf(columns.inflight);
	const most = highestOf(columns.inflight);
	if (most - fewest > config.balance_abs && most > config.balance_rel * fewest) return true;
	const fullest = highestOf(columns.kv_usage);
	return fullest > config.kv_overload || fullest - lowestOf(columns.kv_usage) > config.kv_spread;
}

/** Most tokens of the prompt that an eligible row holds; 0 = none. */
function longestPrefix(): u32 {
	let longest: u32 = 0;
	for (let index = 0; index < hitCount(); index++) {
		if (isEligible(hit(index).row)) longest = max<u32>(longest, hit(index).tokens);
	}
	return longest;
}

/** Of the rows that hold `tokens`: always the same one for a prompt's beginning, as a tree that remembers one owner. −1 = none. */
function oneOwner(tokens: u32): i32 {
	let owner = -1;
	let highest: u32 = 0;
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		if (hit(index).tokens != tokens || !isEligible(row)) continue;
		const weight = rendezvous(request().prompt_hash, columns.target_hash[row]);
		if (owner >= 0 && weight <= highest) continue;
		owner = row;
		highest = weight;
	}
	return owner;
}

/** Of the rows that hold `tokens`: the one with the fewest requests in flight; equal ones are drawn. −1 = none. */
function idlestHolder(tokens: u32): i32 {
	let holder = -1;
	let equals: u32 = 0;
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		if (hit(index).tokens != tokens || !isEligible(row)) continue;
		if (holder >= 0 && columns.inflight[row] > columns.inflight[holder]) continue;
		equals = holder >= 0 && columns.inflight[row] == columns.inflight[holder] ? equals + 1 : 1;
		// The n-th of equal ones replaces the one before with probability 1/n, so each is as likely.
		if (equals == 1 || randomBelow(equals) == 0) holder = row;
	}
	return holder;
}

/** The row to take for its prefix; −1 = none. */
function ownerOf(): i32 {
	const longest = longestPrefix();
	if (longest == 0) return -1;
	if (config.kv_events) return idlestHolder(longest);
	return matchOf(longest) > config.cache_threshold ? oneOwner(longest) : -1;
}

export function rank(frame: usize): i32 {
	begin(frame);
	const imbalanced = isImbalanced();
	const cost = scratch(0);
	const inflight = columns.inflight;
	for (let row = 0; row < rowCapacity; row += 4) cost.putFour(row, inflight.four(row));
	const owner = imbalanced ? -1 : ownerOf();
	if (owner >= 0) cost[owner] = OWNER;
	const status = rankLowest(cost, TOP_K);
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		const index = findHit(row);
		putFactor(position, FACTOR_INFLIGHT, inflight[row]);
		putFactor(position, FACTOR_MATCH, index < 0 ? 0 : matchOf(hit(index).tokens));
		putFactor(position, FACTOR_IMBALANCED, imbalanced ? 1 : 0);
	}
	return status;
}
