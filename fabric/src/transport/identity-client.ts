// Owns the node's side of joining and renewing: calls without a certificate of its own, to a server that must prove itself. A joiner pins the root that its
// token names; a renewing node knows the roots. Nothing secret is sent before the proof.
import { type CallOptions, Metadata, type ServiceError } from '@grpc/grpc-js';
import { type Clock, MeshError } from '@infermesh/proto';
import { type IdentityReply } from '@infermesh/proto/grpc/identity/v1/identity';
import { IdentityClient } from '@infermesh/proto/grpc/identity/v1/identity-client';
import type { Address } from '../effects/packets.js';
import { readCertificate } from '../identity/certificate.js';
import { identityErrors } from '../identity/errors.js';
import { makeCsr } from '../identity/issue.js';
import { parseJoinToken } from '../identity/join-tokens.js';
import type { KeyPair } from '../identity/keys.js';
import { makeRenewRequest } from '../identity/renewal.js';
import type { SvidRenewer } from '../identity/rotation.js';
import { type Identity, makeIdentity } from '../identity/source.js';
import { parseSpiffeId } from '../identity/spiffe-id.js';
import { type Refusal, refusalError, type SvidVerdict, type TrustBundle, validateSvidChain } from '../identity/svid.js';
import { checkTrust } from '../identity/trust-signature.js';
import { parseAddress } from './address.js';
import { anonymousCredentials } from './grpc-credentials.js';
import { meshErrorOf } from './grpc-errors.js';
import { chainOf, ofNode } from './peer.js';
import { meshChannelOptions } from './peer-channels.js';

export interface IdentityCallOptions {
	readonly clock: Clock;
	/** For the whole call, the connection included. */
	readonly timeoutMs: number;
}

export interface Joined {
	readonly identity: Identity;
	/** Node UUIDs revoked as of `revision`. */
	readonly revoked: readonly string[];
	readonly revision: bigint;
}

/**
 * Joins a mesh with a token, for a new key. The same key may try again with the same token: it gets the same node. Rejects with
 * IM_IDENTITY_PIN_MISMATCH for a server of another mesh, IM_IDENTITY_TOKEN_*, IM_TRANSPORT_*.
 */
export async function joinMesh(
	at: Address,
	tokenText: string,
	keys: KeyPair,
	options: IdentityCallOptions,
): Promise<Joined> {
	const token = parseJoinToken(tokenText);
	const judge = (chain: readonly Uint8Array[]): SvidVerdict => pinned(chain, token.fingerprint, options.clock.wallMs());
	const csrDer = makeCsr(keys);
	const reply = await call(at, judge, options, (client, metadata, deadline, callback) =>
		client.join({ token: tokenText.trim(), csrDer }, metadata, deadline, callback),
	);
	const told = bundleOf(reply);
	const root = told.roots.find((one) => readCertificate(one)?.fingerprint === token.fingerprint);
	if (root === undefined) throw new MeshError(identityErrors, 'IM_IDENTITY_PIN_MISMATCH');
	const nowMs = options.clock.wallMs();
	const known = { trustDomain: told.trustDomain, roots: [root] };
	const bundle = checkTrust(told, reply.chainDer, reply.trustSignature, known, nowMs);
	const identity = makeIdentity(reply.chainDer, keys.privateKey, bundle, nowMs);
	return { identity, revoked: reply.trust?.revoked ?? [], revision: reply.trust?.revision ?? 0n };
}

/** Renews at whichever of `addresses()` answers first in turn. For a RotatingIdentity. */
export function remoteRenewer(addresses: () => readonly Address[], options: IdentityCallOptions): SvidRenewer {
	let turn = 0;
	return async (current, next) => {
		const known = addresses();
		const at = known[turn % Math.max(1, known.length)];
		// One address an attempt; the next attempt takes the next, after the backoff of whoever calls.
		turn++;
		if (at === undefined)
			throw new MeshError(identityErrors, 'IM_IDENTITY_RENEWAL_FAILED', 'no address of an authority is known');
		const judge = (chain: readonly Uint8Array[]): SvidVerdict =>
			ofNode(validateSvidChain(chain, current.bundle, options.clock.wallMs()));
		const request = await makeRenewRequest(current, next, options.clock.wallMs());
		const reply = await call(at, judge, options, (client, metadata, deadline, callback) =>
			client.renew(request, metadata, deadline, callback),
		);
		const nowMs = options.clock.wallMs();
		const bundle = checkTrust(bundleOf(reply), reply.chainDer, reply.trustSignature, current.bundle, nowMs);
		return { chain: reply.chainDer, bundle };
	};
}

/** Whether the chain a server showed ends in the pinned root, and is that of a node of that root's trust domain. */
function pinned(chain: readonly Uint8Array[], fingerprint: string, nowMs: number): SvidVerdict {
	const root = chain.map(readCertificate).find((one) => one?.fingerprint === fingerprint);
	const trustDomain = parseSpiffeId(root?.uris[0] ?? '')?.trustDomain;
	if (root === undefined || trustDomain === undefined)
		return {
			ok: false,
			refusal: { code: 'IM_IDENTITY_PIN_MISMATCH', message: 'the server does not show the pinned root' },
		};
	const others = chain.filter((der) => !root.x509.raw.equals(der));
	return ofNode(validateSvidChain(others, { trustDomain, roots: [root.der] }, nowMs));
}

function bundleOf(reply: IdentityReply): TrustBundle {
	return { trustDomain: reply.trust?.trustDomain ?? '', roots: reply.trust?.rootsDer ?? [] };
}

type Callback = (error: ServiceError | null, reply: IdentityReply) => void;

async function call(
	at: Address,
	judge: (chain: readonly Uint8Array[]) => SvidVerdict,
	options: IdentityCallOptions,
	send: (client: IdentityClient, metadata: Metadata, options: CallOptions, callback: Callback) => unknown,
): Promise<IdentityReply> {
	parseAddress(at);
	// gRPC tells a failed handshake as "unavailable"; the reason is kept here.
	let refusal: Refusal | undefined;
	const credentials = anonymousCredentials((socket) => {
		const verdict = judge(chainOf(socket));
		refusal = verdict.ok ? undefined : verdict.refusal;
		return verdict;
	}, options);
	const client = new IdentityClient(at, credentials, meshChannelOptions());
	// Deadlines of gRPC are of the system's clock, whichever clock certificates are judged by.
	const deadline = new Date(new Date().getTime() + options.timeoutMs);
	try {
		return await new Promise<IdentityReply>((resolve, reject) => {
			send(client, new Metadata(), { deadline }, (error, reply) => {
				if (error === null) return resolve(reply);
				return reject(refusal === undefined ? meshErrorOf(error, identityErrors) : refusalError(refusal));
			});
		});
	} finally {
		client.close();
	}
}
