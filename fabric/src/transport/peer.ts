// Owns the one question every handshake ends with: who is this, and may they be here? It reads the certificate the peer sent from the TLS
// socket and judges it by the rules of identity. Both sides of a connection, gRPC and exchanges ask it.
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import type { Clock } from '@infermesh/proto';
import type { IdentityErrorCode } from '../identity/errors.js';
import type { RevocationView } from '../identity/revocation.js';
import type { IdentitySource } from '../identity/source.js';
import { CHAIN_LENGTH_MAX, type IdentityMutations, type SvidVerdict, validateLeaf } from '../identity/svid.js';
import type { TransportCounters } from './counters.js';
import type { SessionRegistry } from './sessions.js';

/** What every part of transport is given. One per process and thread. */
export interface TransportContext {
	readonly identity: IdentitySource;
	readonly revocations: RevocationView;
	readonly sessions: SessionRegistry;
	readonly counters: TransportCounters;
	readonly clock: Clock;
	readonly mutations?: IdentityMutations;
}

/**
 * The certificates the peer sent, DER, leaf first, as far as Node tells; empty when it sent none. A server is told the leaf only (Node 24), a client
 * the whole chain. Read through the older call on purpose: `getPeerX509Certificate` takes the leaf off the chain that later readers see.
 */
export function chainOf(socket: TLSSocket): readonly Uint8Array[] {
	const chain: Buffer[] = [];
	let certificate: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true);
	// A self-signed root names itself as its issuer; without a certificate the object is empty.
	while (certificate?.raw !== undefined && chain.length <= CHAIN_LENGTH_MAX) {
		const { raw } = certificate;
		if (chain.some((one) => raw.equals(one))) break;
		chain.push(raw);
		certificate = certificate.issuerCertificate;
	}
	return chain;
}

/**
 * Judges the peer of a finished handshake now. `expectedNode` is the UUID that must answer, when one is called. OpenSSL has verified the path of
 * signatures to our roots, by the system's time (`socket.authorized`); the rules of SVIDs, time and revocation are judged here.
 */
export function checkPeer(socket: TLSSocket, context: TransportContext, expectedNode?: string): SvidVerdict {
	const [leaf] = chainOf(socket);
	if (leaf === undefined) return refuse('IM_IDENTITY_NO_CERTIFICATE', 'no certificate');
	const { trustDomain } = context.identity.current().bundle;
	const verdict = validateLeaf(leaf, trustDomain, context.clock.wallMs(), context.mutations);
	if (!verdict.ok) return verdict;
	if (!socket.authorized) {
		// Typed as an error, in fact OpenSSL's code of it.
		const why = String(socket.authorizationError);
		return refuse(pathRefusals.get(why) ?? 'IM_IDENTITY_UNTRUSTED', `OpenSSL: ${why}`);
	}
	return checkStanding(verdict, context.revocations, expectedNode);
}

/** Revocation, and whether it is the one expected: the part that does not depend on the certificate alone. */
export function checkStanding(
	verdict: SvidVerdict & { readonly ok: true },
	revocations: RevocationView,
	expectedNode?: string,
): SvidVerdict {
	const { nodeUuid, id } = verdict.svid;
	if (nodeUuid !== undefined && revocations.isRevoked(nodeUuid)) return refuse('IM_IDENTITY_REVOKED', id.uri);
	if (expectedNode !== undefined && nodeUuid !== expectedNode)
		return refuse('IM_IDENTITY_UNEXPECTED_PEER', `${id.uri} where node ${expectedNode} is expected`);
	return verdict;
}

/** Only nodes answer: a client's certificate, though of this mesh, must not stand in for a server. */
export function ofNode(verdict: SvidVerdict): SvidVerdict {
	if (!verdict.ok || verdict.svid.nodeUuid !== undefined) return verdict;
	return refuse('IM_IDENTITY_UNEXPECTED_PEER', `${verdict.svid.id.uri} is no node`);
}

const pathRefusals: ReadonlyMap<string, IdentityErrorCode> = new Map([
	['CERT_HAS_EXPIRED', 'IM_IDENTITY_EXPIRED'],
	['CERT_NOT_YET_VALID', 'IM_IDENTITY_NOT_YET_VALID'],
	['INVALID_CA', 'IM_IDENTITY_SIGNER_INVALID'],
	['PATH_LENGTH_EXCEEDED', 'IM_IDENTITY_SIGNER_INVALID'],
	['CERT_CHAIN_TOO_LONG', 'IM_IDENTITY_CHAIN_LENGTH'],
]);

function refuse(code: IdentityErrorCode, message: string): SvidVerdict {
	return { ok: false, refusal: { code, message } };
}
