// Owns the check of data-plane API keys: SHA-256 of the presented key, looked up by digest. A lookup by digest reveals nothing by its time:
// who could steer it would have to invert SHA-256.
import { hash } from 'node:crypto';
import type { Authenticator, Caller } from '../router/ports.js';
import type { WorkerKey } from './worker-protocol.js';

/** Longest credential looked at. */
const CREDENTIAL_MAX = 4096;

/** With no keys everyone is the trusted default tenant: loopback development, which the configuration enforces. */
export function createAuthenticator(keys: readonly WorkerKey[], defaultTenantId: number): Authenticator {
	if (keys.length === 0) {
		const everyone: Caller = { tenant: 'default', tenantId: defaultTenantId, policyMask: 0, trusted: true };
		return { authenticate: () => everyone };
	}
	const callers = new Map<string, Caller>(
		keys.map(({ sha256, tenant, tenantId, policyMask, trusted }) => [
			sha256,
			{ tenant, tenantId, policyMask, trusted },
		]),
	);
	return {
		authenticate(authorization) {
			if (authorization === undefined || authorization.length > CREDENTIAL_MAX) return undefined;
			const match = /^Bearer +(\S+)$/i.exec(authorization);
			if (match === null) return undefined;
			// The one-shot form: a third of the cost of a Hash object, on every request.
			return callers.get(hash('sha256', match[1] as string, 'hex'));
		},
	};
}
