// Owns the errors of strategy manifests: reading strategy.yaml, and the manifest inside a module.
import { defineErrors } from '@infermesh/proto';

const author = { httpStatus: 422, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const manifestErrors = defineErrors({
	IM_MANIFEST_NOT_FOUND: {
		summary: 'There is no strategy.yaml here',
		hint: 'run this in the folder of a strategy project, or make one with `infermesh strategy new`',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_MANIFEST_SYNTAX: {
		summary: 'The manifest is not valid YAML',
		hint: 'correct the line named above',
		...author,
	},
	IM_MANIFEST_INVALID: {
		summary: 'The manifest does not follow its schema',
		hint: 'correct the fields named above; docs/strategies.md lists them all',
		...author,
	},
	IM_MANIFEST_ABI: {
		summary: 'The strategy was built for another version of the ABI',
		hint: 'rebuild it with the SDK of this mesh, or run a newer mesh',
		...author,
	},
	IM_MANIFEST_NOT_WASM: {
		summary: 'This is neither a WebAssembly module nor a native library',
		hint: 'give the .wasm or .so file that `infermesh strategy build` wrote',
		...author,
	},
	IM_MANIFEST_MISSING: {
		summary: 'The WebAssembly module is no strategy: it carries no manifest',
		hint: 'build it with `infermesh strategy build`, which puts the manifest into the module',
		...author,
	},
	IM_MANIFEST_CORRUPT: {
		summary: 'The module or the manifest inside it is damaged',
		hint: 'build the strategy again; if the file was copied, compare its digest',
		...author,
	},
	IM_MANIFEST_CONFIG: {
		summary: 'A configuration value does not fit the strategy',
		hint: 'the strategy declares its values, types and ranges under `config` in its manifest',
		...author,
	},
});
