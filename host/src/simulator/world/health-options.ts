// Owns the options of a simulated router's fleet: the defaults of the configuration, so that targets are judged as in production.
import type { FusionOptions } from '../../fleet/fusion.js';

export const simFusionOptions: FusionOptions = {
	healthyAfter: 2,
	unhealthyAfter: 3,
	consecutiveFailures: 5,
	errorRatio: 0.5,
	requestsMin: 20,
	windowMs: 10_000,
	ejectionMs: 10_000,
	ejectionMaxMs: 300_000,
	unreachableMs: 1000,
	trialRequests: 3,
	trialSuccesses: 2,
	slowStartMs: 10_000,
	staleAfterMs: 5000,
	smoothingMs: 5000,
	ejectedMaxRatio: 0.5,
};
/** Health checks of one target. */
export const CHECK_PERIOD_MS = 2000;
export const CHECK_TIMEOUT_MS = 1000;
/** What follows from time alone is worked out this often. */
export const REFRESH_MS = 200;
