// Owns what a fault of an upstream is called towards clients and metrics.
import type { RouterErrorCode } from './errors.js';
import type { UpstreamFaultKind } from './upstream/faults.js';

export const failureCodes: Readonly<Record<UpstreamFaultKind, RouterErrorCode>> = {
	invalid: 'IM_REQUEST_MALFORMED',
	connect: 'IM_UPSTREAM_CONNECT',
	reset: 'IM_UPSTREAM_DIED',
	cut: 'IM_UPSTREAM_DIED',
	protocol: 'IM_UPSTREAM_PROTOCOL',
	saturated: 'IM_UPSTREAM_SATURATED',
	internal: 'IM_ROUTE_INTERNAL',
};
