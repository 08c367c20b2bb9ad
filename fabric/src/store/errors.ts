// Owns the errors of the replicated state itself: what it refuses, and what makes a command or a snapshot unreadable.
import { defineErrors } from '@infermesh/proto';

const invalid = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const storeErrors = defineErrors({
	IM_STORE_KEY_INVALID: {
		...invalid,
		summary: 'the key is not printable ASCII without spaces, or is longer than 512 characters',
		hint: 'use letters, digits and punctuation such as / - _ . in keys',
	},
	IM_STORE_REQUEST_INVALID: {
		...invalid,
		summary: 'the request contradicts itself or names something out of range',
		hint: 'the message says which part; a transaction may write a key once',
	},
	IM_STORE_REQUEST_TOO_LARGE: {
		...invalid,
		httpStatus: 413,
		summary: 'the request is over a limit of the store',
		hint: 'split it: 128 operations, 1 MiB and 4,096 deleted keys a transaction',
	},
	IM_STORE_ANSWER_TOO_LARGE: {
		...invalid,
		httpStatus: 413,
		grpcStatus: 'OUT_OF_RANGE',
		summary: 'what the transaction reads is over the answer limit',
		hint: 'read outside the transaction, in pages, and guard with conditions',
	},
	IM_STORE_NO_SPACE: {
		httpStatus: 507,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
		summary: 'the store is full and takes no writes but deletes',
		hint: 'delete keys or revoke leases until it is below 90 % of its quota, or raise the quota; on etcd compact, defragment and disarm the alarm',
	},
	IM_STORE_LEASES_EXHAUSTED: {
		httpStatus: 429,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: true,
		summary: 'the store holds as many leases as it may',
		hint: 'look for a client that grants leases and neither keeps nor revokes them',
	},
	IM_STORE_COMMAND_UNKNOWN: {
		httpStatus: 501,
		grpcStatus: 'UNIMPLEMENTED',
		retryable: false,
		summary: 'the command is of a kind or version that this store does not know',
		hint: 'upgrade every member before a newer one is asked for new things',
	},
	IM_STORE_COMMAND_CORRUPT: {
		...invalid,
		summary: 'the bytes are no command',
		hint: 'propose only what encodeCommand made',
	},
	IM_STORE_SNAPSHOT_CORRUPT: {
		httpStatus: 500,
		grpcStatus: 'DATA_LOSS',
		retryable: false,
		summary: 'the snapshot is damaged or cut short',
		hint: 'take another one: from a member that runs, or an older file',
	},
	IM_STORE_SNAPSHOT_VERSION: {
		httpStatus: 501,
		grpcStatus: 'UNIMPLEMENTED',
		retryable: false,
		summary: 'the snapshot was written by a version of another format',
		hint: 'use the version that wrote it, or a later one; docs/compatibility.md says which versions read which formats',
	},
});
