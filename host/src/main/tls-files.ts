// Owns reading the certificates of a node's ports: the data plane's, those shown to targets, and the admin API's. They are checked here, so that a wrong file stops the
// start and not the first connection.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { MeshError } from '@infermesh/proto';
import { type AdminTls, serverOptions } from '../admin/tls.js';
import { configErrors } from '../config/errors.js';
import type { MeshConfig } from '../config/schema.js';
import type { DataPlaneTls, TlsPair } from '../router/tls.js';

/** Throws IM_CONFIG_TLS_FILES. */
export function readTlsFiles({ tls, upstream }: MeshConfig['data']): DataPlaneTls {
	return reading(() => {
		const port = pair(tls.cert_file, tls.key_file);
		const shown = pair(upstream.cert_file, upstream.key_file);
		const ca = upstream.ca_file === undefined ? {} : { ca: readFileSync(upstream.ca_file, 'utf8') };
		createSecureContext({ ...port });
		createSecureContext({ ...ca, ...shown });
		return { port, upstream: { ...ca, ...shown } };
	});
}

/** Undefined where no certificate is named. Throws IM_CONFIG_TLS_FILES. */
export function readAdminTls({ tls }: MeshConfig['admin']): AdminTls | undefined {
	return reading(() => {
		const shown = pair(tls.cert_file, tls.key_file);
		if (shown === undefined) return undefined;
		const clientCa = tls.client_ca_file === undefined ? {} : { clientCa: readFileSync(tls.client_ca_file, 'utf8') };
		const read: AdminTls = { ...shown, ...clientCa };
		createSecureContext(serverOptions(read));
		return read;
	});
}

function reading<T>(read: () => T): T {
	try {
		return read();
	} catch (cause) {
		const message = cause instanceof Error ? cause.message : String(cause);
		throw new MeshError(configErrors, 'IM_CONFIG_TLS_FILES', message, { cause });
	}
}

function pair(certFile: string | undefined, keyFile: string | undefined): TlsPair | undefined {
	if (certFile === undefined || keyFile === undefined) return undefined;
	return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
}
