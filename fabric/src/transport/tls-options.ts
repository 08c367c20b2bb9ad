// Owns the TLS settings of the mesh: version 1.3 only, no session resumption (a resumed session would skip the look at the certificate), certificates
// and roots from the current identity.
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { pemOfCertificate } from '../identity/certificate.js';
import type { Identity } from '../identity/source.js';

const fixed = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET } as const;

/** For a side that shows its certificate. `sendRoots` lets joiners find the root they pinned. */
export function ownContext(identity: Identity, sendRoots = false): SecureContextOptions {
	const { chain, bundle, privateKey } = identity;
	const sent = sendRoots ? [...chain, ...bundle.roots] : chain;
	return {
		...fixed,
		key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
		cert: sent.map(pemOfCertificate).join(''),
		ca: bundle.roots.map(pemOfCertificate),
	};
}

/** For a client that has no certificate yet, or one that has expired. */
export function anonymousContext(): SecureContextOptions {
	// An empty list of roots would mean those of the operating system; who answers is judged after the handshake.
	return { ...fixed };
}
