// Owns who may call the admin API, and under which name: the bearer tokens, and the refusal of calls that a web page of another site makes through a
// browser on this machine (cross-site requests, DNS rebinding).
import { createHash, timingSafeEqual } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { isLoopback } from '../config/rules.js';
import type { Asker } from '../mesh/operations.js';
import { adminErrors } from './errors.js';

/** Paths that load balancers and browsers open without a token. The page at `/` holds no data: it asks for the token itself. */
export const openPaths: ReadonlySet<string> = new Set(['/', '/healthz', '/readyz']);

/** A bearer token and the name under which the log and the records know who shows it. */
export interface AdminToken {
	readonly name: string;
	readonly token: string;
}

/** Who calls where no token is asked. */
export const loopbackAsker: Asker = { by: 'loopback' };

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Compares in time that tells nothing of where they differ. */
export function sameSecret(given: string, expected: string): boolean {
	return timingSafeEqual(digest(given), digest(expected));
}

export interface CallHeaders {
	readonly authorization?: string | undefined;
	readonly host?: string | undefined;
	readonly origin?: string | undefined;
}

function hostName(host: string | undefined): string {
	const url = `http://${host ?? ''}`;
	return URL.canParse(url) ? new URL(url).hostname : '';
}

/** Who shows this `authorization: Bearer`. Throws IM_ADMIN_UNAUTHENTICATED. */
export function askerOfToken(authorization: string | undefined, tokens: readonly AdminToken[]): Asker {
	const [scheme, given] = (authorization ?? '').split(' ', 2);
	if (scheme?.toLowerCase() === 'bearer' && given !== undefined) {
		// All are looked at, so that the time tells nothing of which one it was.
		const found = tokens.reduce<AdminToken | undefined>(
			(hit, one) => (sameSecret(given, one.token) ? one : hit),
			undefined,
		);
		if (found !== undefined) return { by: `token:${found.name}` };
	}
	throw new MeshError(adminErrors, 'IM_ADMIN_UNAUTHENTICATED');
}

/** Who calls. Throws IM_ADMIN_UNAUTHENTICATED or IM_ADMIN_FORBIDDEN when the call must not be served. */
export function authorize(path: string, headers: CallHeaders, tokens: readonly AdminToken[]): Asker {
	if (headers.origin !== undefined) {
		const origin = URL.canParse(headers.origin) ? new URL(headers.origin).host : '';
		if (origin === '' || origin !== headers.host) throw new MeshError(adminErrors, 'IM_ADMIN_FORBIDDEN');
	}
	if (openPaths.has(path)) return loopbackAsker;
	if (tokens.length === 0) {
		// Without a token only this machine may call, and a name that merely resolves to it is not this machine.
		if (!isLoopback(hostName(headers.host)))
			throw new MeshError(
				adminErrors,
				'IM_ADMIN_FORBIDDEN',
				'without a token the admin API answers to loopback names only',
			);
		return loopbackAsker;
	}
	return askerOfToken(headers.authorization, tokens);
}
