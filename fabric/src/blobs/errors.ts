// Owns the errors of the store of blobs.
import { defineErrors } from '@infermesh/proto';

export const blobErrors = defineErrors({
	IM_BLOB_TOO_LARGE: {
		summary: 'The blob is larger than the mesh keeps.',
		hint: 'The message names the limit; make it smaller.',
		httpStatus: 413,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_BLOB_FULL: {
		summary: 'The holder has no room for another blob.',
		hint: 'Unload strategies that are no longer needed.',
		httpStatus: 507,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_BLOB_NO_QUORUM: {
		summary: 'Too few holders took the blob; nothing that names it was written.',
		hint: 'Bring back enough coordinators, then try again.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_BLOB_UNKNOWN: {
		summary: 'Nobody holds a blob of this name.',
		hint: 'It was let go: load what it belonged to again.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_BLOB_UNAVAILABLE: {
		summary: 'No holder of the blob could be reached.',
		hint: 'It is tried again; look at `infermesh nodes list`.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_BLOB_CORRUPT: {
		summary: 'The bytes are not those that the name stands for.',
		hint: 'The copy is discarded and fetched elsewhere; look at the disk of the holder the message names.',
		httpStatus: 500,
		grpcStatus: 'DATA_LOSS',
		retryable: true,
	},
});
