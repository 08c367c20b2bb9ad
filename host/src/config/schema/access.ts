// Owns the sections of the configuration about who may ask: the admin API, its tokens, and API keys of the data plane.

import { Type } from '../../schema/type.js';
import { flag, integer, item, list, optional, required, secret, section, text } from '../fields.js';
import { BYTES, MS, PORT } from './units.js';

const adminTokenSchema = item('A token of one operator or tool.', {
	name: required('Who it is for: the name under which the log and the records know who decided something.'),
	token: secret('The bearer token itself'),
});

export const adminSchema = section('The admin API, status page and metrics.', {
	host: text('127.0.0.1', 'Address to listen on; beyond loopback `token` or `tokens` must be set, and `tls`.'),
	port: integer(8081, 'Port; 0 takes any free one.', PORT),
	tls: section('TLS on the admin port. Without a certificate it speaks in the clear, on loopback only.', {
		cert_file: optional('PEM with the certificate and its chain.'),
		key_file: optional('PEM with the key of that certificate.'),
		client_ca_file: optional(
			'PEM with the authorities that callers’ certificates must be from (mutual TLS, besides tokens); who shows none is not let in, probes and Prometheus included.',
		),
	}),
	tls_reload_ms: integer(
		10_000,
		'The files of `admin.tls` are looked at this often; new connections use what has changed. 0 = at the start only.',
		{ ...MS, min: 0 },
	),
	allow_cleartext: flag(
		false,
		'Speak in the clear beyond loopback all the same: for a port that only something with TLS of its own can reach.',
	),
	token: secret('Bearer token that callers must send; the log names its holder `admin`'),
	tokens: list(adminTokenSchema, 'Further tokens, each with the name of its holder.', 256),
	spiffe_admins: list(
		Type.String({ minLength: 1 }),
		'SPIFFE ids that may change the mesh over the Agent API. Where this and `spiffe_readers` are empty: every `/client/NAME` of the built-in authority; with a SPIFFE Workload API nobody.',
		256,
	),
	spiffe_readers: list(
		Type.String({ minLength: 1 }),
		'SPIFFE ids that may read over the Agent API, as nodes may.',
		256,
	),
	body_max_bytes: integer(4 * 1024 * 1024, 'Largest request body (a strategy module travels as base64).', {
		...BYTES,
		max: 64 * 1024 * 1024,
	}),
	request_timeout_ms: integer(30_000, 'A caller must have sent its whole request by then.', MS),
});

export const keySchema = item('One API key of the data plane.', {
	id: required('Name of the key, shown in logs.'),
	sha256: Type.String({
		pattern: '^[0-9a-f]{64}$',
		description: 'SHA-256 of the key in lower-case hex; the key itself is stored nowhere.',
	}),
	tenant: text('default', 'Tenant its requests count for.'),
	trusted: flag(false, 'May set priority, SLO and tenant by request headers.'),
	policy_mask: integer(0, 'Bits handed to strategies with the tenant.', { max: 0xffff_ffff }),
});
