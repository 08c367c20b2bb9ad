// Owns the errors of recording, reading recordings and replaying them.
import { defineErrors } from '@infermesh/proto';

export const recorderErrors = defineErrors({
	IM_RECORDING_READ: {
		summary: 'A recording could not be read.',
		hint: 'Check that the path names a readable file made by the recorder.',
		httpStatus: 400,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_RECORDING_FORMAT: {
		summary: 'The file is no recording, or one of a format that this version does not know.',
		hint: 'Recordings end in .imrec and begin with IMREC; read newer ones with the version that wrote them.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_RECORDING_TRUNCATED: {
		summary: 'The recording ends before its end.',
		hint: 'It was cut short or is still being written; what is whole before the byte named is used, and marked partial.',
		httpStatus: 400,
		grpcStatus: 'DATA_LOSS',
		retryable: false,
	},
	IM_RECORDING_DAMAGED: {
		summary: 'A part of the recording is damaged.',
		hint: 'The checksum of the block at the byte named does not match; reading goes on at the next whole block, and the result is marked partial.',
		httpStatus: 400,
		grpcStatus: 'DATA_LOSS',
		retryable: false,
	},
	IM_RECORDING_TAMPERED: {
		summary: 'The recording has been changed since it was written.',
		hint: 'The rolling hash breaks at the byte named: blocks were edited, removed or put in another order. Do not base a decision on it.',
		httpStatus: 400,
		grpcStatus: 'DATA_LOSS',
		retryable: false,
	},
	IM_RECORDING_LIMIT: {
		summary: 'The recording exceeds a limit of the reader.',
		hint: 'Give fewer files, or raise the limit named.',
		httpStatus: 413,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_RECORDER_BUSY: {
		summary: 'The node records already.',
		hint: 'Stop it first: infermesh record stop.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_RECORDER_DISK: {
		summary: 'The recorder cannot write.',
		hint: 'Check that recorder.dir exists or can be made, is writable, and that the disk has room.',
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		retryable: true,
	},
	IM_REPLAY_STRATEGY: {
		summary: 'A strategy that decided in the recording is not at hand.',
		hint: 'Record with recorder.modules on, or give its module or library: infermesh replay FILE --with NAME.wasm (or NAME.so).',
		httpStatus: 400,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_REPLAY_FAILED: {
		summary: 'The process that replays ended before it answered.',
		hint: 'It is limited in memory and time; give fewer files, or raise --memory-mib and --timeout.',
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		retryable: false,
	},
});
