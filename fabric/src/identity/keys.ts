// Owns the keys of identities: ECDSA over P-256 with SHA-256, and signatures by them. Every signature is bound to a purpose, so that one made
// for a gossip record can never serve as a renewal.
import { createPrivateKey, generateKeyPair, type KeyObject, sign, verify } from 'node:crypto';
import { promisify } from 'node:util';

const generate = promisify(generateKeyPair);

/** Bytes of a signature: r and s, 32 each (IEEE P1363). */
export const SIGNATURE_BYTES = 64;

export interface KeyPair {
	readonly privateKey: KeyObject;
	readonly publicKey: KeyObject;
}

export async function generateNodeKey(): Promise<KeyPair> {
	return generate('ec', { namedCurve: 'P-256' });
}

export function isP256(key: KeyObject): boolean {
	return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/**
 * Signs `bytes` for `purpose` (at most 255 bytes of text, one per kind of message) with the key of an SVID. 64 bytes for a P-256 key; other
 * keys, which only a Workload API gives out, have their own form.
 */
export function signFor(purpose: string, bytes: Uint8Array, privateKey: KeyObject): Uint8Array {
	return sign(digestOf(privateKey), framed(purpose, bytes), { key: privateKey, dsaEncoding: 'ieee-p1363' });
}

/** Whether `signature` is by the owner of `publicKey` over `bytes` for `purpose`. Never throws. */
export function verifyFor(purpose: string, bytes: Uint8Array, signature: Uint8Array, publicKey: KeyObject): boolean {
	try {
		const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const;
		return verify(digestOf(publicKey), framed(purpose, bytes), key, signature);
	} catch {
		// OpenSSL throws for a signature of impossible form.
		return false;
	}
}

export function privateKeyDer(key: KeyObject): Uint8Array {
	return new Uint8Array(key.export({ format: 'der', type: 'pkcs8' }));
}

/** Reads a PKCS#8 private key. Throws what OpenSSL throws. */
export function privateKeyFromDer(der: Uint8Array): KeyObject {
	return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
}

/** Ed25519 and Ed448 hash by themselves. */
function digestOf(key: KeyObject): string | null {
	return key.asymmetricKeyType?.startsWith('ed') === true ? null : 'sha256';
}

/** One length byte, the purpose, the message: no two pairs of purpose and message frame to the same bytes. */
function framed(purpose: string, bytes: Uint8Array): Uint8Array {
	const name = Buffer.from(purpose);
	if (name.length > 255) throw new TypeError('a purpose has at most 255 bytes');
	return Buffer.concat([Uint8Array.of(name.length), name, bytes]);
}
