// Owns choosing the best rows from a column of costs: exact top-k through the minima of blocks of 64 rows. Rows with the same cost
// are equally likely, by the request's seed; a lower row number is never an advantage.
import { RANKED_ROWS_MAX } from './abi';
import { F32Column, scratch } from './columns';
import { eligibleWord, laneMask } from './eligibility';
import { output, request, rowCapacity } from './frame';
import { putRanked, route } from './output';
import { randomBelow } from './random';

/** Rows whose minimum is kept together. */
export const BLOCK_ROWS: i32 = 64;

/** The cost that keeps a row out. */
export const NEVER: f32 = Infinity;

/** Minima of the blocks of the cost column being ranked; the fourth scratch column. */
@inline
export function blockMinima(): F32Column {
	return scratch(3);
}

/** Blocks of the frame, rounded up to a multiple of 4. */
@inline
function minimaCount(): i32 {
	return (((rowCapacity + BLOCK_ROWS - 1) / BLOCK_ROWS) + 3) & ~3;
}

/** The smallest lane. */
@inline
export function smallestLane(values: v128): f32 {
	const half = f32x4.pmin(values, i32x4.shuffle(values, values, 2, 3, 0, 1));
	return f32x4.extract_lane(f32x4.pmin(half, i32x4.shuffle(half, half, 1, 0, 3, 2)), 0);
}

/** Stores the minimum of a block; for loops that compute costs and minima together. */
@inline
export function putBlockMinimum(row: i32, values: v128): void {
	blockMinima()[row / BLOCK_ROWS] = smallestLane(values);
}

/** Fills the minima beyond the last block, so that they are read four at a time. */
export function padBlockMinima(): void {
	const minima = blockMinima();
	const count = minimaCount();
	for (let block = (rowCapacity + BLOCK_ROWS - 1) / BLOCK_ROWS; block < count; block++) minima[block] = NEVER;
}

/** Four costs with NEVER where a row is not eligible or its cost is no finite number. */
@inline
export function allowed(costs: v128, mask: v128): v128 {
	const never = f32x4.splat(NEVER);
	return v128.bitselect(costs, never, v128.and(f32x4.lt(f32x4.abs(costs), never), mask));
}

/** Puts NEVER where a row may not be chosen, and computes the block minima. */
export function maskCosts(cost: F32Column): void {
	for (let block = 0; block < rowCapacity; block += BLOCK_ROWS) {
		const end = min(block + BLOCK_ROWS, rowCapacity);
		let smallest = f32x4.splat(NEVER);
		for (let row = block; row < end; row += 4) {
			const values = allowed(cost.four(row), laneMask(eligibleWord(row >> 5) >> (row & 31)));
			cost.putFour(row, values);
			smallest = f32x4.pmin(smallest, values);
		}
		putBlockMinimum(block, smallest);
	}
	padBlockMinima();
}

function refreshBlock(cost: F32Column, block: i32): void {
	const end = min(block + BLOCK_ROWS, rowCapacity);
	let smallest = f32x4.splat(NEVER);
	for (let row = block; row < end; row += 4) smallest = f32x4.pmin(smallest, cost.four(row));
	putBlockMinimum(block, smallest);
}

function lowestCost(): f32 {
	const minima = blockMinima();
	const count = minimaCount();
	let smallest = minima.four(0);
	for (let block = 4; block < count; block += 4) smallest = f32x4.pmin(smallest, minima.four(block));
	return smallestLane(smallest);
}

/** The row with cost `lowest` after `skip` others with the same cost; −1 − (rows with that cost) when there are not so many. */
function findTied(cost: F32Column, lowest: f32, skip: i32): i32 {
	const minima = blockMinima();
	const wanted = f32x4.splat(lowest);
	let seen = 0;
	for (let block = 0; block < rowCapacity; block += BLOCK_ROWS) {
		if (minima[block / BLOCK_ROWS] != lowest) continue;
		const end = min(block + BLOCK_ROWS, rowCapacity);
		for (let row = block; row < end; row += 4) {
			let bits = i32x4.bitmask(f32x4.eq(cost.four(row), wanted));
			const found = popcnt(bits);
			if (seen + found > skip) {
				for (; seen < skip; seen++) bits &= bits - 1;
				return row + ctz(bits);
			}
			seen += found;
		}
	}
	return -1 - seen;
}

/** How many rows have cost `lowest`. */
@inline
function countTied(cost: F32Column, lowest: f32): i32 {
	return -1 - findTied(cost, lowest, i32.MAX_VALUE);
}

/**
 * Writes the `k` rows of lowest cost into the output, best first, and returns how many there are. Costs must be masked and block
 * minima computed (maskCosts). The chosen rows' costs are overwritten with NEVER.
 */
export function selectLowest(cost: F32Column, k: u32): u32 {
	const wanted = min<u32>(k, RANKED_ROWS_MAX);
	let count: u32 = 0;
	let lowest = NEVER;
	let tied = 0;
	while (count < wanted) {
		const next = lowestCost();
		if (!(next < NEVER)) break;
		// Choosing one of several leaves one less; only a new lowest cost is counted.
		if (next != lowest) tied = countTied(cost, next);
		lowest = next;
		const row = findTied(cost, lowest, tied > 1 ? <i32>randomBelow(tied) : 0);
		tied--;
		putRanked(count++, row, lowest);
		cost[row] = NEVER;
		refreshBlock(cost, row & ~(BLOCK_ROWS - 1));
	}
	output().count = count;
	return count;
}

/**
 * Ends a decision: ranks the eligible rows by `cost`, lowest first, as many as the host can use and at most `most` (TOP_K of
 * manifest.ts; fewer rows cost less fuel). Declines when no row is eligible.
 * Any row may hold any value where it is not eligible; rows whose cost is no finite number are left out.
 */
export function rankLowest(cost: F32Column, most: u32 = RANKED_ROWS_MAX): i32 {
	maskCosts(cost);
	return route(selectLowest(cost, min<u32>(request().top_k, most)));
}
