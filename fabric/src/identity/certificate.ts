// Owns the reading of one certificate: DER to the fields on which the rules of identity depend. OpenSSL (node:crypto) parses it too and does
// the signatures; it does not tell criticality or key usage, so the extensions are read here. No rule is judged in this file.
import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import {
	childrenOf,
	contentOf,
	type DerElement,
	DerError,
	derTag,
	expectTag,
	readBoolean,
	readElement,
	readOid,
	readSmallInteger,
	readTime,
	readWhole,
} from './der.js';

/** Bits of keyUsage (RFC 5280 4.2.1.3). */
export const keyUsageBit = Object.freeze({ digitalSignature: 1, keyCertSign: 1 << 5, cRLSign: 1 << 6 });

export const extendedKeyUsageOid = Object.freeze({ serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' });

/** Largest certificate read, bytes, and most names in one. */
export const certificateBounds = Object.freeze({ bytesMax: 16 * 1024 });

/** What a certificate says. */
export interface Certificate {
	readonly der: Uint8Array;
	readonly x509: X509Certificate;
	readonly publicKey: KeyObject;
	/** SHA-256 of the DER, lower-case hexadecimal. */
	readonly fingerprint: string;
	/** SHA-256 of the SubjectPublicKeyInfo, lower-case hexadecimal. */
	readonly keyHash: string;
	/** Upper-case hexadecimal. */
	readonly serial: string;
	readonly signatureAlgorithm: string;
	readonly subjectEmpty: boolean;
	readonly notBeforeMs: number;
	readonly notAfterMs: number;
	readonly isCa: boolean;
	/** Undefined: no limit. */
	readonly pathLength: number | undefined;
	/** Undefined: the extension is absent. */
	readonly keyUsage: { readonly bits: number; readonly critical: boolean } | undefined;
	/** Undefined: the extension is absent. */
	readonly extendedKeyUsage: readonly string[] | undefined;
	readonly uris: readonly string[];
	readonly namesCritical: boolean;
	/** Object identifiers of critical extensions that are not read here. */
	readonly unknownCritical: readonly string[];
}

const oid = {
	keyUsage: '2.5.29.15',
	subjectAltName: '2.5.29.17',
	basicConstraints: '2.5.29.19',
	extendedKeyUsage: '2.5.29.37',
} as const;

/** Context tag [6] of GeneralName: a URI. */
const URI_TAG = 0x86;

interface Extension {
	readonly critical: boolean;
	readonly value: Uint8Array;
}

/** Reads a certificate; undefined when it is none, or larger than the bound. Never throws. */
export function readCertificate(der: Uint8Array): Certificate | undefined {
	if (der.length === 0 || der.length > certificateBounds.bytesMax) return undefined;
	let x509: X509Certificate;
	try {
		x509 = new X509Certificate(der);
	} catch {
		return undefined;
	}
	// OpenSSL tolerates bytes after the certificate and lengths that are not DER; what both read must be the same bytes.
	if (!x509.raw.equals(der)) return undefined;
	try {
		return readFields(Uint8Array.from(der), x509, x509.publicKey);
	} catch {
		// A DerError, or OpenSSL refusing the public key.
		return undefined;
	}
}

function readFields(der: Uint8Array, x509: X509Certificate, publicKey: KeyObject): Certificate {
	const [tbs, algorithm] = childrenOf(der, readWhole(der, derTag.sequence));
	const fields = childrenOf(der, expectTag(tbs, derTag.sequence));
	// [0] version is explicit and must be 3 (encoded 2): others have no extensions.
	const version = childrenOf(der, expectTag(fields[0], 0xa0));
	if (readSmallInteger(der, version[0]) !== 2) throw new DerError('not X.509 version 3');
	const validity = childrenOf(der, expectTag(fields[4], derTag.sequence));
	const subject = expectTag(fields[5], derTag.sequence);
	const spki = expectTag(fields[6], derTag.sequence);
	const extensions = readExtensions(der, fields);
	const constraints = readBasicConstraints(extensions.get(oid.basicConstraints));
	const known = new Set<string>(Object.values(oid));
	const names = extensions.get(oid.subjectAltName);
	return {
		der,
		x509,
		publicKey,
		fingerprint: createHash('sha256').update(der).digest('hex'),
		keyHash: createHash('sha256').update(der.subarray(spki.start, spki.end)).digest('hex'),
		serial: Buffer.from(contentOf(der, expectTag(fields[1], derTag.integer)))
			.toString('hex')
			.toUpperCase(),
		signatureAlgorithm: readOid(der, childrenOf(der, expectTag(algorithm, derTag.sequence))[0]),
		subjectEmpty: subject.contentStart === subject.end,
		notBeforeMs: readTime(der, validity[0]),
		notAfterMs: readTime(der, validity[1]),
		...constraints,
		keyUsage: readKeyUsage(extensions.get(oid.keyUsage)),
		extendedKeyUsage: readExtendedKeyUsage(extensions.get(oid.extendedKeyUsage)),
		uris: readUris(names),
		namesCritical: names?.critical ?? false,
		unknownCritical: [...extensions].filter(([id, one]) => one.critical && !known.has(id)).map(([id]) => id),
	};
}

function readExtensions(der: Uint8Array, fields: readonly DerElement[]): ReadonlyMap<string, Extension> {
	const extensions = new Map<string, Extension>();
	const wrapper = fields.slice(7).find((field) => field.tag === 0xa3);
	if (wrapper === undefined) return extensions;
	const list = expectTag(childrenOf(der, wrapper)[0], derTag.sequence);
	for (const element of childrenOf(der, list)) {
		const parts = childrenOf(der, expectTag(element, derTag.sequence));
		const id = readOid(der, parts[0]);
		const critical = parts[1]?.tag === derTag.boolean && readBoolean(der, parts[1]);
		const value = contentOf(der, expectTag(parts.at(-1), derTag.octetString));
		// RFC 5280 4.2: at most one instance; two could be read differently by two readers.
		if (extensions.has(id)) throw new DerError(`extension ${id} twice`);
		extensions.set(id, { critical, value });
	}
	return extensions;
}

function readBasicConstraints(extension: Extension | undefined): {
	readonly isCa: boolean;
	readonly pathLength: number | undefined;
} {
	if (extension === undefined) return { isCa: false, pathLength: undefined };
	const parts = childrenOf(extension.value, readWhole(extension.value, derTag.sequence));
	const isCa = parts[0]?.tag === derTag.boolean && readBoolean(extension.value, parts[0]);
	const length = parts.find((part) => part.tag === derTag.integer);
	return { isCa, pathLength: length === undefined ? undefined : readSmallInteger(extension.value, length) };
}

function readKeyUsage(extension: Extension | undefined): Certificate['keyUsage'] {
	if (extension === undefined) return undefined;
	const content = contentOf(extension.value, readWhole(extension.value, derTag.bitString));
	// First byte: unused bits at the end. Bit 0 of keyUsage is the highest bit of the first content byte.
	let bits = 0;
	for (let i = 0; i < 9; i++) {
		const byte = content[1 + (i >> 3)] ?? 0;
		if ((byte & (0x80 >> (i & 7))) !== 0) bits |= 1 << i;
	}
	return { bits, critical: extension.critical };
}

function readExtendedKeyUsage(extension: Extension | undefined): readonly string[] | undefined {
	if (extension === undefined) return undefined;
	const { value } = extension;
	return childrenOf(value, readWhole(value, derTag.sequence)).map((element) => readOid(value, element));
}

function readUris(extension: Extension | undefined): readonly string[] {
	if (extension === undefined) return [];
	const { value } = extension;
	return childrenOf(value, readWhole(value, derTag.sequence))
		.filter((element) => element.tag === URI_TAG)
		.map((element) => Buffer.from(contentOf(value, element)).toString('latin1'));
}

/** The DER certificates in a PEM text, in order; other blocks are passed over. At most `max`. */
export function certificatesOfPem(pem: string, max: number): readonly Uint8Array[] {
	const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g);
	return [...blocks].slice(0, max).map(([, body]) => new Uint8Array(Buffer.from(body ?? '', 'base64')));
}

export function pemOfCertificate(der: Uint8Array): string {
	const lines =
		Buffer.from(der)
			.toString('base64')
			.match(/.{1,64}/g) ?? [];
	return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** Splits concatenated DER certificates, as the Workload API sends them. Undefined when they are not that, or more than `max`. */
export function splitDerCertificates(bytes: Uint8Array, max: number): readonly Uint8Array[] | undefined {
	const parts: Uint8Array[] = [];
	let offset = 0;
	try {
		while (offset < bytes.length) {
			if (parts.length === max) return undefined;
			const element = expectTag(readElement(bytes, offset, bytes.length), derTag.sequence);
			parts.push(bytes.slice(element.start, element.end));
			offset = element.end;
		}
	} catch (error) {
		if (error instanceof DerError) return undefined;
		throw error;
	}
	return parts;
}
