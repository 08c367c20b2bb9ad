// Owns the errors of the command line itself, and which exit code an error ends with.
import { defineErrors, type MeshError } from '@infermesh/proto';

const refused = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const cliErrors = defineErrors({
	IM_CLI_USAGE: {
		...refused,
		summary: 'the command line is not understood',
		hint: '--help shows options and an example',
	},
	IM_CLI_UNREACHABLE: {
		...refused,
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
		summary: 'no mesh answers',
		hint: 'start one with `infermesh up`, or name it: --admin http://HOST:PORT or INFERMESH_ADMIN',
	},
	IM_CLI_TLS: {
		...refused,
		httpStatus: 502,
		grpcStatus: 'UNAVAILABLE',
		summary: 'no TLS connection to the admin API',
		hint: '--admin-ca FILE names the authority of its certificate, which must be for the host of --admin; where it asks for a certificate, --admin-cert and --admin-key',
	},
	IM_CLI_NOT_A_MESH: {
		...refused,
		httpStatus: 502,
		grpcStatus: 'UNAVAILABLE',
		summary: 'what answers there is no InferMesh admin API',
		hint: 'the admin API is on its own port (8081 by default), not on the data port',
	},
	IM_CLI_NOT_LOOPBACK: {
		...refused,
		summary: 'a development mesh listens on loopback only',
		hint: 'use `infermesh agent --config FILE` with keys and an admin token to listen beyond this machine',
	},
	IM_CLI_ENGINE_FAILED: {
		...refused,
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		summary: 'an emulated engine did not start',
		hint: 'a port in use is the usual cause: --engine-port N chooses others, 0 any free ones',
	},
	IM_CLI_NODE_FAILED: {
		summary: 'A node of the development mesh did not come up.',
		hint: 'The end of its log says why.',
		httpStatus: 500,
		grpcStatus: 'UNAVAILABLE',
		retryable: false,
	},
	IM_CLI_PORT_IN_USE: {
		...refused,
		httpStatus: 500,
		grpcStatus: 'UNAVAILABLE',
		summary: 'a port is in use',
		hint: 'another mesh may be running; choose other ports with --port and --admin-port (0 takes a free one)',
	},
	IM_CLI_POLICY: {
		...refused,
		summary: 'what was given is no policy of this kind',
		hint: '/api/v1/openapi.json has the schema of each kind; docs/operations.md has examples',
	},
	IM_CLI_STREAM: {
		...refused,
		httpStatus: 502,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
		summary: 'the mesh ended a stream with an error',
		hint: 'the message is its own; `infermesh events` without --after begins with the oldest change that is kept',
	},
	IM_CLI_NO_SHADOW: {
		...refused,
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		summary: 'no shadow of that name has run',
		hint: '`infermesh strategy stage NAME shadow` makes it one; counts come a second after its first decision',
	},
	IM_CLI_SYSTEM: {
		...refused,
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		summary: 'the operating system refused',
		hint: 'the message is its own: a file, a permission or a limit',
	},
	IM_CLI_BUG: {
		...refused,
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		summary: 'something broke that should not',
		hint: 'this is a bug of InferMesh; INFERMESH_DEBUG=1 prints where it happened',
	},
});

export const EXIT_OK = 0;
/** A check or threshold failed, or the mesh refused. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_CONFIG = 3;
export const EXIT_UNREACHABLE = 4;
export const EXIT_DENIED = 5;
/** After a second interrupt: 128 + SIGINT. */
export const EXIT_INTERRUPTED = 130;

const usage = new Set([
	'IM_ADAPTER_UNKNOWN',
	'IM_ADAPTER_SETTING',
	'IM_CLI_USAGE',
	'IM_CLI_NOT_LOOPBACK',
	'IM_CLI_POLICY',
	'IM_TEMPLATE_USAGE',
	'IM_BENCH_OPTION_INVALID',
	'IM_LOAD_OPTION',
	'IM_TRACE_OPTION',
	'IM_ENGINE_OPTIONS_INVALID',
	'IM_ENGINE_PROFILE_UNKNOWN',
	'IM_SIMULATE_OPTION',
	'IM_SIMULATE_UNTIL',
	'IM_SIMULATION_SCENARIO_NOT_FOUND',
]);

/** The exit code of an error. */
export function exitCodeOf(error: MeshError): number {
	if (usage.has(error.code) || error.code.startsWith('IM_THRESHOLD_')) return EXIT_USAGE;
	if (error.code.startsWith('IM_CONFIG_') || error.code.startsWith('IM_SIMULATION_SCENARIO_')) return EXIT_CONFIG;
	if (['IM_CLI_UNREACHABLE', 'IM_CLI_TLS', 'IM_CLI_NOT_A_MESH', 'IM_LOAD_UNREACHABLE'].includes(error.code))
		return EXIT_UNREACHABLE;
	if (error.entry.httpStatus === 401 || error.entry.httpStatus === 403) return EXIT_DENIED;
	return EXIT_FAILED;
}
