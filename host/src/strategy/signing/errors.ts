// Owns the errors of signing strategies and of the keys that vouch for them.
import { defineErrors } from '@infermesh/proto';

export const signingErrors = defineErrors({
	IM_SIGNING_KEY: {
		summary: 'This is no Ed25519 key.',
		hint: '`infermesh signing-key new NAME` makes a pair: NAME.key signs, NAME.pub is what a mesh trusts. Both are PEM.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_SIGNING_SIGNATURE: {
		summary: 'The signature is not one of this module by this key.',
		hint: 'Sign the module as it is now: `infermesh strategy sign WHAT --key NAME.key`.',
		httpStatus: 422,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_SIGNING_REQUIRED: {
		summary: 'The mesh takes only strategies that a key of this grade has signed.',
		hint: '`infermesh signing-key list` shows the keys it trusts; `strategy.require` in the configuration of its nodes says what it asks.',
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
	},
	IM_SIGNING_KEY_UNKNOWN: {
		summary: 'The mesh trusts no key of this id.',
		hint: '`infermesh signing-key list` shows those it does.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_SIGNING_KEY_IN_USE: {
		summary: 'Loaded strategies rest on this key.',
		hint: 'Unload them first, or load them again with another signature.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
});
