// Owns the error catalogue of the project generator.
import { defineErrors } from '@infermesh/proto';

export const templateErrors = defineErrors({
	IM_TEMPLATE_UNKNOWN: {
		summary: 'there is no template of that name',
		hint: 'use strategy-as, strategy-as-minimal, strategy-as-affinity, strategy-c, strategy-rust or strategy-rust-wasm',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TEMPLATE_NAME_INVALID: {
		summary: 'the strategy name is not usable',
		hint: 'use 2 to 64 lower-case letters, digits, `-` and `_`, starting with a letter; give one with --name',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TEMPLATE_NAME_RESERVED: {
		summary: 'the name belongs to a strategy that ships with the mesh',
		hint: 'choose another with --name; `infermesh strategies` lists the shipped ones',
		httpStatus: 400,
		grpcStatus: 'ALREADY_EXISTS',
		retryable: false,
	},
	IM_TEMPLATE_DESCRIPTION_INVALID: {
		summary: 'the description is not usable',
		hint: 'use one line of at most 200 characters',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TEMPLATE_PATH_INVALID: {
		summary: 'a project cannot be written at that path',
		hint: 'name a folder that does not exist yet, is empty, or holds a strategy project',
		httpStatus: 400,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_TEMPLATE_FOLDER_IN_USE: {
		summary: 'the folder holds files and is not a strategy project',
		hint: 'choose another folder, or add --force to write the project among these files',
		httpStatus: 400,
		grpcStatus: 'ALREADY_EXISTS',
		retryable: false,
	},
	IM_TEMPLATE_WRITE_FAILED: {
		summary: 'a file of the project could not be written',
		hint: 'check the permissions of the folder and the space left on the disk',
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		retryable: true,
	},
	IM_TEMPLATE_SDK_MISSING: {
		summary: 'the AssemblyScript SDK to copy into the project was not found',
		hint: 'the installation is incomplete: run `npm ci` and `npm run build` in the InferMesh checkout',
		httpStatus: 500,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_TEMPLATE_CANCELLED: {
		summary: 'cancelled; nothing was written',
		hint: 'run it again, or give the answers as options with --yes',
		httpStatus: 499,
		grpcStatus: 'CANCELLED',
		retryable: true,
	},
	IM_TEMPLATE_USAGE: {
		summary: 'the command line is not understood',
		hint: 'usage: create-infermesh-strategy PATH [--template NAME] [--name NAME] [--description TEXT] [--yes] [--force] [--json]',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
});
