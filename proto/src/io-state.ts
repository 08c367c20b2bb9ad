// Owns the record by which adapters report how fast and how soundly checkpoints are written and data sets read. As in deltas.ts, a field that is absent
// was not seen; units stand last in a name.

export const ioSources = ['s3', 'gcs', 'file', 'aistore', 'minio', 'training'] as const;
export type IoSource = (typeof ioSources)[number];

/** Writing of checkpoints: `infermesh.checkpoint.*`. */
export interface CheckpointStat {
	/** Time of one write, from its first byte to the store's word that it is durable, mean of the interval, ms. */
	readonly durationMs?: number;
	readonly durationMsMax?: number;
	/** Bytes of one. */
	readonly bytes?: number;
	readonly bytesPerSec?: number;
	/** Of `durationMs`, the time the writer could only wait: for fsync, or for the store's answer after the last byte, ms. */
	readonly stallMs?: number;
	/** Since the newest checkpoint under the prefix was written, s. */
	readonly ageS?: number;
}

/** Reading of data sets: `infermesh.dataset.*`. */
export interface DatasetStat {
	/** Bytes read in the interval. */
	readonly readBytes?: number;
	readonly readBytesPerSec?: number;
	/** Time of one read, mean of the interval, ms. */
	readonly readDurationMs?: number;
	readonly readDurationMsMax?: number;
	/** Until its first byte, mean, ms. */
	readonly waitDurationMs?: number;
	/** Requests the store holds back or works on. */
	readonly queueDepth?: number;
	/** Time of one listing, mean, ms. */
	readonly listDurationMs?: number;
}

export interface IoStateDelta {
	/** When it was observed, in the observer's monotonic clock, ms. */
	readonly observedAtMs: number;
	readonly source: IoSource;
	/** The store as an operator knows it: `s3://bucket/prefix`, a folder, a node of a storage cluster. Never with credentials. */
	readonly store: string;
	readonly node?: string;
	readonly jobId?: string;
	readonly rank?: number;
	readonly intervalMs?: number;
	readonly restarted?: boolean;
	/** Measured by requests of the adapter's own, not by those of a job. */
	readonly probed: boolean;
	readonly checkpoint?: CheckpointStat;
	readonly dataset?: DatasetStat;
	/** Requests in the interval, and those of them that failed. */
	readonly requests?: number;
	readonly failures?: number;
	/** Codes of failures, at most `ioBounds.errorsMax`. */
	readonly errors: readonly string[];
	/** Of the fullest disk, 0 to 1. */
	readonly diskUtilisation?: number;
	readonly unread: readonly string[];
}

export const ioBounds = Object.freeze({ errorsMax: 16, unreadMax: 32, textCharsMax: 200, nameCharsMax: 256 });
