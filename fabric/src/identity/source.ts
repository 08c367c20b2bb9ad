// Owns what the rest of the fabric knows of its own identity: the current certificate, key and trust bundle, and word of each change. Who keeps
// it current (rotation, Workload API, a fixed one) is behind the interface.
import type { KeyObject } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { identityErrors } from './errors.js';
import { refusalError, type TrustBundle, type VerifiedSvid, validateSvidChain } from './svid.js';

/** An X509-SVID with its key, and the bundle that vouches for peers. Immutable: a change is a new one. */
export interface Identity {
	readonly svid: VerifiedSvid;
	/** DER, leaf first, without the root. */
	readonly chain: readonly Uint8Array[];
	readonly privateKey: KeyObject;
	readonly bundle: TrustBundle;
}

export interface IdentitySource {
	/** The identity now, expired or not. Throws IM_IDENTITY_NOT_READY before there is one. */
	current(): Identity;
	/** Calls back on every change, never synchronously from here. Answers how to stop. */
	onChange(listener: (identity: Identity) => void): () => void;
}

/**
 * Joins chain, key and bundle into an identity. `nowMs` is wall time. Throws the IM_IDENTITY_* refusal of the chain; an expired one is
 * refused too. A key of another certificate is IM_IDENTITY_UNTRUSTED.
 */
export function makeIdentity(
	chain: readonly Uint8Array[],
	privateKey: KeyObject,
	bundle: TrustBundle,
	nowMs: number,
): Identity {
	const verdict = validateSvidChain(chain, bundle, nowMs);
	if (!verdict.ok) throw refusalError(verdict.refusal);
	if (!verdict.svid.leaf.x509.checkPrivateKey(privateKey))
		throw refusalError({ code: 'IM_IDENTITY_UNTRUSTED', message: 'the private key is not the one of the certificate' });
	const roots = new Set(bundle.roots.map((root) => Buffer.from(root).toString('base64')));
	const withoutRoot = chain.filter((der) => !roots.has(Buffer.from(der).toString('base64')));
	return Object.freeze({ svid: verdict.svid, chain: withoutRoot, privateKey, bundle });
}

/** Holds an identity and tells of changes. The common part of every source. */
export class IdentityHolder implements IdentitySource {
	#identity: Identity | undefined;
	readonly #listeners = new Set<(identity: Identity) => void>();

	constructor(identity?: Identity) {
		this.#identity = identity;
	}

	get ready(): boolean {
		return this.#identity !== undefined;
	}

	current(): Identity {
		if (this.#identity === undefined) throw new MeshError(identityErrors, 'IM_IDENTITY_NOT_READY');
		return this.#identity;
	}

	onChange(listener: (identity: Identity) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	set(identity: Identity): void {
		this.#identity = identity;
		for (const listener of this.#listeners) listener(identity);
	}
}
