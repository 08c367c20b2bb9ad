// Owns the making of certificates and certificate requests: which extensions each kind carries, through @peculiar/x509. Who may have one is
// decided elsewhere.
import { createHash, createPublicKey, type KeyObject, randomBytes, sign, webcrypto } from 'node:crypto';
import type * as X509 from '@peculiar/x509';
import { derTag, writeElement } from './der.js';
import { isP256, type KeyPair } from './keys.js';

const { subtle } = webcrypto;
const ec = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** Loaded when something is to be signed: it is the largest library of a node, and most nodes never sign. */
async function library(): Promise<typeof X509> {
	await import('reflect-metadata');
	return import('@peculiar/x509');
}

/** Largest certificate request read, bytes. */
export const CSR_BYTES_MAX = 4096;

export interface Validity {
	readonly notBeforeMs: number;
	readonly notAfterMs: number;
}

/** A signer: its name, key and certificate. */
export interface Signer {
	readonly subject: string;
	readonly keys: KeyPair;
}

/** A self-signed root. `pathLength` 1: it signs intermediates, and those sign leaves. */
export async function issueRoot(signer: Signer, uri: string, validity: Validity): Promise<Uint8Array> {
	return issue(signer.subject, signer.keys.publicKey, signer, validity, await signerExtensions(signer, signer, uri, 1));
}

/** An intermediate that signs leaves only. */
export async function issueIntermediate(
	intermediate: Signer,
	root: Signer,
	uri: string,
	validity: Validity,
): Promise<Uint8Array> {
	const extensions = await signerExtensions(intermediate, root, uri, 0);
	return issue(intermediate.subject, intermediate.keys.publicKey, root, validity, extensions);
}

/** What a leaf says of its holder: one SPIFFE id, and DNS names where it is to answer clients that know of no other kind. */
export interface LeafNames {
	readonly uri: string;
	readonly dns: readonly string[];
}

/** An X509-SVID: empty subject, critical names with one URI (X509-SVID.md 2, 4). */
export async function issueLeaf(
	publicKey: KeyObject,
	intermediate: Signer,
	{ uri, dns }: LeafNames,
	validity: Validity,
): Promise<Uint8Array> {
	const x509 = await library();
	const names = [{ type: 'url', value: uri } as const, ...dns.map((value) => ({ type: 'dns', value }) as const)];
	const extensions = [
		new x509.BasicConstraintsExtension(false, undefined, true),
		new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
		new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
		new x509.SubjectAlternativeNameExtension(names, true),
		...keyIdentifiers(x509, publicKey, intermediate.keys.publicKey),
	];
	return issue('', publicKey, intermediate, validity, extensions);
}

/** 1.2.840.10045.4.3.2, ecdsa-with-SHA256, as an AlgorithmIdentifier. */
const ecdsaWithSha256 = writeElement(
	derTag.sequence,
	writeElement(derTag.oid, Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)),
);

/** A PKCS#10 request (RFC 2986 4): it proves possession of the key and asks for nothing else. Every node makes these, so it is made without the library. */
export function makeCsr({ publicKey, privateKey }: KeyPair): Uint8Array {
	const info = writeElement(
		derTag.sequence,
		writeElement(derTag.integer, Uint8Array.of(0)),
		writeElement(derTag.sequence),
		publicKey.export({ format: 'der', type: 'spki' }),
		// No attributes: an empty set under the context's tag 0.
		writeElement(0xa0),
	);
	const signature = sign('sha256', info, privateKey);
	return writeElement(
		derTag.sequence,
		info,
		ecdsaWithSha256,
		writeElement(derTag.bitString, Uint8Array.of(0), signature),
	);
}

/** The P-256 key of a request whose signature verifies; undefined for anything else. Never throws. */
export async function readCsr(der: Uint8Array): Promise<KeyObject | undefined> {
	if (der.length === 0 || der.length > CSR_BYTES_MAX) return undefined;
	try {
		const x509 = await library();
		const csr = new x509.Pkcs10CertificateRequest(Uint8Array.from(der));
		const publicKey = createPublicKey({ key: Buffer.from(csr.publicKey.rawData), format: 'der', type: 'spki' });
		if (!isP256(publicKey) || !(await csr.verify(webcrypto))) return undefined;
		return publicKey;
	} catch {
		// The ASN.1 reader and OpenSSL throw errors of many kinds for bytes that are no request.
		return undefined;
	}
}

/** SHA-256 of the SubjectPublicKeyInfo, lower-case hexadecimal. */
export function keyHashOf(publicKey: KeyObject): string {
	return createHash('sha256')
		.update(publicKey.export({ format: 'der', type: 'spki' }))
		.digest('hex');
}

async function signerExtensions(
	subject: Signer,
	issuer: Signer,
	uri: string,
	pathLength: number,
): Promise<X509.Extension[]> {
	const x509 = await library();
	return [
		new x509.BasicConstraintsExtension(true, pathLength, true),
		new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
		new x509.SubjectAlternativeNameExtension([{ type: 'url', value: uri }]),
		...keyIdentifiers(x509, subject.keys.publicKey, issuer.keys.publicKey),
	];
}

/** RFC 5280 4.2.1.1 and 4.2.1.2, from SHA-256 cut to 20 bytes (RFC 7093 2): they tell two roots of one name apart. */
function keyIdentifiers(x509: typeof X509, subject: KeyObject, issuer: KeyObject): X509.Extension[] {
	return [
		new x509.SubjectKeyIdentifierExtension(keyHashOf(subject).slice(0, 40)),
		new x509.AuthorityKeyIdentifierExtension(keyHashOf(issuer).slice(0, 40)),
	];
}

async function issue(
	subject: string,
	publicKey: KeyObject,
	signer: Signer,
	validity: Validity,
	extensions: X509.Extension[],
): Promise<Uint8Array> {
	// Positive, 127 random bits: RFC 5280 4.1.2.2 allows 20 bytes, uniqueness is by chance.
	const serial = randomBytes(16);
	serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
	const x509 = await library();
	const certificate = await x509.X509CertificateGenerator.create(
		{
			serialNumber: serial.toString('hex'),
			subject,
			issuer: signer.subject,
			notBefore: new Date(validity.notBeforeMs),
			notAfter: new Date(validity.notAfterMs),
			publicKey: await importPublic(publicKey),
			signingKey: (await cryptoKeys(signer.keys)).privateKey,
			signingAlgorithm,
			extensions,
		},
		webcrypto,
	);
	return new Uint8Array(certificate.rawData);
}

async function importPublic(key: KeyObject): Promise<webcrypto.CryptoKey> {
	return subtle.importKey('spki', key.export({ format: 'der', type: 'spki' }), ec, true, ['verify']);
}

async function cryptoKeys(keys: KeyPair): Promise<webcrypto.CryptoKeyPair> {
	const pkcs8 = keys.privateKey.export({ format: 'der', type: 'pkcs8' });
	return {
		privateKey: await subtle.importKey('pkcs8', pkcs8, ec, false, ['sign']),
		publicKey: await importPublic(keys.publicKey),
	};
}
