// Owns the rules of X509-SVID.md and RFC 5280 that a certificate chain must satisfy before anything it names is believed. Everything is a
// value: time comes in, a verdict goes out, and nothing throws. TLS lets OpenSSL verify the chain too; these rules hold on top of that, and
// alone where no TLS is (renewals, gossip records).
import { type ErrorCode, MeshError } from '@infermesh/proto';
import { type Certificate, extendedKeyUsageOid, keyUsageBit, readCertificate } from './certificate.js';
import { type IdentityErrorCode, identityErrors } from './errors.js';
import { nodeUuidOf, parseSpiffeId, type SpiffeId } from './spiffe-id.js';

/** The roots that vouch for a trust domain. During the renewal of a root there are two. */
export interface TrustBundle {
	readonly trustDomain: string;
	/** DER. */
	readonly roots: readonly Uint8Array[];
}

/** An identity that a chain proved. */
export interface VerifiedSvid {
	readonly id: SpiffeId;
	/** The UUID when the id is a node's. */
	readonly nodeUuid: string | undefined;
	readonly leaf: Certificate;
	/** When the first certificate of the chain expires, as far as the chain was seen, ms since the epoch. */
	readonly notAfterMs: number;
}

/** Why something was refused. */
export interface Refusal {
	readonly code: IdentityErrorCode;
	readonly message: string;
}

export type SvidVerdict =
	| { readonly ok: true; readonly svid: VerifiedSvid }
	| { readonly ok: false; readonly refusal: Refusal };

/** Known bugs of the checks, switched on only to prove that tests catch them. */
export type IdentityMutation =
	| 'accept-expired'
	| 'accept-other-domain'
	| 'accept-two-uris'
	| 'renew-needs-valid-certificate'
	| 'keep-revoked-connections'
	| 'keep-expired-connections';

export type IdentityMutations = ReadonlySet<IdentityMutation>;

export const noMutations: IdentityMutations = new Set();

/** Certificates in a chain beside the root. */
export const CHAIN_LENGTH_MAX = 4;

const acceptedSignatures = new Set([
	'1.2.840.10045.4.3.2', // ecdsa-with-SHA256
	'1.2.840.10045.4.3.3', // ecdsa-with-SHA384
	'1.2.840.10045.4.3.4', // ecdsa-with-SHA512
	'1.2.840.113549.1.1.11', // sha256WithRSAEncryption
	'1.2.840.113549.1.1.12', // sha384WithRSAEncryption
	'1.2.840.113549.1.1.13', // sha512WithRSAEncryption
	'1.2.840.113549.1.1.10', // RSASSA-PSS
	'1.3.101.112', // Ed25519
]);

/**
 * Judges a chain, leaf first, DER, with or without its root at the end, against the roots of one trust domain.
 * `nowMs` is wall time, ms since the epoch. Extra certificates after the one whose signer is a trusted root are ignored.
 */
export function validateSvidChain(
	chain: readonly Uint8Array[],
	bundle: TrustBundle,
	nowMs: number,
	mutations: IdentityMutations = noMutations,
): SvidVerdict {
	if (chain.length === 0 || chain.length > CHAIN_LENGTH_MAX + 1)
		return refuse('IM_IDENTITY_CHAIN_LENGTH', `a chain of ${chain.length} certificates`);
	const certificates: Certificate[] = [];
	for (const der of chain) {
		const certificate = readCertificate(der);
		if (certificate === undefined) return refuse('IM_IDENTITY_CERTIFICATE_MALFORMED', 'a certificate cannot be read');
		certificates.push(certificate);
	}
	const [leaf, ...signers] = certificates as [Certificate, ...Certificate[]];
	const named = checkLeaf(leaf, bundle.trustDomain, mutations);
	if ('code' in named) return { ok: false, refusal: named };
	const path = findPath(leaf, signers, bundle);
	if ('code' in path) return { ok: false, refusal: path };
	for (const one of [leaf, ...path.signers]) {
		const refusal = checkTime(one, nowMs, mutations);
		if (refusal !== undefined) return { ok: false, refusal };
	}
	const notAfterMs = Math.min(...[leaf, ...path.signers].map((one) => one.notAfterMs));
	return { ok: true, svid: { id: named, nodeUuid: nodeUuidOf(named), leaf, notAfterMs } };
}

