// Owns what a certificate authority remembers, and its form at rest: one sealed JSON document with every key in it. Nothing of it is readable
// without the secret; the trust bundle is public and kept elsewhere.
import { createPublicKey } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { type Certificate, readCertificate } from './certificate.js';
import { identityErrors } from './errors.js';
import { type KeyPair, privateKeyDer, privateKeyFromDer } from './keys.js';
import { type SealingSecret, seal, unseal } from './sealed.js';
import { isTrustDomain } from './spiffe-id.js';

/**
 * prepared: in the bundle, signs nothing yet. active: signs intermediates. retiring: still in the bundle until what it vouched for has expired.
 */
export type RootPhase = 'prepared' | 'active' | 'retiring';

export interface Root {
	readonly certificate: Certificate;
	readonly keys: KeyPair;
	readonly phase: RootPhase;
	/** When it came into this phase, ms since the epoch. */
	readonly sinceMs: number;
}

/** A signer of leaves. Past ones are kept without their keys, to recognise the certificates of nodes that slept long. */
export interface Issuer {
	readonly certificate: Certificate;
	readonly keys: KeyPair | undefined;
}

export interface AuthorityState {
	readonly trustDomain: string;
	readonly roots: readonly Root[];
	/** The last one signs. */
	readonly issuers: readonly Issuer[];
}

/** Roots and issuers remembered at once. */
export const authorityBounds = Object.freeze({ rootsMax: 3, issuersMax: 64 });

const label = 'infermesh certificate authority 1';

/** The sealed form. `log2N` is scrypt's cost, for tests. */
export async function sealAuthority(state: AuthorityState, secret: SealingSecret, log2N?: number): Promise<Uint8Array> {
	const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
	const document = {
		trustDomain: state.trustDomain,
		roots: state.roots.map(({ certificate, keys, phase, sinceMs }) => ({
			certificate: base64(certificate.der),
			key: base64(privateKeyDer(keys.privateKey)),
			phase,
			sinceMs,
		})),
		issuers: state.issuers.map(({ certificate, keys }) => ({
			certificate: base64(certificate.der),
			...(keys === undefined ? {} : { key: base64(privateKeyDer(keys.privateKey)) }),
		})),
	};
	return seal(Buffer.from(JSON.stringify(document)), secret, label, log2N);
}

/** Opens a sealed state. Throws IM_IDENTITY_KEY_SEALED, also for one that this version cannot read. */
export async function unsealAuthority(bytes: Uint8Array, secret: SealingSecret): Promise<AuthorityState> {
	const plain = await unseal(bytes, secret, label);
	try {
		return readState(JSON.parse(Buffer.from(plain).toString('utf8')) as StateDocument);
	} catch (cause) {
		throw new MeshError(identityErrors, 'IM_IDENTITY_KEY_SEALED', 'the sealed state is of another form', { cause });
	}
}

interface StateDocument {
	readonly trustDomain: string;
	readonly roots: readonly {
		readonly certificate: string;
		readonly key: string;
		readonly phase: RootPhase;
		readonly sinceMs: number;
	}[];
	readonly issuers: readonly { readonly certificate: string; readonly key?: string }[];
}

/** The document is authenticated, so it is one that some version wrote; a version with another form fails here. */
function readState(document: StateDocument): AuthorityState {
	if (!isTrustDomain(document.trustDomain)) throw new TypeError('no trust domain');
	const state: AuthorityState = {
		trustDomain: document.trustDomain,
		roots: document.roots.map((root) => ({
			certificate: certificateOf(root.certificate),
			keys: keysOf(root.key),
			phase: root.phase,
			sinceMs: root.sinceMs,
		})),
		issuers: document.issuers.map((issuer) => ({
			certificate: certificateOf(issuer.certificate),
			keys: issuer.key === undefined ? undefined : keysOf(issuer.key),
		})),
	};
	if (state.roots.filter((root) => root.phase === 'active').length !== 1 || state.issuers.at(-1)?.keys === undefined)
		throw new TypeError('no active root or issuer');
	return state;
}

function certificateOf(base64: string): Certificate {
	const certificate = readCertificate(Buffer.from(base64, 'base64'));
	if (certificate === undefined) throw new TypeError('no certificate');
	return certificate;
}

function keysOf(base64: string): KeyPair {
	const privateKey = privateKeyFromDer(Buffer.from(base64, 'base64'));
	return { privateKey, publicKey: createPublicKey(privateKey) };
}
