// Owns the JSON records of a recording: what is recorded and how, which strategies decided, which pools were seen.

/** How much of what could identify a session or a prompt is kept. The prompt itself never is. */
export const hashModes = ['salted', 'dropped', 'kept'] as const;
export type HashMode = (typeof hashModes)[number];

export interface ColumnEntry {
	readonly id: number;
	readonly name: string;
	readonly type: 'u32' | 'f32';
}

/** First record of every file. */
export interface MetaEntry {
	readonly format: number;
	/** Names the recording; all its files have the same. */
	readonly recording: string;
	/** Position of this file in the recording, from 0. */
	readonly file: number;
	readonly createdAtMs: number;
	readonly node: string;
	readonly version: string;
	/** Share of decisions recorded, 0..1. */
	readonly sample: number;
	readonly hashes: HashMode;
	/** Columns of every keyframe and mask, in this order. */
	readonly columns: readonly ColumnEntry[];
	readonly meshSeed: readonly [low: number, high: number];
	readonly workers: number;
	/** Tokens in a block of the prompt hashes of a decision. */
	readonly blockTokens: number;
}

/** A strategy version as it decided. */
export interface StrategyEntry {
	readonly versionId: number;
	/** `name@version`. */
	readonly label: string;
	/** Digest of source module, instrumenter and fuel weights. */
	readonly digest: string;
	readonly factors: readonly string[];
	/** One 32-bit slot for each configuration entry. */
	readonly config: readonly number[];
	readonly fuel: { readonly base: number; readonly perTarget: number; readonly stackSlotsMax: number };
}

/** One pool as one worker saw it, with one set of targets. */
export interface StreamEntry {
	/** Unique in the recording until it is given again. */
	readonly stream: number;
	readonly worker: number;
	readonly pool: number;
	readonly model: string;
	/** Target id of each row; null = a hole. */
	readonly targets: readonly (string | null)[];
}
