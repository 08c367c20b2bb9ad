// Owns what the segment log can be told: sizes, bounds, and the known bugs that the proof switches on.

/** Known bugs. The simulation must catch each one; a node never sets any. */
export type LogMutation =
	/** Acknowledges what only the page cache has. */
	| 'skip-fsync'
	/** Acknowledges at once and syncs before the next write. */
	| 'ack-before-sync'
	/** Takes the success of a second fsync for the success of the first. */
	| 'retry-after-failed-sync'
	/** Reads records without looking at their checksums. */
	| 'ignore-checksum'
	/** Reuses a segment as it is, and does not look at the sequence records carry. */
	| 'reuse-segment-without-sequence'
	/** Leaves the names of new segments to chance. */
	| 'no-folder-sync'
	/** Takes damage in the middle for a torn tail and drops what follows. */
	| 'truncate-middle-corruption'
	/** Reuses a segment without having carried hard states and snapshot marks forward. */
	| 'recycle-live-marks'
	/** Takes what the page cache shows after a restart for durable. */
	| 'trust-cache-on-open'
	/** Leaves what a torn write left behind the tail, so that a later tear cannot be told from damage. */
	| 'leave-torn-residue';

export interface SegmentLogOptions {
	/** Folder of the log on its disk. */
	readonly folder: string;
	/** Size of a segment file. */
	readonly segmentBytes: number;
	/** Unused segments kept for reuse; more are removed. */
	readonly sparesMax: number;
	/** Largest data of an entry. */
	readonly entryMaxBytes: number;
	/** A batch is written as frames of at most this many bytes, each made durable before the next; room for the largest entry at least. */
	readonly frameMaxBytes: number;
	/** Bytes zero-filled in one step of maintenance. */
	readonly fillStepBytes: number;
	readonly mutations: ReadonlySet<LogMutation>;
}

export const segmentLogDefaults: SegmentLogOptions = {
	folder: 'log',
	segmentBytes: 64 * 1024 * 1024,
	sparesMax: 2,
	entryMaxBytes: 1.5 * 1024 * 1024,
	frameMaxBytes: 4 * 1024 * 1024,
	fillStepBytes: 1024 * 1024,
	mutations: new Set(),
};
