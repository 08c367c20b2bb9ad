// Owns the check of data-plane API keys: SHA-256 of the presented key, looked up by digest. A lookup by digest reveals nothing by its time:
// who could steer it would have to invert SHA-256. Keys may be replaced while it is in use.
import { hash } from 'node:crypto';
import type { Clock } from '@infermesh/proto';
import type { Authenticator, Caller } from '../router/ports.js';
import type { WorkerKey } from './worker-protocol.js';

/** Longest credential looked at. */
const CREDENTIAL_MAX = 4096;

export interface ReplaceableAuthenticator extends Authenticator {
	/** Takes effect for the next request. */
	readonly replace: (keys: readonly WorkerKey[]) => void;
}

export interface AuthenticatorOptions {
	readonly defaultTenantId: number;
	/** While there are no keys everyone is the trusted default tenant: for loopback only. Otherwise nobody is let in without a key. */
	readonly openWithoutKeys: boolean;
}

export function createAuthenticator(
	keys: readonly WorkerKey[],
	clock: Pick<Clock, 'wallMs'>,
	{ defaultTenantId, openWithoutKeys }: AuthenticatorOptions,
): ReplaceableAuthenticator {
	const everyone: Caller = {
		tenant: 'default',
		tenantId: defaultTenantId,
		policyMask: 0,
		leastGrade: 0,
		trusted: true,
	};
	let callers = new Map<string, { readonly caller: Caller; readonly expiresAtMs: number }>();
	let expiries = new Map<Caller, number>();
	const replace = (next: readonly WorkerKey[]): void => {
		callers = new Map(
			next.map(({ sha256, tenant, tenantId, policyMask, leastGrade = 0, trusted, expiresAtMs }) => [
				sha256,
				{
					caller: { tenant, tenantId, policyMask, leastGrade, trusted },
					expiresAtMs: expiresAtMs ?? Number.POSITIVE_INFINITY,
				},
			]),
		);
		expiries = new Map([...callers.values()].map(({ caller, expiresAtMs }) => [caller, expiresAtMs]));
	};
	replace(keys);
	return {
		replace,
		stands: (caller) => clock.wallMs() < (expiries.get(caller) ?? 0),
		authenticate(authorization) {
			if (callers.size === 0 && openWithoutKeys) return everyone;
			if (authorization === undefined || authorization.length > CREDENTIAL_MAX) return undefined;
			const match = /^Bearer +(\S+)$/i.exec(authorization);
			if (match === null) return undefined;
			// The one-shot form: a third of the cost of a Hash object, on every request.
			const found = callers.get(hash('sha256', match[1] as string, 'hex'));
			return found === undefined || clock.wallMs() >= found.expiresAtMs ? undefined : found.caller;
		},
	};
}
