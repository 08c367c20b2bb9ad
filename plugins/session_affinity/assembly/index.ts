// session_affinity: each row draws a number from the session and its target, and the lowest draw wins; so a session stays where it is while rows come and go
// beside it, and nobody keeps a list. Rows over their share of what is in flight come after all others. The formula is in README.md.
import {
	begin,
	decline,
	log32,
	maskCosts,
	nextEligible,
	putFactor,
	rankedRow,
	rendezvous,
	request,
	route,
	scratch,
	selectLowest,
	setFactorCount,
} from 'infermesh';
import { columns, config, FACTOR_COUNT, FACTOR_DRAW, FACTOR_OVER, TOP_K } from './manifest';
export { init } from 'infermesh';

/** Smallest weight; keeps draws finite. */
const WEIGHT_MIN: f32 = 0.01;
/** Above any draw: −ln(2⁻²⁵) / WEIGHT_MIN = 1,733. */
const OVER: f32 = 2048;

@inline
function weightOf(row: i32): f32 {
	return max<f32>(columns.weight[row], WEIGHT_MIN);
}

/** An exponential draw with the weight as its rate: a row's chance to have the lowest is its share of the weights. */
function drawOf(session: u64, row: i32): f32 {
	const bits = rendezvous(session, columns.target_hash[row]) >> 8;
	return -log32((<f32>bits + <f32>0.5) * <f32>5.9604644775390625e-8) / weightOf(row);
}

/** Requests each unit of weight may have: this one counts as sent. */
function boundPerWeight(): f32 {
	let inflight: f32 = 1;
	let weights: f32 = 0;
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		inflight += columns.inflight[row];
		weights += weightOf(row);
	}
	return (config.load_factor * inflight) / weights;
}

/** Whether one more would be over the row's share. One is never too many. */
@inline
function isOver(row: i32, bound: f32): bool {
	return columns.inflight[row] + 1 > ceil<f32>(bound * weightOf(row));
}

/** Requests there, this one counted, for each unit of weight: what decides where there is no session. */
@inline
function loadOf(row: i32): f32 {
	return (columns.inflight[row] + 1) / weightOf(row);
}

export function rank(frame: usize): i32 {
	begin(frame);
	const asked = request();
	if (asked.eligible_count == 0) return decline();
	const session = asked.session;
	const bound = boundPerWeight();
	const cost = scratch(0);
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		const draw = session == 0 ? loadOf(row) : drawOf(session, row);
		cost[row] = session != 0 && isOver(row, bound) ? draw + OVER : draw;
	}
	maskCosts(cost);
	const count = selectLowest(cost, min(TOP_K, asked.top_k));
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < count; position++) {
		const row = rankedRow(position);
		const over = session != 0 && isOver(row, bound);
		putFactor(position, FACTOR_DRAW, session == 0 ? loadOf(row) : drawOf(session, row));
		putFactor(position, FACTOR_OVER, over ? OVER : 0);
	}
	return route(count);
}
