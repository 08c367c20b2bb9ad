// Owns the signature under the roots that come with a certificate. Any node may answer a join or a renewal, so what it says of the roots counts only when
// it is what is known already, or signed by the intermediate that a known root vouches for.
import { createHash } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { readCertificate } from './certificate.js';
import { identityErrors } from './errors.js';
import { type KeyPair, signFor, verifyFor } from './keys.js';
import { type TrustBundle, validateSvidChain } from './svid.js';

const purpose = 'infermesh.identity.v1.Trust';

/** Signs `bundle` as of the issuing of `leafDer`: an older one cannot be told again. */
export function signTrust(bundle: TrustBundle, leafDer: Uint8Array, issuer: KeyPair): Uint8Array {
	return signFor(purpose, payloadOf(bundle, leafDer), issuer.privateKey);
}

/** The roots of a reply, by what is known. Throws IM_IDENTITY_TRUST_UNSIGNED when they are others and the authority has not signed them. */
export function checkTrust(
	bundle: TrustBundle,
	chain: readonly Uint8Array[],
	signature: Uint8Array,
	known: TrustBundle,
	nowMs: number,
): TrustBundle {
	if (bundle.trustDomain === known.trustDomain && rootsText(bundle) === rootsText(known)) return bundle;
	const verdict = validateSvidChain(chain, known, nowMs);
	const issuer = readCertificate(chain[1] ?? new Uint8Array());
	const leafDer = chain[0] ?? new Uint8Array();
	if (
		!verdict.ok ||
		issuer === undefined ||
		!verifyFor(purpose, payloadOf(bundle, leafDer), signature, issuer.publicKey)
	)
		throw new MeshError(identityErrors, 'IM_IDENTITY_TRUST_UNSIGNED');
	return bundle;
}

/** The same for the same roots in any order. */
export function rootsText({ roots }: TrustBundle): string {
	return roots
		.map((root) => Buffer.from(root).toString('base64'))
		.sort()
		.join();
}

function payloadOf(bundle: TrustBundle, leafDer: Uint8Array): Uint8Array {
	const leaf = createHash('sha256').update(leafDer).digest('hex');
	return Buffer.from(`${bundle.trustDomain} ${leaf} ${rootsText(bundle)}`, 'utf8');
}
