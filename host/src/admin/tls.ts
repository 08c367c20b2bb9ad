// Owns the shape of the admin API's TLS material, as text in PEM, and what a TLS server makes of it.
import type { TlsOptions } from 'node:tls';
import type { TlsPair } from '../router/tls.js';

export interface AdminTls extends TlsPair {
	/** Authorities one of which a caller's certificate must be from; undefined = none is asked. */
	readonly clientCa?: string;
}

/** Who shows no certificate, or another's, does not get past the handshake. */
export function serverOptions({ cert, key, clientCa }: AdminTls): TlsOptions {
	return {
		cert,
		key,
		...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
	};
}
