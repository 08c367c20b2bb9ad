// Owns the pairing of cells before a comparison: those that are most alike in load and mix become pairs. Pure and deterministic. How alike the cells of a pair are decides
// how soon there is a verdict, never whether it is right: that comes from the draws alone.
import { MeshError } from '@infermesh/proto';
import { experimentErrors } from '../errors.js';

/** Of a window before the start. */
export interface CellTraffic {
	readonly name: string;
	readonly requestsPerS: number;
	/** Tokens a request, mean. */
	readonly tokensIn: number;
	readonly tokensOut: number;
}

export interface MatchedCells {
	readonly pairs: readonly (readonly [string, string])[];
	/** What a reader must know of pairs that are not alike. */
	readonly notes: readonly string[];
}

/** The pairing goes through all of them: 2^16 subsets at most. */
export const CELLS_MAX = 16;
/** From this factor on, in load or mix, cells are called unlike. */
const UNLIKE = 2;

/** Of a pair: how many times larger the larger is, in each respect. */
function ratios(a: CellTraffic, b: CellTraffic): readonly (readonly [what: string, ratio: number])[] {
	// One request a minute and one token are as good as none.
	const of = (x: number, y: number, least: number): number =>
		Math.exp(Math.abs(Math.log(Math.max(x, least) / Math.max(y, least))));
	return [
		['load', of(a.requestsPerS, b.requestsPerS, 1 / 60)],
		['prompts', of(a.tokensIn, b.tokensIn, 1)],
		['answers', of(a.tokensOut, b.tokensOut, 1)],
	];
}

/** Sum of the logarithms of the ratios. */
export function distance(a: CellTraffic, b: CellTraffic): number {
	return ratios(a, b).reduce((sum, [, ratio]) => sum + Math.log(ratio), 0);
}

/**
 * The pairing with the least sum of distances; ties by name. IM_EXPERIMENT_CELLS for an odd number of cells, fewer than `pairsMin` pairs, or more than 16 cells.
 */
export function matchCells(cells: readonly CellTraffic[], pairsMin = 1): MatchedCells {
	const sorted = [...cells].sort((a, b) => (a.name < b.name ? -1 : 1));
	if (sorted.length % 2 === 1) throw few(`${sorted.length} cells cannot be paired: leave one out, or add one`);
	if (sorted.length < 2 * pairsMin)
		throw few(`${sorted.length} cells are ${sorted.length / 2} pairs, and at least ${pairsMin} are asked for`);
	if (sorted.length > CELLS_MAX)
		throw few(`${sorted.length} cells are more than the ${CELLS_MAX} that can be compared at once`);
	const paired = leastPairing(sorted);
	const notes = paired.flatMap(([a, b]) =>
		ratios(a, b).flatMap(([what, ratio]) =>
			ratio < UNLIKE
				? []
				: [
						`${a.name} and ${b.name} are not alike: ${what} differ ${ratio.toFixed(1)} times. The verdict stays right, and takes longer.`,
					],
		),
	);
	return { pairs: paired.map(([a, b]) => [a.name, b.name] as const), notes };
}

/** By dynamic programming over subsets: the first cell that is left is paired with each of the others. */
function leastPairing(cells: readonly CellTraffic[]): (readonly [CellTraffic, CellTraffic])[] {
	const whole = 2 ** cells.length - 1;
	const cost = new Float64Array(whole + 1).fill(Number.POSITIVE_INFINITY);
	const partner = new Int8Array(whole + 1);
	cost[0] = 0;
	const lowest = (set: number): number => 31 - Math.clz32(set & -set);
	for (let set = 3; set <= whole; set++) {
		const first = lowest(set);
		for (let other = first + 1; other < cells.length; other++) {
			if ((set & (1 << other)) === 0) continue;
			const rest = set & ~(1 << first) & ~(1 << other);
			const total = (cost[rest] as number) + distance(cells[first] as CellTraffic, cells[other] as CellTraffic);
			if (total < (cost[set] as number)) {
				cost[set] = total;
				partner[set] = other;
			}
		}
	}
	const pairs: (readonly [CellTraffic, CellTraffic])[] = [];
	for (let set = whole; set > 0; ) {
		const first = lowest(set);
		const other = partner[set] as number;
		pairs.push([cells[first] as CellTraffic, cells[other] as CellTraffic]);
		set &= ~(1 << first) & ~(1 << other);
	}
	return pairs;
}

function few(why: string): MeshError {
	return new MeshError(experimentErrors, 'IM_EXPERIMENT_CELLS', why);
}
