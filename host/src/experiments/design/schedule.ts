// Owns when which arm has the fleet: blocks of equal length in pairs, the order within each pair drawn by a seeded hash. Pure: the same design and start give the
// same schedule on every node, so nobody has to be told.
import { finish, mixLow } from '../../router/hash.js';
import type { ArmName } from '../cohorts/cohort.js';
import type { ExperimentDesign } from './design.js';

/** Where a moment lies. */
export interface BlockPlace {
	/** From 0. */
	readonly block: number;
	/** Blocks 2p and 2p + 1 are pair p. */
	readonly pair: number;
	readonly startsAtMs: number;
	/** Requests that come from here on count. */
	readonly measureFromMs: number;
	readonly endsAtMs: number;
	/** Past the last pair: no block of the experiment. */
	readonly isOver: boolean;
}

/** The block of a moment, by time since the experiment's start; both in milliseconds. Before the start is the first block. */
export function blockAt(
	design: Pick<ExperimentDesign, 'blockMs' | 'burnInMs' | 'pairsMax'>,
	startedAtMs: number,
	atMs: number,
): BlockPlace {
	const block = Math.max(0, Math.floor((atMs - startedAtMs) / design.blockMs));
	const startsAtMs = startedAtMs + block * design.blockMs;
	return {
		block,
		pair: block >>> 1,
		startsAtMs,
		measureFromMs: startsAtMs + design.burnInMs,
		endsAtMs: startsAtMs + design.blockMs,
		isOver: block >= 2 * design.pairsMax,
	};
}

/**
 * The arm of a block: in each pair each arm once, the candidate first with probability 1/2 by a hash of seed, pair and stratum. `stratum`: index of the pair of cells in
 * matched-cells, else 0; `isSecond`: of the second cell of that pair, which always has the other arm.
 */
export function armOfBlock(seed: number, block: number, stratum = 0, isSecond = false): ArmName {
	const pair = block >>> 1;
	const candidateFirst = (finish(mixLow(mixLow(mixLow(0x5bd1e995, seed), pair), stratum)) & 1) === 1;
	const isCandidate = candidateFirst === ((block & 1) === 0);
	return isCandidate === isSecond ? 'baseline' : 'candidate';
}

/** What draws the sides of a split in a block, where the draw is made anew in each: unsigned 32-bit. */
export function seedOfBlock(seed: number, block: number): number {
	return finish(mixLow(mixLow(0x2545f491, seed), block)) >>> 0;
}

/** The arm that a cell has in a block; `cell` is left out where the whole fleet alternates. */
export function armOfCell(design: Pick<ExperimentDesign, 'seed' | 'cellPairs'>, block: number, cell = ''): ArmName {
	const stratum = design.cellPairs.findIndex((pair) => pair.includes(cell));
	if (stratum < 0) return armOfBlock(design.seed, block);
	return armOfBlock(design.seed, block, stratum, design.cellPairs[stratum]?.[1] === cell);
}

/** Cells that count only together: pairs of cells, one cell where it is judged by itself, one unnamed where the whole fleet alternates. */
export function strataOf({
	cellPairs,
	cell,
}: Pick<ExperimentDesign, 'cellPairs' | 'cell'>): readonly (readonly string[])[] {
	if (cell !== undefined) return [[cell]];
	return cellPairs.length === 0 ? [['']] : cellPairs;
}

/** Cells whose blocks are counted apart. */
export function cellsOf(design: Pick<ExperimentDesign, 'cellPairs' | 'cell'>): readonly string[] {
	return strataOf(design).flat();
}
