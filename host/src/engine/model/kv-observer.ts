// Owns what somebody outside may be told of the prefix cache. Told in the order in which it happens; blocks go by the numbers of their contents.
import type { BlockRuns } from './block-runs.js';

export type KvTierName = 'device' | 'host';

export interface KvObserver {
	/** Blocks `from` to `to` of a sequence, by their places, are on the device and can be shared. */
	stored(blocks: BlockRuns, tokens: Uint32Array, from: number, to: number): void;
	/** So many contents from a number on have gone from the device to host memory, the last first. */
	spilled(first: number, count: number): void;
	removed(first: number, count: number, tier: KvTierName): void;
}
