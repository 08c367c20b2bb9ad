// Owns the errors of the durable log and of snapshot files.
import { defineErrors } from '@infermesh/proto';

const disk = { httpStatus: 503, grpcStatus: 'UNAVAILABLE', retryable: false } as const;
const damaged = { httpStatus: 500, grpcStatus: 'DATA_LOSS', retryable: false } as const;

export const logErrors = defineErrors({
	IM_LOG_CLOSED: {
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: false,
		summary: 'the log is closed',
		hint: 'the node is stopping',
	},
	IM_LOG_CORRUPT: {
		...damaged,
		summary: 'the log holds records that were written and are no longer what was written',
		hint: 'this copy must not vote: stop the node, remove it from its group, move its log folder away and let it join again as a new learner; with no quorum left, restore a backup',
	},
	IM_LOG_DISK_FAILED: {
		...disk,
		summary: 'the disk failed a write or a sync of the log, so what it holds is unknown',
		hint: 'the node stops by itself; look at the kernel log, replace the disk or free the file system, then start the node: it reads back what is really there',
	},
	IM_LOG_DISK_FULL: {
		...disk,
		retryable: true,
		summary: 'the file system has no room for another segment of the log',
		hint: 'make room: the log tries again by itself and the node returns; nothing that was acknowledged is lost',
	},
	IM_LOG_ENTRY_TOO_LARGE: {
		httpStatus: 413,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
		summary: 'a log entry is larger than the bound',
		hint: 'large contents belong beside the log: store the blob by its digest and propose the digest',
	},
	IM_LOG_GAP: {
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		retryable: false,
		summary: 'a write does not continue its group’s log',
		hint: 'this is a bug of the caller: entries must follow the last one, replace a tail, or come with the snapshot before them',
	},
	IM_LOG_LOCKED: {
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
		summary: 'another process has this data folder open',
		hint: 'stop the other node or give this one a data folder of its own',
	},
	IM_LOG_QUEUE_FULL: {
		httpStatus: 503,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
		summary: 'more bytes wait for the disk than the bound allows',
		hint: 'the disk is too slow or full: the owner must heed queuedBytes before it appends',
	},
	IM_LOG_THREAD_ENDED: {
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: false,
		summary: 'the thread of the log has ended unasked',
		hint: 'the node stops by itself; its own log has the cause: start it again, and report it when it comes back',
	},
	IM_SNAPSHOT_CORRUPT: {
		...damaged,
		summary: 'a snapshot file is cut short or is not what was written',
		hint: 'an older snapshot or another member’s takes its place; remove the file when neither is there and restore a backup',
	},
	IM_SNAPSHOT_GONE: {
		httpStatus: 409,
		grpcStatus: 'ABORTED',
		retryable: true,
		summary: 'the snapshot is not there any more',
		hint: 'a newer one has taken its place: ask again for the newest',
	},
});
