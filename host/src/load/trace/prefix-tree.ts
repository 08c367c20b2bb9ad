// Owns the identities of prompt blocks that synthetic requests share: a tree of prefixes whose root all prompts have in common.
// Invariant: a path is fixed by its leaf, so two prompts of one leaf share their whole prefix, two of sibling leaves its upper levels.
import type { Random } from '@infermesh/proto';
import { zipf } from './distribution.js';

export interface PrefixOptions {
	/** Leaves of the tree, 1..65,536: how many distinct prefixes there are. */
	readonly count: number;
	/** Part of a prompt's tokens that comes from its prefix, 0..1. */
	readonly share: number;
	/** Depth, 1..8. With 1 (default) prefixes share nothing; with more, all share the root (a common system prompt). */
	readonly levels?: number;
	/** Blocks in each level above the leaf, 1..1,024. Default 4. */
	readonly levelBlocks?: number;
	/** Zipf exponent of a prefix's popularity, 0..4. Default 0: all equal. */
	readonly skew?: number;
}

/** Ids of unshared blocks start here; ids of the tree stay below 2^36. */
export const FIRST_UNSHARED_BLOCK = 2 ** 40;

const NODES_MAX = 65_536;
const BLOCKS_MAX = 65_536;

export interface PrefixTree {
	/** Draws a leaf. */
	leaf(random: Random): number;
	/** The first `count` block ids on the way to `leaf`; blocks past the inner levels belong to the leaf. */
	blocks(leaf: number, count: number): number[];
}

export function createPrefixTree(options: PrefixOptions): PrefixTree {
	const levels = options.levels ?? 1;
	const levelBlocks = options.levelBlocks ?? 4;
	const draw = zipf(options.count, options.skew ?? 0);
	const nodesAt = (level: number): number =>
		levels === 1 ? options.count : Math.max(1, Math.round(options.count ** (level / (levels - 1))));
	return {
		leaf: draw,
		blocks: (leaf, count) => {
			const ids: number[] = [];
			for (let index = 0; index < Math.min(count, BLOCKS_MAX); index++) {
				const level = Math.min(levels - 1, Math.floor(index / levelBlocks));
				const node = Math.floor((leaf * nodesAt(level)) / options.count);
				ids.push((level * NODES_MAX + node) * BLOCKS_MAX + index);
			}
			return ids;
		},
	};
}
