// Owns a certificate for tests that speak TLS: made anew from an authority of its own, for one name.
import { CertificateAuthority, generateNodeKey, pemOfCertificate } from '@infermesh/fabric';
import type { TlsPair } from '../tls.js';

export const TEST_NAME = 'mesh.test';

export interface TestCertificate extends TlsPair {
	/** PEM of the roots it can be checked with. */
	readonly ca: string;
}

export async function testCertificate(name: string = TEST_NAME): Promise<TestCertificate> {
	const nowMs = Date.now();
	const authority = await CertificateAuthority.create(name, nowMs);
	const keys = await generateNodeKey();
	const chain = await authority.issueNode('11111111-1111-4111-8111-111111111111', keys.publicKey, nowMs);
	return {
		cert: chain.map(pemOfCertificate).join(''),
		key: String(keys.privateKey.export({ format: 'pem', type: 'pkcs8' })),
		ca: authority.bundle.roots.map(pemOfCertificate).join(''),
	};
}
