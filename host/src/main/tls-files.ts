// Owns reading the certificates of the data plane: those of its port, and those shown to targets. They are checked here, so that a wrong file stops the
// start and not the first connection.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { MeshError } from '@infermesh/proto';
import { configErrors } from '../config/errors.js';
import type { MeshConfig } from '../config/schema.js';
import type { DataPlaneTls, TlsPair } from '../router/tls.js';

/** Throws IM_CONFIG_TLS_FILES. */
export function readTlsFiles({ tls, upstream }: MeshConfig['data']): DataPlaneTls {
	try {
		const port = pair(tls.cert_file, tls.key_file);
		const shown = pair(upstream.cert_file, upstream.key_file);
		const ca = upstream.ca_file === undefined ? {} : { ca: readFileSync(upstream.ca_file, 'utf8') };
		createSecureContext({ ...port });
		createSecureContext({ ...ca, ...shown });
		return { port, upstream: { ...ca, ...shown } };
	} catch (cause) {
		const message = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(configErrors, 'IM_CONFIG_TLS_FILES', message, { cause });
	}
}

function pair(certFile: string | undefined, keyFile: string | undefined): TlsPair | undefined {
	if (certFile === undefined || keyFile === undefined) return undefined;
	return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
}