/**
 * Judges the leaf of a chain whose path of signatures somebody else has verified or will: OpenSSL in a TLS handshake, the authority for what it
 * issued. The rules of a leaf and its time are judged here.
 */
export function validateLeaf(
	der: Uint8Array,
	trustDomain: string,
	nowMs: number,
	mutations: IdentityMutations = noMutations,
): SvidVerdict {
	const leaf = readCertificate(der);
	if (leaf === undefined) return refuse('IM_IDENTITY_CERTIFICATE_MALFORMED', 'a certificate cannot be read');
	const named = checkLeaf(leaf, trustDomain, mutations);
	if ('code' in named) return { ok: false, refusal: named };
	const refusal = checkTime(leaf, nowMs, mutations);
	if (refusal !== undefined) return { ok: false, refusal };
	return { ok: true, svid: { id: named, nodeUuid: nodeUuidOf(named), leaf, notAfterMs: leaf.notAfterMs } };
}

/** The rules of X509-SVID.md 2 to 5 for a leaf, apart from time and signatures: its id, or why it is refused. */
export function checkLeaf(
	leaf: Certificate,
	trustDomain: string,
	mutations: IdentityMutations = noMutations,
): SpiffeId | Refusal {
	const [uri] = leaf.uris;
	// 2: exactly one URI; "validators encountering an SVID containing more than one URI SAN MUST reject".
	if (uri === undefined || (leaf.uris.length !== 1 && !mutations.has('accept-two-uris')))
		return refusalOf('IM_IDENTITY_URI_COUNT', `${leaf.uris.length} URI names`);
	const id = parseSpiffeId(uri);
	if (id === undefined) return refusalOf('IM_IDENTITY_ID_INVALID', 'the URI name is not a SPIFFE id');
	if (id.trustDomain !== trustDomain && !mutations.has('accept-other-domain'))
		return refusalOf('IM_IDENTITY_WRONG_TRUST_DOMAIN', `${id.trustDomain} where ${trustDomain} is expected`);
	if (id.path === '') return refusalOf('IM_IDENTITY_LEAF_WITHOUT_PATH', id.uri);
	if (leaf.isCa) return refusalOf('IM_IDENTITY_LEAF_IS_CA', id.uri);
	return checkUsage(leaf) ?? checkForm(leaf) ?? id;
}

/** keyUsage and extendedKeyUsage of a leaf (X509-SVID.md 4.3, 4.4). */
function checkUsage(leaf: Certificate): Refusal | undefined {
	const { keyUsage, extendedKeyUsage } = leaf;
	if (keyUsage === undefined) return refusalOf('IM_IDENTITY_KEY_USAGE', 'no keyUsage');
	if (!keyUsage.critical) return refusalOf('IM_IDENTITY_KEY_USAGE', 'keyUsage is not critical');
	if ((keyUsage.bits & keyUsageBit.digitalSignature) === 0)
		return refusalOf('IM_IDENTITY_KEY_USAGE', 'a leaf without digitalSignature');
	if ((keyUsage.bits & (keyUsageBit.keyCertSign | keyUsageBit.cRLSign)) !== 0)
		return refusalOf('IM_IDENTITY_KEY_USAGE', 'a leaf with keyCertSign or cRLSign');
	const both = [extendedKeyUsageOid.serverAuth, extendedKeyUsageOid.clientAuth];
	if (extendedKeyUsage !== undefined && !both.every((usage) => extendedKeyUsage.includes(usage)))
		return refusalOf('IM_IDENTITY_EXTENDED_KEY_USAGE', 'not both serverAuth and clientAuth');
	return undefined;
}

