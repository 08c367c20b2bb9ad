// Owns the list of all error catalogues: docs/errors.md is made from it, and a test keeps it complete.
import { defineErrors, type ErrorCatalogue } from '@infermesh/proto';
import { buildErrors, frameErrors, manifestErrors } from '@infermesh/sdk';
import { templateErrors } from 'create-infermesh-strategy';
import { adminErrors } from './admin/errors.js';
import { cliErrors } from './cli/errors.js';
import { configErrors } from './config/errors.js';
import { engineErrors } from './engine/errors.js';
import { fleetErrors } from './fleet/errors.js';
import { loadErrors } from './load/errors.js';
import { traceErrors } from './load/trace/errors.js';
import { projectErrors } from './project/errors.js';
import { routerErrors } from './router/errors.js';
import { admissionErrors } from './strategy/admission/errors.js';
import { registryErrors } from './strategy/registry/errors.js';

const refusal = { httpStatus: 422, grpcStatus: 'FAILED_PRECONDITION' } as const;

/** Refusals from around the scanner, by the admission process itself. They come in reports with messages and hints of the place. */
export const admissionProcessErrors = defineErrors({
	IM_ADMISSION_CONFORMANCE: {
		...refusal,
		summary: 'the strategy gave an answer that a strategy must not give',
		hint: 'reproduce it with `infermesh strategy test` or `strategy run`',
		retryable: false,
	},
	IM_ADMISSION_TIMEOUT: {
		...refusal,
		summary: 'admission took longer than strategy.admission_timeout_ms and was killed',
		hint: 'the module costs too much to compile or to run; make it smaller',
		retryable: false,
	},
	IM_ADMISSION_CHILD: {
		...refusal,
		summary: 'the admission process ended early',
		hint: 'the module exhausts memory while it is compiled or run, or the system refused a process',
		retryable: true,
	},
	IM_ADMISSION_BUSY: {
		...refusal,
		summary: 'too many admissions are waiting',
		hint: 'try again in a moment',
		retryable: true,
	},
});

/** One room's errors under the heading they have in the docs. */
export interface ErrorSection {
	readonly title: string;
	readonly errors: ErrorCatalogue;
}

export const errorSections: readonly ErrorSection[] = [
	{ title: 'Requests on the data plane', errors: routerErrors },
	{ title: 'Targets', errors: fleetErrors },
	{ title: 'Loading and staging strategies', errors: registryErrors },
	{ title: 'Admission of strategies', errors: admissionErrors },
	{ title: 'The admission process', errors: admissionProcessErrors },
	{ title: 'Admin API', errors: adminErrors },
	{ title: 'Configuration', errors: configErrors },
	{ title: 'Command line', errors: cliErrors },
	{ title: 'Strategy projects', errors: projectErrors },
	{ title: 'Strategy manifests', errors: manifestErrors },
	{ title: 'Building strategies', errors: buildErrors },
	{ title: 'Strategy frames', errors: frameErrors },
	{ title: 'Strategy templates', errors: templateErrors },
	{ title: 'Load generator', errors: loadErrors },
	{ title: 'Traces', errors: traceErrors },
	{ title: 'Emulated engine', errors: engineErrors },
];
