// Owns the list of all error catalogues: docs/errors.md is made from it, and a test keeps it complete.
import { adapterErrors } from '@infermesh/adapters';
import { fabricErrorSections } from '@infermesh/fabric';
import type { ErrorCatalogue } from '@infermesh/proto';
import { buildErrors, frameErrors, manifestErrors } from '@infermesh/sdk';
import { templateErrors } from 'create-infermesh-strategy';
import { adminErrors } from './admin/errors.js';
import { agentApiErrors } from './agent-api/errors.js';
import { cellErrors } from './cells/errors.js';
import { cliErrors } from './cli/errors.js';
import { configErrors } from './config/errors.js';
import { discoveryErrors } from './discovery/errors.js';
import { engineErrors } from './engine/errors.js';
import { designErrors } from './experiments/design/errors.js';
import { experimentErrors } from './experiments/errors.js';
import { fleetErrors } from './fleet/errors.js';
import { loadErrors } from './load/errors.js';
import { traceErrors } from './load/trace/errors.js';
import { fabricNodeErrors } from './main/fabric/errors.js';
import { meshErrors } from './mesh/errors.js';
import { peerLoadErrors } from './peer-load/errors.js';
import { projectErrors } from './project/errors.js';
import { recorderErrors } from './recorder/errors.js';
import { recordErrors } from './records/errors.js';
import { reportErrors } from './reports/errors.js';
import { routerErrors } from './router/errors.js';
import { signalErrors } from './signals/errors.js';
import { signedErrors } from './signed/errors.js';
import { calibrateErrors } from './simulator/calibrate/errors.js';
import { gridErrors } from './simulator/grid/errors.js';
import { simulationScenarioErrors } from './simulator/scenario/errors.js';
import { simulationErrors } from './simulator/world/errors.js';
import { statisticsErrors } from './statistics/errors.js';
import { admissionErrors } from './strategy/admission/errors.js';
import { nativeErrors } from './strategy/native/errors.js';
import { registryErrors } from './strategy/registry/errors.js';
import { signingErrors } from './strategy/signing/errors.js';

/** One room's errors under the heading they have in the docs. */
export interface ErrorSection {
	readonly title: string;
	readonly errors: ErrorCatalogue;
}

export const errorSections: readonly ErrorSection[] = [
	{ title: 'Requests on the data plane', errors: routerErrors },
	{ title: 'Targets', errors: fleetErrors },
	{ title: 'Discovery', errors: discoveryErrors },
	{ title: 'Records of the mesh', errors: recordErrors },
	{ title: 'Nodes of the mesh', errors: meshErrors },
	{ title: 'A node’s part in the mesh', errors: fabricNodeErrors },
	{ title: 'Load of other routers', errors: peerLoadErrors },
	{ title: 'GPUs', errors: signalErrors },
	{ title: 'Cells', errors: cellErrors },
	...fabricErrorSections,
	{ title: 'Loading and staging strategies', errors: registryErrors },
	{ title: 'Admission of strategies', errors: admissionErrors },
	{ title: 'Signing strategies', errors: signingErrors },
	{ title: 'Native strategies', errors: nativeErrors },
	{ title: 'Signed reports', errors: signedErrors },
	{ title: 'Experiments on a running mesh', errors: experimentErrors },
	{ title: 'Designs of experiments', errors: designErrors },
	{ title: 'Admin API', errors: adminErrors },
	{ title: 'Agent API', errors: agentApiErrors },
	{ title: 'Adapters', errors: adapterErrors },
	{ title: 'Reports of adapters', errors: reportErrors },
	{ title: 'Configuration', errors: configErrors },
	{ title: 'Command line', errors: cliErrors },
	{ title: 'Strategy projects', errors: projectErrors },
	{ title: 'Strategy manifests', errors: manifestErrors },
	{ title: 'Building strategies', errors: buildErrors },
	{ title: 'Strategy frames', errors: frameErrors },
	{ title: 'Strategy templates', errors: templateErrors },
	{ title: 'Load generator', errors: loadErrors },
	{ title: 'Traces', errors: traceErrors },
	{ title: 'Simulation scenarios', errors: simulationScenarioErrors },
	{ title: 'Simulations', errors: gridErrors },
	{ title: 'Calibration', errors: calibrateErrors },
	{ title: 'Recordings and replay', errors: recorderErrors },
	{ title: 'Simulation', errors: simulationErrors },
	{ title: 'Emulated engine', errors: engineErrors },
	{ title: 'Statistics', errors: statisticsErrors },
];
