// Owns the request by which a node renews: what is signed, by which key. The certificate it names may have expired long ago; its key is the proof.
import { createHash } from 'node:crypto';
import type { RenewRequest } from '@infermesh/proto/grpc/identity/v1/identity';
import type { Certificate } from './certificate.js';
import { makeCsr } from './issue.js';
import { type KeyPair, signFor, verifyFor } from './keys.js';
import type { Identity } from './source.js';

const purpose = 'infermesh.identity.v1.Renew';

/** A request to renew `identity` for the key `next`, signed at `nowMs` of wall time. */
export async function makeRenewRequest(
	identity: Pick<Identity, 'chain' | 'privateKey'>,
	next: KeyPair,
	nowMs: number,
): Promise<RenewRequest> {
	const certificateDer = identity.chain[0] ?? new Uint8Array();
	const unsigned = { certificateDer, csrDer: makeCsr(next), signedAtMs: BigInt(Math.floor(nowMs)) };
	return { ...unsigned, signature: signFor(purpose, payloadOf(unsigned), identity.privateKey) };
}

/** Whether the key of `certificate` signed the request. */
export function renewRequestVerifies(request: RenewRequest, certificate: Certificate): boolean {
	return verifyFor(purpose, payloadOf(request), request.signature, certificate.publicKey);
}

/** Names a request whatever its signature: ECDSA signatures can be altered and still verify. */
export function renewRequestId(request: RenewRequest): string {
	return createHash('sha256').update(payloadOf(request)).digest('hex');
}

function payloadOf(request: Omit<RenewRequest, 'signature'>): Uint8Array {
	const signedAt = Buffer.alloc(8);
	signedAt.writeBigUInt64BE(BigInt.asUintN(64, request.signedAtMs));
	return Buffer.concat([signedAt, createHash('sha256').update(request.certificateDer).digest(), request.csrDer]);
}
