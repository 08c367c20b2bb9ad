// Owns the form in which an identity crosses threads, and its re-making there. Keys travel as KeyObjects; everything else is bytes.
import type { KeyObject } from 'node:crypto';
import { type Identity, makeIdentity, readCertificate } from '@infermesh/fabric/identity';

export interface WireIdentity {
	readonly chain: readonly Uint8Array[];
	readonly privateKey: KeyObject;
	readonly trustDomain: string;
	readonly roots: readonly Uint8Array[];
}

export function toWireIdentity({ chain, privateKey, bundle }: Identity): WireIdentity {
	return { chain, privateKey, trustDomain: bundle.trustDomain, roots: bundle.roots };
}

/** An identity that has expired on its way is taken all the same: peers refuse it until it is renewed, and renewing is another thread's. */
export function fromWireIdentity({ chain, privateKey, trustDomain, roots }: WireIdentity): Identity {
	const [leaf] = chain;
	const bundle = { trustDomain, roots };
	const issuedMs = leaf === undefined ? 0 : notBeforeMs(leaf);
	return makeIdentity(chain, privateKey, bundle, issuedMs);
}

function notBeforeMs(der: Uint8Array): number {
	return readCertificate(der)?.notBeforeMs ?? 0;
}