/** What holds for leaves and signers alike. */
function checkForm(certificate: Certificate): Refusal | undefined {
	if (certificate.subjectEmpty && !certificate.namesCritical)
		return refusalOf('IM_IDENTITY_SAN_NOT_CRITICAL', 'empty subject, names not critical');
	const [unknown] = certificate.unknownCritical;
	if (unknown !== undefined) return refusalOf('IM_IDENTITY_UNKNOWN_CRITICAL', `extension ${unknown}`);
	if (!acceptedSignatures.has(certificate.signatureAlgorithm))
		return refusalOf('IM_IDENTITY_ALGORITHM', `algorithm ${certificate.signatureAlgorithm}`);
	return undefined;
}

/** A signing certificate with `below` signers between it and the leaf (RFC 5280 6.1.4; X509-SVID.md 3.2, 4). */
function checkSigner(signer: Certificate, below: number, trustDomain: string): Refusal | undefined {
	const invalid = (why: string): Refusal => refusalOf('IM_IDENTITY_SIGNER_INVALID', why);
	if (!signer.isCa) return invalid('a signer that is no certificate authority');
	if (signer.keyUsage === undefined || !signer.keyUsage.critical) return invalid('a signer without critical keyUsage');
	if ((signer.keyUsage.bits & keyUsageBit.keyCertSign) === 0) return invalid('a signer without keyCertSign');
	if (signer.pathLength !== undefined && below > signer.pathLength)
		return invalid('a path longer than its signer allows');
	if (signer.uris.length > 1) return invalid('a signer with several ids');
	const [uri] = signer.uris;
	if (uri !== undefined) {
		const id = parseSpiffeId(uri);
		if (id === undefined || id.path !== '') return invalid('a signer whose id is not that of a trust domain');
		if (id.trustDomain !== trustDomain) return invalid('a signer of another trust domain');
	}
	return checkForm(signer);
}

/** Walks from the leaf by issuer to a root of the bundle. Signers in the chain must be in order; roots in it are passed over. */
function findPath(
	leaf: Certificate,
	given: readonly Certificate[],
	bundle: TrustBundle,
): { readonly signers: readonly Certificate[] } | Refusal {
	const roots = bundle.roots.map(readCertificate).filter((root) => root !== undefined);
	const signers: Certificate[] = [];
	let current = leaf;
	for (let depth = 0; depth <= CHAIN_LENGTH_MAX; depth++) {
		const subject = current;
		const root = roots.find((one) => issued(one, subject));
		const signer = root ?? given[depth];
		if (signer === undefined || (root === undefined && !issued(signer, current)))
			return refusalOf('IM_IDENTITY_UNTRUSTED', 'no signature of a trusted root');
		const refusal = checkSigner(signer, depth, bundle.trustDomain);
		if (refusal !== undefined) return refusal;
		signers.push(signer);
		if (root !== undefined) return { signers };
		current = signer;
	}
	return refusalOf('IM_IDENTITY_CHAIN_LENGTH', 'no root within the longest chain');
}

/** Whether `signer` signed `subject`: names and key identifiers agree and the signature verifies. */
function issued(signer: Certificate, subject: Certificate): boolean {
	return subject.x509.checkIssued(signer.x509) && subject.x509.verify(signer.publicKey);
}

function checkTime(certificate: Certificate, nowMs: number, mutations: IdentityMutations): Refusal | undefined {
	if (nowMs < certificate.notBeforeMs)
		return refusalOf('IM_IDENTITY_NOT_YET_VALID', `valid from ${new Date(certificate.notBeforeMs).toISOString()}`);
	if (nowMs > certificate.notAfterMs && !mutations.has('accept-expired'))
		return refusalOf('IM_IDENTITY_EXPIRED', `expired at ${new Date(certificate.notAfterMs).toISOString()}`);
	return undefined;
}

function refusalOf(code: IdentityErrorCode, message: string): Refusal {
	return { code, message };
}

function refuse(code: IdentityErrorCode, message: string): SvidVerdict {
	return { ok: false, refusal: { code, message } };
}

/** The refusal as an error, for callers at an edge. */
export function refusalError(refusal: Refusal, where?: string): MeshError {
	const options = where === undefined ? {} : { where };
	const summary = identityErrors[refusal.code].summary;
	return new MeshError(identityErrors, refusal.code satisfies ErrorCode, `${summary}: ${refusal.message}`, options);
}
