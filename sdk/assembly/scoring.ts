// Owns building a cost column from whole columns, four rows at a time: weighted sums, min-max normalisation, prefix credit.
import { CacheTier, HitFlag, PrefixHit } from './abi';
import { F32Column } from './columns';
import { eligibleWord, laneMask } from './eligibility';
import { hitsAt, request, rowCapacity } from './frame';
import { smallestLane } from './ranking';

/** cost[row] = value, for every row. */
export function fillCosts(cost: F32Column, value: f32): void {
	const values = f32x4.splat(value);
	for (let row = 0; row < rowCapacity; row += 4) cost.putFour(row, values);
}

/** cost[row] += weight × column[row], for every row. */
export function addWeighted(cost: F32Column, column: F32Column, weight: f32): void {
	const factor = f32x4.splat(weight);
	for (let row = 0; row < rowCapacity; row += 4) {
		cost.putFour(row, f32x4.add(cost.four(row), f32x4.mul(factor, column.four(row))));
	}
}

/** Smallest value of a column over the eligible rows; +Infinity when none is. */
export function lowestOf(column: F32Column): f32 {
	let smallest = f32x4.splat(Infinity);
	for (let row = 0; row < rowCapacity; row += 4) {
		const mask = laneMask(eligibleWord(row >> 5) >> (row & 31));
		smallest = f32x4.pmin(smallest, v128.bitselect(column.four(row), f32x4.splat(Infinity), mask));
	}
	return smallestLane(smallest);
}

/** Largest value of a column over the eligible rows; −Infinity when none is. */
export function highestOf(column: F32Column): f32 {
	let smallest = f32x4.splat(Infinity);
	for (let row = 0; row < rowCapacity; row += 4) {
		const mask = laneMask(eligibleWord(row >> 5) >> (row & 31));
		smallest = f32x4.pmin(smallest, v128.bitselect(f32x4.neg(column.four(row)), f32x4.splat(Infinity), mask));
	}
	return -smallestLane(smallest);
}

/** cost += weight × (column − lowest) / (highest − lowest) over the eligible rows; adds nothing when all are equal. */
export function addNormalised(cost: F32Column, column: F32Column, weight: f32): void {
	const lowest = lowestOf(column);
	const range = highestOf(column) - lowest;
	if (!(range > 0)) return;
	const factor = f32x4.splat(weight / range);
	const base = f32x4.splat(lowest);
	for (let row = 0; row < rowCapacity; row += 4) {
		cost.putFour(row, f32x4.add(cost.four(row), f32x4.mul(factor, f32x4.sub(column.four(row), base))));
	}
}

/** Rows that hold a prefix of this prompt. */
@inline
export function hitCount(): i32 {
	return request().hit_count;
}

@inline
export function hit(index: i32): PrefixHit {
	return changetype<PrefixHit>(hitsAt + ((<usize>index) << 4));
}

/** The hit of a row, found by halving (hits are ordered by row); its index, or −1. */
export function findHit(row: i32): i32 {
	let low = 0;
	let high = hitCount();
	while (low < high) {
		const middle = (low + high) >> 1;
		if (<i32>hit(middle).row < row) low = middle + 1;
		else high = middle;
	}
	return low < hitCount() && <i32>hit(low).row == row ? low : -1;
}

/** Whether a row of the list has the request's LoRA adapter loaded. */
@inline
export function hasLora(entry: PrefixHit): bool {
	return (entry.flags & HitFlag.lora) != 0;
}

/** Rows of the list that have the request's LoRA adapter loaded; 0 too where nothing is known of adapters. */
export function loraRows(): i32 {
	const count = hitCount();
	let rows = 0;
	for (let index = 0; index < count; index++) if (hasLora(hit(index))) rows++;
	return rows;
}

/** Worth of a cached token by where it lives, 0 to 1: 1 on the device, the given share in host memory or on disk and beyond. */
@inline
export function tierShare(tier: u32, hostShare: f32, diskShare: f32): f32 {
	return tier == CacheTier.device ? 1 : tier == CacheTier.host ? hostShare : diskShare;
}

/** Lowers the cost of every row that holds a prefix, by `perToken` for each cached token. */
export function creditHits(cost: F32Column, perToken: f32, hostShare: f32, diskShare: f32): void {
	const count = hitCount();
	for (let index = 0; index < count; index++) {
		const entry = hit(index);
		const row: i32 = entry.row;
		cost[row] = cost[row] - perToken * <f32>entry.tokens * tierShare(entry.tier, hostShare, diskShare);
	}
}
