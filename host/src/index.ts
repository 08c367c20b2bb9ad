export { admissionDigest, admitModule, INSTRUMENTER_VERSION, instrumentProfile } from './strategy/admission/admit.js';
export { type AdmissionCode, admissionErrors } from './strategy/admission/errors.js';
export {
	type AdmissionResult,
	type AdmitOptions,
	type AdmittedModule,
	admitDefaults,
	type ProfiledModule,
	type Refusal,
	type TrapSymbols,
} from './strategy/admission/result.js';
export { mapTrap, type TrapCause, type TrapPlace, trapCause } from './strategy/admission/trap.js';
