// Fetching a prefix: a row that can have it brought from its best holder costs the lesser of computing it and fetching it. Looked at only where
// the request has a holder and some row can fetch; rows that cannot are left as they are.
import { allowed, eligibleWord, F32Column, hit, hitCount, isEligible, laneMask, NO_ROW, rowCapacity } from 'infermesh';
import { prefillCostFour } from './cost';
import { columns, config } from './manifest';
import { prefillCost, promptTokens, workOf } from './row';

/** Fewer tokens are computed sooner than asked for. */
const TOKENS_MIN: u32 = 64;
export const NO_HOLDER: u32 = 0xffffffff;

/** The eligible row that holds the longest prefix; NO_HOLDER where nothing is to be fetched. */
export let holderRow: u32 = 0xffffffff;
/** Tokens left to prefill after a fetch, and their work. */
let leftAfter: f32 = 0;
export let workAfter: f32 = 0;

/** Whether any row can fetch a prefix. */
function someFetch(): bool {
	const fetches = columns.fetches_prefixes;
	let able = i32x4.splat(0);
	// Columns have room for whole groups of sixteen rows.
	for (let row = 0; row < rowCapacity; row += 16) {
		const at = changetype<usize>(fetches) + ((<usize>row) << 2);
		const half = v128.or(v128.load(at), v128.load(at, 16));
		able = v128.or(able, v128.or(half, v128.or(v128.load(at, 32), v128.load(at, 48))));
	}
	return v128.any_true(able);
}

/** Looks for the holder. */
export function findHolder(): void {
	holderRow = NO_HOLDER;
	if (!config.fetch) return;
	let tokens: u32 = 0;
	const count = hitCount();
	for (let index = 0; index < count; index++) {
		const entry = hit(index);
		if (entry.tokens <= tokens || entry.tokens < TOKENS_MIN || !isEligible(entry.row)) continue;
		tokens = entry.tokens;
		holderRow = entry.row;
	}
	if (holderRow != NO_HOLDER && !someFetch()) holderRow = NO_HOLDER;
	leftAfter = max<f32>(promptTokens() - <f32>tokens, <f32>1);
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
	return holderRow != NO_HOLDER && <u32>row != holderRow && columns.fetches_prefixes[row] != 0 && leftAfter < left;
}

/** Cost of a row with `left` tokens to prefill, computed or fetched; `before` = its other costs, `queued` = the prefill pending there. */
export function costWith(row: i32, left: f32, before: f32, queued: f32, pace: f32): f32 {
	const computed = before + prefillCost(workOf(left) * pace, before, queued);
	if (!mayFetch(row, left)) return computed;
	return min<f32>(computed, before + fetchMs(row, left) + prefillCost(workAfter * pace, before, queued));
}

/** Milliseconds of the fetch that makes a row cheaper; 0 where computing is. */
export function fetchWaitMs(row: i32, left: f32, before: f32, queued: f32, pace: f32): f32 {
	if (!mayFetch(row, left)) return 0;
	const wait = fetchMs(row, left);
	const fetched = before + wait + prefillCost(workAfter * pace, before, queued);
	return fetched < before + prefillCost(workOf(left) * pace, before, queued) ? wait : 0;
}

/** Work left to a row with `left` tokens to prefill, after the fetch if it waits for one. */
@inline
export function workWith(wait: f32, left: f32): f32 {
	return wait > 0 ? workAfter : workOf(left);
}

/** Costs of four rows that hold nothing with the prefix fetched; NEVER where it cannot be. */
@inline
export function fetchedFour(row: i32, before: v128, pace: v128, queued: v128): v128 {
	const mask = laneMask(eligibleWord(row >> 5) >> (row & 31));
	const able = v128.and(mask, i32x4.ne(columns.fetches_prefixes.four(row), i32x4.splat(0)));
	const known = columns.bandwidth_mbps.four(row);
	const rate = v128.bitselect(known, f32x4.splat(config.transfer_mbps), f32x4.gt(known, f32x4.splat(0)));
	const size = f32x4.splat((promptTokens() - leftAfter) * config.kv_kib_per_token * <f32>1.024);
	const begun = f32x4.add(before, f32x4.add(f32x4.splat(config.fetch_ms), f32x4.div(size, rate)));
	const own = f32x4.mul(f32x4.splat(workAfter), pace);
	return allowed(f32x4.add(begun, prefillCostFour(own, before, queued)), able);
}
