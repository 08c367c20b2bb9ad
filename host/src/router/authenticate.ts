// Owns the authenticate stage: who is calling, and which of the caller's wishes count. Checking keys is the port's.
import type { IncomingHttpHeaders } from 'node:http';
import type { RouterEnv } from './env.js';
import type { Refusal } from './errors.js';
import type { Caller } from './ports.js';
import { readWishes } from './request-headers.js';
import type { RoutedRequest } from './routed-request.js';

/** What a client presents. `api-key` and `x-api-key` stand for a bearer token, as some clients send them. */
export function credentialsOf(headers: IncomingHttpHeaders): string | undefined {
	const key = headers['x-api-key'] ?? headers['api-key'];
	return headers.authorization ?? (typeof key === 'string' ? `Bearer ${key}` : undefined);
}

/** Sets caller, tenant and wishes. */
export function authenticate(env: RouterEnv, request: RoutedRequest): Refusal | undefined {
	const caller = callerOf(env, request);
	if (caller === undefined) return { code: 'IM_REQUEST_UNAUTHENTICATED' };
	actFor(env, request, caller);
	return undefined;
}

/** Sets who is known to be calling, and which wishes count. */
export function actFor(env: RouterEnv, request: RoutedRequest, caller: Caller): void {
	request.caller = caller;
	request.tenantId = caller.tenantId;
	if (!caller.trusted) return;
	request.wishes = readWishes(request);
	const { tenant } = request.wishes;
	if (tenant !== undefined) request.tenantId = env.ports.interner.tenant(tenant);
}

/** Who is calling as things stand now: keys expire and are taken back while calls live. Undefined = refused. */
export function callerOf(env: RouterEnv, { connection, headers }: RoutedRequest): Caller | undefined {
	return identify(env, connection, credentialsOf(headers));
}

/**
 * A connection that sends what it has sent before is not hashed for again. What is presented is compared with what this very connection
 * presented, never with a key of somebody else's.
 */
function identify(env: RouterEnv, connection: object, credentials: string | undefined): Caller | undefined {
	const proof = env.proofs.get(connection);
	const { authenticator } = env.ports;
	if (proof !== undefined && proof.credentials === credentials && authenticator.stands(proof.caller))
		return proof.caller;
	const caller = authenticator.authenticate(credentials);
	if (caller !== undefined && credentials !== undefined) env.proofs.set(connection, { credentials, caller });
	return caller;
}
