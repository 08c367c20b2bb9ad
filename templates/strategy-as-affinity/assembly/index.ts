// __name__: keeps sessions and shared prompts where their cache is, until that target is too busy. Every session has a home by
// rendezvous hashing, so all routers agree on it without talking, and a target that comes or goes moves only its own sessions.
import {
	addWeighted,
	begin,
	fillCosts,
	findHit,
	hit,
	hitCount,
	nextEligible,
	putFactor,
	rankedCount,
	rankedRow,
	rankLowest,
	rendezvous,
	request,
	scratch,
	setFactorCount,
} from 'infermesh';
import { columns, config, FACTOR_CACHE_CREDIT, FACTOR_COUNT, FACTOR_LOAD, FACTOR_SESSION_CREDIT } from './manifest';

export { init } from 'infermesh';

/** Called for every request: the eligible targets by cost, lowest first. Costs are in requests of load. */
export function rank(frame: usize): i32 {
	begin(frame);
	const limit = loadLimit();
	const cost = scratch(0);
	fillCosts(cost, 0);
	addWeighted(cost, columns.load, 1);
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		cost[row] = cost[row] - cacheCredit(row, limit);
	}
	const home = homeRow(limit);
	if (home >= 0) cost[home] = cost[home] - config.session_weight;
	const status = rankLowest(cost);
	explain(limit, home);
	return status;
}

/** Load above which a target gets no credit: a multiple of the mean, with room for one request more. */
function loadLimit(): f32 {
	const load = columns.load;
	let sum: f32 = 0;
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) sum += load[row];
	return (config.load_factor * (sum + 1)) / <f32>max<u32>(request().eligible_count, 1);
}

/** The home of the session, or of the prompt when there is none: the highest draw among targets that are not too busy; −1 = no key. */
function homeRow(limit: f32): i32 {
	const key = request().session != 0 ? request().session : request().prompt_hash;
	if (key == 0) return -1;
	const load = columns.load;
	const target = columns.target;
	let home: i32 = -1;
	let highest: u32 = 0;
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		if (load[row] > limit) continue;
		const draw = rendezvous(key, target[row]);
		if (home >= 0 && draw <= highest) continue;
		home = row;
		highest = draw;
	}
	return home;
}

/** What a cached part of the prompt is worth here; nothing on a target that is too busy. */
function cacheCredit(row: i32, limit: f32): f32 {
	const found = findHit(row);
	if (found < 0 || columns.load[row] > limit) return 0;
	return (config.cache_weight * <f32>hit(found).tokens) / <f32>max<u32>(request().tokens_in, 1);
}

/** Writes the parts of the cost of each ranked row, for `infermesh explain`. */
function explain(limit: f32, home: i32): void {
	const count = rankedCount();
	for (let position: u32 = 0; position < count; position++) {
		const row = rankedRow(position);
		putFactor(position, FACTOR_LOAD, columns.load[row]);
		putFactor(position, FACTOR_CACHE_CREDIT, cacheCredit(row, limit));
		putFactor(position, FACTOR_SESSION_CREDIT, row == home ? config.session_weight : 0);
	}
	setFactorCount(FACTOR_COUNT);
}
