// Owns the errors of identity: what a certificate, a join, a renewal or a sealed key is refused with.
import { defineErrors } from '@infermesh/proto';

const refused = { httpStatus: 403, grpcStatus: 'PERMISSION_DENIED', retryable: false } as const;
const invalid = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;
const unready = { httpStatus: 503, grpcStatus: 'UNAVAILABLE', retryable: true } as const;
const local = { httpStatus: 500, grpcStatus: 'FAILED_PRECONDITION', retryable: false } as const;

export const identityErrors = defineErrors({
	IM_IDENTITY_ID_INVALID: {
		...invalid,
		summary: 'this is not a SPIFFE id',
		hint: 'the form is spiffe://trust-domain/node/UUID; lower-case domain, no port, query, fragment, empty or dot segments',
	},
	IM_IDENTITY_CERTIFICATE_MALFORMED: {
		...refused,
		summary: 'a certificate cannot be read',
		hint: 'it must be one DER certificate of X.509 version 3, at most 16 KiB',
	},
	IM_IDENTITY_CHAIN_LENGTH: {
		...refused,
		summary: 'a certificate chain is empty or too long',
		hint: 'send the leaf and its intermediates, at most four certificates beside the root',
	},
	IM_IDENTITY_URI_COUNT: {
		...refused,
		summary: 'a certificate does not hold exactly one URI name',
		hint: 'an X509-SVID has exactly one URI in its subject alternative name; issue the certificate anew',
	},
	IM_IDENTITY_WRONG_TRUST_DOMAIN: {
		...refused,
		summary: 'a certificate belongs to another trust domain',
		hint: 'the peer is a member of another mesh, or this node joined the wrong one',
	},
	IM_IDENTITY_LEAF_WITHOUT_PATH: {
		...refused,
		summary: 'the id of a leaf certificate has no path',
		hint: 'only signing certificates are named by the trust domain alone; they never authenticate',
	},
	IM_IDENTITY_LEAF_IS_CA: {
		...refused,
		summary: 'a signing certificate was presented as an identity',
		hint: 'a leaf has basicConstraints CA false',
	},
	IM_IDENTITY_KEY_USAGE: {
		...refused,
		summary: 'the key usage of a certificate does not fit its role',
		hint: 'keyUsage is present and critical; a leaf has digitalSignature and neither keyCertSign nor cRLSign, a signer has keyCertSign',
	},
	IM_IDENTITY_EXTENDED_KEY_USAGE: {
		...refused,
		summary: 'the extended key usage of a certificate lacks a side of TLS',
		hint: 'where it is present it names both serverAuth and clientAuth',
	},
	IM_IDENTITY_SAN_NOT_CRITICAL: {
		...refused,
		summary: 'a certificate without a subject has names that are not critical',
		hint: 'with an empty subject the subject alternative name must be critical (RFC 5280 4.2.1.6)',
	},
	IM_IDENTITY_UNKNOWN_CRITICAL: {
		...refused,
		summary: 'a certificate has a critical extension that is not understood',
		hint: 'the mesh understands basicConstraints, keyUsage, extendedKeyUsage and subjectAltName',
	},
	IM_IDENTITY_ALGORITHM: {
		...refused,
		summary: 'a certificate is signed by an algorithm that is not accepted',
		hint: 'ECDSA or RSA with SHA-256 or stronger, or Ed25519',
	},
	IM_IDENTITY_EXPIRED: {
		...refused,
		summary: 'a certificate has expired',
		hint: 'the node renews by itself as soon as it reaches the certificate authority; compare the clocks of both nodes',
	},
	IM_IDENTITY_NOT_YET_VALID: {
		...refused,
		summary: 'a certificate is not valid yet',
		hint: 'compare the clocks of both nodes; certificates are issued five minutes into the past',
	},
	IM_IDENTITY_SIGNER_INVALID: {
		...refused,
		summary: 'a signing certificate in the chain may not sign',
		hint: 'signers have basicConstraints CA true within their path length, keyCertSign, and an id without a path',
	},
	IM_IDENTITY_UNTRUSTED: {
		...refused,
		summary: 'no chain of signatures leads from a certificate to a trusted root',
		hint: 'the peer joined another mesh, or its chain lacks the intermediate, or its root has been retired',
	},
	IM_IDENTITY_NO_CERTIFICATE: {
		...refused,
		grpcStatus: 'UNAUTHENTICATED',
		httpStatus: 401,
		summary: 'the peer presented no certificate',
		hint: 'only joining and renewing work without one',
	},
	IM_IDENTITY_REVOKED: {
		...refused,
		summary: 'the identity of a node has been revoked',
		hint: '`infermesh nodes release NODE` lifts a quarantine',
	},
	IM_IDENTITY_TRUST_UNSIGNED: {
		...refused,
		summary: 'a node that answered a join or a renewal told of roots that the authority has not signed',
		hint: 'the node that answered has been taken over, or the authority is of an older version while its root changes: look at the node, update the authority',
	},
	IM_IDENTITY_REMOVED: {
		...refused,
		summary: 'the node was removed from the mesh, and its identity with it',
		hint: 'let it join anew: an empty state folder and a join token; it gets another UUID and may take its name again',
	},
	IM_IDENTITY_UNEXPECTED_PEER: {
		...refused,
		summary: 'another node answered at this address than was expected',
		hint: 'addresses move between nodes; what counts is the UUID in the certificate. Look the node up again',
	},
	IM_IDENTITY_NOT_READY: {
		...unready,
		summary: 'this node has no identity yet',
		hint: 'it joins with a token or waits for the Workload API; its log says which',
	},
	IM_IDENTITY_TOKEN_MALFORMED: {
		...invalid,
		summary: 'this is not a join token',
		hint: 'a token is imj1.FINGERPRINT.SECRET, as printed by `infermesh join-token`; copy it whole',
	},
	IM_IDENTITY_TOKEN_UNKNOWN: {
		...refused,
		summary: 'the join token is not known',
		hint: 'it was made by another mesh, deleted, or expired long ago; make one with `infermesh join-token`',
	},
	IM_IDENTITY_TOKEN_EXPIRED: {
		...refused,
		summary: 'the join token has expired',
		hint: 'make another with `infermesh join-token`, with a longer --ttl if joining takes long',
	},
	IM_IDENTITY_TOKEN_USED: {
		...refused,
		summary: 'the join token has been used as often as it may be',
		hint: 'make another with `infermesh join-token`; --uses N makes one for N nodes',
	},
	IM_IDENTITY_TOKEN_BUSY: {
		...unready,
		grpcStatus: 'ABORTED',
		summary: 'many nodes use this join token at the same moment',
		hint: 'try again',
	},
	IM_IDENTITY_TOKEN_LIMIT: {
		...invalid,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		summary: 'a join token cannot be made with these bounds',
		hint: 'a token lives from a second to seven days and serves from 1 to 1,000 nodes',
	},
	IM_IDENTITY_PIN_MISMATCH: {
		...refused,
		summary: 'the server is not of the mesh that the join token names',
		hint: 'the address is wrong, someone answers in its place, or the root was renewed since: make a new token',
	},
	IM_IDENTITY_CSR_INVALID: {
		...invalid,
		summary: 'a certificate request cannot be accepted',
		hint: 'a PKCS#10 request of at most 4 KiB, for an ECDSA P-256 key, signed by that key',
	},
	IM_IDENTITY_RENEW_SIGNATURE: {
		...refused,
		grpcStatus: 'UNAUTHENTICATED',
		httpStatus: 401,
		summary: 'a renewal is not signed by the key of the certificate it renews',
		hint: 'the key and the certificate of this node do not belong together; join anew',
	},
	IM_IDENTITY_RENEW_STALE: {
		...refused,
		retryable: true,
		summary: 'a renewal was signed too long ago or in the future',
		hint: 'the clocks of both nodes differ by more than the window of five minutes',
	},
	IM_IDENTITY_RENEW_REPLAYED: {
		...refused,
		retryable: true,
		summary: 'the same renewal was seen before',
		hint: 'sign again: each request counts once',
	},
	IM_IDENTITY_RENEW_SUPERSEDED: {
		...refused,
		summary: 'a later certificate of this node has been issued',
		hint: 'two processes use one identity, or a backup was restored: stop one, or join anew',
	},
	IM_IDENTITY_RENEW_BUSY: {
		...unready,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		summary: 'the certificate authority serves as many renewals as it can',
		hint: 'try again; nodes do so by themselves, spread in time',
	},
	IM_IDENTITY_KEY_SEALED: {
		...local,
		summary: 'a sealed key does not open',
		hint: 'the passphrase or key file is not the one it was sealed with, or the file was changed',
	},
	IM_IDENTITY_KEY_FILE: {
		...local,
		summary: 'a file with a secret cannot be used',
		hint: 'it must exist, belong to this user and be readable by nobody else: chmod 600',
	},
	IM_IDENTITY_AUTHORITY: {
		...local,
		summary: 'the state of the certificate authority does not allow this',
		hint: '`infermesh ca init` makes an authority; a root is prepared, then activated, then the old one retired',
	},
	IM_IDENTITY_RENEWAL_FAILED: {
		...unready,
		summary: 'this node could not renew its identity',
		hint: 'it tries again for ever; the cause says what the certificate authority or the network answered',
	},
	IM_IDENTITY_WORKLOAD_API: {
		...unready,
		summary: 'the SPIFFE Workload API gave no usable identity',
		hint: 'check SPIFFE_ENDPOINT_SOCKET and that the agent there has an entry for this process; the node tries again for ever',
	},
});

export type IdentityErrorCode = keyof typeof identityErrors;
