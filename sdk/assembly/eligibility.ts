// Owns reading the eligibility bitmap: which rows the host allows for this request. A row that is not eligible must not be ranked.
import { eligibilityAt, rowCapacity } from './frame';

/** Bits of rows 32 × index … 32 × index + 31. */
@inline
export function eligibleWord(index: i32): u32 {
	return load<u32>(eligibilityAt + ((<usize>index) << 2));
}

@inline
export function isEligible(row: i32): bool {
	return ((eligibleWord(row >> 5) >> (row & 31)) & 1) != 0;
}

/** All-ones in lane i where bit i of `bits` (0 … 3) is set: the mask of four rows. */
@inline
export function laneMask(bits: u32): v128 {
	return i32x4.ne(v128.and(i32x4.splat(bits), i32x4(1, 2, 4, 8)), i32x4.splat(0));
}

/**
 * The first eligible row at or after `row`, or −1:
 * `for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) …`
 */
export function nextEligible(row: i32): i32 {
	if (row >= rowCapacity) return -1;
	let index = row >> 5;
	let word = eligibleWord(index) & (u32.MAX_VALUE << (row & 31));
	const words = (rowCapacity + 31) >> 5;
	while (word == 0) {
		if (++index >= words) return -1;
		word = eligibleWord(index);
	}
	return (index << 5) + ctz(word);
}

/** The eligible row with `skip` eligible rows before it, or −1: `nthEligible(randomBelow(request().eligible_count))` is any of them. */
export function nthEligible(skip: u32): i32 {
	const words = (rowCapacity + 31) >> 5;
	for (let index = 0; index < words; index++) {
		let word = eligibleWord(index);
		const here = popcnt(word);
		if (skip >= here) {
			skip -= here;
			continue;
		}
		for (; skip > 0; skip--) word &= word - 1;
		return (index << 5) + ctz(word);
	}
	return -1;
}
