// Owns what somebody outside may be told of the prefix cache. Told in the order in which it happens; blocks go by their chained hashes.

export type KvTierName = 'device' | 'host';

export interface KvObserver {
	/** Blocks `from` to `to` of a sequence are on the device under their hashes (two words each) and can be shared. */
	stored(hashes: Uint32Array, tokens: Uint32Array, from: number, to: number): void;
	/** A block is in host memory now. */
	moved(low: number, high: number): void;
	removed(low: number, high: number, tier: KvTierName): void;
}
