// Fetching a prefix: a row that can have it brought from its best holder costs the lesser of computing it and fetching it. Looked at only where
// the request has a holder; rows that cannot fetch are left as they are.
import {
	allowed,
	BLOCK_ROWS,
	eligibleWord,
	F32Column,
	hit,
	hitCount,
	isEligible,
	laneMask,
	NEVER,
	NO_ROW,
	putBlockMinimum,
	rowCapacity,
} from 'infermesh';
import { columns, config } from './manifest';
import { crowdWeight, ownWeight, prefillCost, promptTokens, stallWeight, workOf } from './row';

/** Fewer tokens are computed sooner than asked for. */
const TOKENS_MIN: u32 = 64;

/** The eligible row that holds the longest prefix; NO_ROW where nothing is to be fetched. */
export let holderRow: u32 = 0xffffffff;
/** Tokens of it, and the tokens left to prefill after a fetch, and their work. */
let holderTokens: u32 = 0;
let leftAfter: f32 = 0;
let workAfter: f32 = 0;

/** Looks for it where `wanted`. */
export function findHolder(wanted: bool): void {
	holderTokens = 0;
	holderRow = NO_ROW;
	if (!wanted) return;
	const count = hitCount();
	for (let index = 0; index < count; index++) {
		const entry = hit(index);
		if (entry.tokens <= holderTokens || entry.tokens < TOKENS_MIN || !isEligible(entry.row)) continue;
		holderTokens = entry.tokens;
		holderRow = entry.row;
	}
	leftAfter = max<f32>(promptTokens() - <f32>holderTokens, <f32>1);
	workAfter = workOf(leftAfter);
}

/** Milliseconds to fetch what is beyond `left` tokens to a row. */
function fetchMs(row: i32, left: f32): f32 {
	const known = columns.bandwidth_mbps[row];
	const kib = (left - leftAfter) * config.kv_kib_per_token;
	return config.fetch_ms + (kib * <f32>1.024) / (known > 0 ? known : config.transfer_mbps);
}

/** Whether a row with `left` tokens to prefill can fetch some of them. */
@inline
function mayFetch(row: i32, left: f32): bool {
	return holderRow != NO_ROW && <u32>row != holderRow && columns.fetches_prefixes[row] != 0 && leftAfter < left;
}

/** Cost of a row with `left` tokens to prefill, computed or fetched; `before` = its other costs. */
export function costWith(row: i32, left: f32, before: f32, pace: f32): f32 {
	const decodes = columns.active_decodes[row];
	const computed = before + prefillCost(workOf(left) * pace, before, decodes);
	if (!mayFetch(row, left)) return computed;
	return min<f32>(computed, before + fetchMs(row, left) + prefillCost(workAfter * pace, before, decodes));
}

/** Milliseconds of the fetch that makes a row cheaper; 0 where computing is. */
export function fetchWaitMs(row: i32, left: f32, before: f32, pace: f32): f32 {
	if (!mayFetch(row, left)) return 0;
	const decodes = columns.active_decodes[row];
	const wait = fetchMs(row, left);
	const fetched = before + wait + prefillCost(workAfter * pace, before, decodes);
	return fetched < before + prefillCost(workOf(left) * pace, before, decodes) ? wait : 0;
}

/** Work left to a row with `left` tokens to prefill, after the fetch if it waits for one. */
@inline
export function workWith(wait: f32, left: f32): f32 {
	return wait > 0 ? workAfter : workOf(left);
}

/** Lowers the cost of rows that hold nothing and are better off fetching; `base` = their other costs. Renews the block minima. */
export function creditFetches(cost: F32Column, base: F32Column, pace: F32Column): void {
	const work = f32x4.splat(workAfter);
	const own4 = f32x4.splat(ownWeight);
	const stall4 = f32x4.splat(stallWeight);
	const crowd4 = f32x4.splat(crowdWeight);
	const half = f32x4.splat(0.5);
	const fixed = f32x4.splat(config.fetch_ms);
	const size = f32x4.splat((promptTokens() - leftAfter) * config.kv_kib_per_token * <f32>1.024);
	const usual = f32x4.splat(config.transfer_mbps);
	for (let block = 0; block < rowCapacity; block += BLOCK_ROWS) {
		const end = min(block + BLOCK_ROWS, rowCapacity);
		let smallest = f32x4.splat(NEVER);
		for (let row = block; row < end; row += 4) {
			const mask = laneMask(eligibleWord(row >> 5) >> (row & 31));
			const able = v128.and(mask, i32x4.ne(columns.fetches_prefixes.four(row), i32x4.splat(0)));
			const known = columns.bandwidth_mbps.four(row);
			const rate = v128.bitselect(known, usual, f32x4.gt(known, f32x4.splat(0)));
			const before = base.four(row);
			const own = f32x4.mul(work, pace.four(row));
			const crowd = f32x4.mul(crowd4, f32x4.add(before, f32x4.mul(own, half)));
			const weight = f32x4.add(f32x4.add(own4, f32x4.mul(stall4, columns.active_decodes.four(row))), crowd);
			const begun = f32x4.add(before, f32x4.add(fixed, f32x4.div(size, rate)));
			const total = allowed(f32x4.add(begun, f32x4.mul(own, weight)), able);
			const costs = f32x4.pmin(cost.four(row), total);
			cost.putFour(row, costs);
			smallest = f32x4.pmin(smallest, costs);
		}
		putBlockMinimum(block, smallest);
	}
}
