// Owns the errors of building a strategy.
import { defineErrors } from '@infermesh/proto';

const author = { httpStatus: 422, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const buildErrors = defineErrors({
	IM_BUILD_COMPILE: {
		summary: 'The strategy does not compile',
		hint: 'correct the lines named above',
		...author,
	},
	IM_BUILD_ENTRY: {
		summary: 'The entry file of the strategy is missing',
		hint: 'create the file, or set `source` in strategy.yaml to where it is',
		...author,
	},
	IM_BUILD_COMPILER: {
		summary: 'There is no compiler for the language of the strategy',
		hint: 'install a C compiler called cc (Debian: apt-get install gcc libc6-dev)',
		...author,
	},
	IM_BUILD_TIMEOUT: {
		summary: 'The compiler did not end in time',
		hint: 'build again when the machine is less busy: what Rust has compiled is kept',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_BUILD_TARGET: {
		summary: 'The strategy is not built to that target',
		hint: 'leave `--target` out: AssemblyScript is built to WebAssembly and C to a shared library; only Rust has a choice',
		...author,
	},
	IM_BUILD_HOOKS: {
		summary: 'The exports of the strategy do not match the hooks in its manifest',
		hint: 'export each hook listed under `hooks`, with the parameters on the ABI page, and list each hook you export',
		...author,
	},
	IM_BUILD_ALLOCATES: {
		summary: 'The strategy allocates memory',
		hint: 'use numbers, columns and scratch(): `new`, array and object literals, string joining and closures allocate; a decision must not',
		...author,
	},
	IM_BUILD_START: {
		summary: 'The strategy runs code when it is loaded',
		hint: 'give top-level variables constant values, and compute others in init or on first use',
		...author,
	},
	IM_BUILD_IMPORT: {
		summary: 'The strategy imports something the host does not give',
		hint: 'a strategy gets its memory and nothing else: no console, clock, random numbers or environment; the request block has a clock and a seed',
		...author,
	},
});
