// Owns the built-in certificate authority: a root that signs intermediates, an intermediate that signs leaves, and the renewal of both with overlap.
// It does not decide who may have a certificate (join tokens, renewals and operators do), and keeps no list of those it gave out.
import type { KeyObject } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { type AuthorityState, authorityBounds, type Issuer, type Root } from './authority-state.js';
import { type Certificate, readCertificate } from './certificate.js';
import { identityErrors } from './errors.js';
import { issueIntermediate, issueLeaf, issueRoot, type LeafNames, type Signer, type Validity } from './issue.js';
import { generateNodeKey, isP256, type KeyPair } from './keys.js';
import { clientSpiffeId, nodeSpiffeId, trustDomainId } from './spiffe-id.js';
import type { TrustBundle } from './svid.js';
import { signTrust } from './trust-signature.js';

export interface AuthorityLifetimes {
	readonly rootMs: number;
	readonly issuerMs: number;
	readonly leafMs: number;
	/** The longest a client's certificate may live; a node's lives for `leafMs`. */
	readonly clientMaxMs: number;
	/** How far into the past certificates are issued, for clocks that lag. */
	readonly backdateMs: number;
	/** How long a prepared root is in every bundle before it signs. Longer than nodes may be out of touch. */
	readonly rootOverlapMs: number;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

export const authorityLifetimeDefaults: AuthorityLifetimes = Object.freeze({
	rootMs: 3650 * dayMs,
	issuerMs: 365 * dayMs,
	leafMs: dayMs,
	clientMaxMs: 30 * dayMs,
	backdateMs: 300_000,
	rootOverlapMs: 7 * dayMs,
});

/** What `maintain` did. */
export type AuthorityChange = 'root-prepared' | 'root-activated' | 'root-retired' | 'issuer-renewed';

export class CertificateAuthority {
	#state: AuthorityState;
	readonly #lifetimes: AuthorityLifetimes;

	constructor(state: AuthorityState, lifetimes: Partial<AuthorityLifetimes> = {}) {
		this.#state = state;
		this.#lifetimes = { ...authorityLifetimeDefaults, ...lifetimes };
	}

	/** A new authority with a root and an intermediate. `nowMs` is wall time. Throws IM_IDENTITY_ID_INVALID for a bad trust domain. */
	static async create(
		trustDomain: string,
		nowMs: number,
		lifetimes: Partial<AuthorityLifetimes> = {},
	): Promise<CertificateAuthority> {
		const all = { ...authorityLifetimeDefaults, ...lifetimes };
		const root = { ...(await makeRoot(trustDomain, 1, nowMs, all)), phase: 'active', sinceMs: nowMs } as const;
		const issuer = await makeIssuer(trustDomain, 1, root, nowMs, all);
		return new CertificateAuthority({ trustDomain, roots: [root], issuers: [issuer] }, lifetimes);
	}

	/** To be sealed and stored after `create` and after every change. */
	get state(): AuthorityState {
		return this.#state;
	}

	get trustDomain(): string {
		return this.#state.trustDomain;
	}

	/** Every root that vouches now or soon. */
	get bundle(): TrustBundle {
		return { trustDomain: this.trustDomain, roots: this.#state.roots.map((root) => root.certificate.der) };
	}

	/** When the root that signs and the intermediate expire, wall time. */
	get expiry(): { readonly rootMs: number; readonly issuerMs: number } {
		return { rootMs: this.#active().certificate.notAfterMs, issuerMs: this.#issuer().certificate.notAfterMs };
	}

	/** Another one of the same state, to be changed and stored before `adopt`. */
	copy(): CertificateAuthority {
		return new CertificateAuthority(this.#state, this.#lifetimes);
	}

	/** Goes on as `changed`. */
	adopt(changed: CertificateAuthority): void {
		this.#state = changed.#state;
	}

	/** SHA-256 of the root whose signature new certificates lead to: what join tokens pin. */
	get fingerprint(): string {
		return this.#active().certificate.fingerprint;
	}

	/**
	 * A chain for a node, leaf first, without the root. It names the trust domain as a DNS name as well, and no other certificate does: a program that
	 * knows TLS but not SPIFFE asks for that name and is answered by nodes only. Throws IM_IDENTITY_ID_INVALID, IM_IDENTITY_CSR_INVALID for another
	 * kind of key.
	 */
	async issueNode(nodeUuid: string, publicKey: KeyObject, nowMs: number): Promise<readonly Uint8Array[]> {
		const names = { uri: nodeSpiffeId(this.trustDomain, nodeUuid).uri, dns: [this.trustDomain] };
		return this.#issue(names, publicKey, nowMs);
	}

	/** A chain for a person or tool, leaf first, without the root, for at most `clientMaxMs`: it cannot be revoked. Throws as `issueNode`. */
	async issueClient(
		name: string,
		publicKey: KeyObject,
		nowMs: number,
		lifetimeMs: number = this.#lifetimes.leafMs,
	): Promise<readonly Uint8Array[]> {
		const names = { uri: clientSpiffeId(this.trustDomain, name).uri, dns: [] };
		return this.#issue(names, publicKey, nowMs, Math.min(lifetimeMs, this.#lifetimes.clientMaxMs));
	}

	/** The bundle's signature for whoever gets the leaf, by the intermediate that signed it. */
	signTrust(leafDer: Uint8Array): Uint8Array {
		return signTrust(this.bundle, leafDer, this.#issuer().keys);
	}

	/** Whether this authority signed the leaf, now or in the past, whatever has expired since. */
	issued(leaf: Certificate): boolean {
		return this.#state.issuers.some(
			({ certificate }) => leaf.x509.checkIssued(certificate.x509) && leaf.x509.verify(certificate.publicKey),
		);
	}

	/** Makes the next root and puts it into the bundle. Throws IM_IDENTITY_AUTHORITY when one is on its way already. */
	async prepareRoot(nowMs: number): Promise<void> {
		const { roots, trustDomain } = this.#state;
		if (roots.some((root) => root.phase === 'prepared')) throw this.#wrong('a root is prepared already');
		if (roots.length >= authorityBounds.rootsMax) throw this.#wrong('too many roots: retire the old one first');
		const made = await makeRoot(trustDomain, ordinalOf(roots.at(-1)?.certificate) + 1, nowMs, this.#lifetimes);
		this.#state = { ...this.#state, roots: [...roots, { ...made, phase: 'prepared', sinceMs: nowMs }] };
	}

	/** Lets the prepared root sign from now on; the one before stays in the bundle. Throws IM_IDENTITY_AUTHORITY without a prepared one. */
	async activateRoot(nowMs: number): Promise<void> {
		const next = this.#state.roots.find((root) => root.phase === 'prepared');
		if (next === undefined) throw this.#wrong('no root is prepared');
		const roots = this.#state.roots.map((root): Root => {
			if (root === next) return { ...root, phase: 'active', sinceMs: nowMs };
			return root.phase === 'active' ? { ...root, phase: 'retiring', sinceMs: nowMs } : root;
		});
		await this.#renewIssuer({ ...this.#state, roots }, nowMs);
	}

	/**
	 * Takes retiring roots out of the bundle. Throws IM_IDENTITY_AUTHORITY while leaves they vouch for may be valid, unless `force`, which is for a
	 * root whose key is lost or stolen: nodes that have not renewed must then join anew.
	 */
	retireRoot(nowMs: number, force = false): void {
		const retiring = this.#state.roots.filter((root) => root.phase === 'retiring');
		if (retiring.length === 0) throw this.#wrong('no root is retiring');
		if (!force && retiring.some((root) => nowMs < this.#retirableAtMs(root)))
			throw this.#wrong('certificates under the old root may still be valid');
		this.#state = { ...this.#state, roots: this.#state.roots.filter((root) => root.phase !== 'retiring') };
	}

	/**
	 * Does what is due: prepares a root in the last third of the active one's life, activates it after the overlap, retires the old one when all it
	 * vouched for has expired, renews the intermediate at half-life. Answers what changed; the state is then to be stored.
	 */
	async maintain(nowMs: number): Promise<readonly AuthorityChange[]> {
		const changes: AuthorityChange[] = [];
		const prepared = this.#state.roots.find((root) => root.phase === 'prepared');
		if (prepared === undefined && this.#share(this.#active().certificate, nowMs) > 2 / 3) {
			await this.prepareRoot(nowMs);
			changes.push('root-prepared');
		} else if (prepared !== undefined && nowMs >= prepared.sinceMs + this.#lifetimes.rootOverlapMs) {
			await this.activateRoot(nowMs);
			changes.push('root-activated');
		}
		const retiring = this.#state.roots.filter((root) => root.phase === 'retiring');
		if (retiring.length > 0 && retiring.every((root) => nowMs >= this.#retirableAtMs(root))) {
			this.retireRoot(nowMs);
			changes.push('root-retired');
		}
		if (this.#share(this.#issuer().certificate, nowMs) > 1 / 2) {
			await this.#renewIssuer(this.#state, nowMs);
			changes.push('issuer-renewed');
		}
		return changes;
	}

	async #issue(
		names: LeafNames,
		publicKey: KeyObject,
		nowMs: number,
		lifetimeMs: number = this.#lifetimes.leafMs,
	): Promise<readonly Uint8Array[]> {
		if (!isP256(publicKey))
			throw new MeshError(identityErrors, 'IM_IDENTITY_CSR_INVALID', 'the key is not of curve P-256');
		const { certificate, keys } = this.#issuer();
		const validity = within(certificate, validityOf(nowMs, lifetimeMs, this.#lifetimes));
		if (validity.notAfterMs <= nowMs) throw this.#wrong('the intermediate has expired: maintain it first');
		const leaf = await issueLeaf(publicKey, signerOf(certificate, keys), names, validity);
		return [leaf, certificate.der];
	}

	async #renewIssuer(state: AuthorityState, nowMs: number): Promise<void> {
		const active = activeOf(state);
		const ordinal = ordinalOf(state.issuers.at(-1)?.certificate) + 1;
		const next = await makeIssuer(state.trustDomain, ordinal, active, nowMs, this.#lifetimes);
		const past = state.issuers.map(({ certificate }) => ({ certificate, keys: undefined }));
		this.#state = { ...state, issuers: [...past, next].slice(-authorityBounds.issuersMax) };
	}

	#active(): Root {
		return activeOf(this.#state);
	}

	#issuer(): { readonly certificate: Certificate; readonly keys: KeyPair } {
		const issuer = this.#state.issuers.at(-1);
		if (issuer?.keys === undefined) throw this.#wrong('no issuer');
		return { certificate: issuer.certificate, keys: issuer.keys };
	}

	/** A leaf issued just before the root began to retire lives at most this long. */
	#retirableAtMs(root: Root): number {
		const { leafMs, clientMaxMs } = this.#lifetimes;
		return Math.min(root.certificate.notAfterMs, root.sinceMs + Math.max(leafMs, clientMaxMs));
	}

	#share(certificate: Certificate, nowMs: number): number {
		return (nowMs - certificate.notBeforeMs) / (certificate.notAfterMs - certificate.notBeforeMs);
	}

	#wrong(message: string): MeshError {
		return new MeshError(identityErrors, 'IM_IDENTITY_AUTHORITY', message);
	}
}

function activeOf(state: AuthorityState): Root {
	const root = state.roots.find((one) => one.phase === 'active');
	if (root === undefined) throw new MeshError(identityErrors, 'IM_IDENTITY_AUTHORITY', 'no root is active');
	return root;
}

/** Names are numbered, so that two roots of one mesh differ in name as well as in key. */
function subjectOf(trustDomain: string, kind: 'root' | 'issuer', ordinal: number): string {
	return `CN=${trustDomain} ${kind} ${ordinal}`;
}

function ordinalOf(certificate: Certificate | undefined): number {
	return Number(/ (\d+)$/.exec(certificate?.x509.subject ?? '')?.[1] ?? 0);
}

function signerOf(certificate: Certificate, keys: KeyPair): Signer {
	return { subject: certificate.x509.subject, keys };
}

async function makeRoot(
	trustDomain: string,
	ordinal: number,
	nowMs: number,
	lifetimes: AuthorityLifetimes,
): Promise<{ readonly certificate: Certificate; readonly keys: KeyPair }> {
	const { uri } = trustDomainId(trustDomain);
	const keys = await generateNodeKey();
	const signer = { subject: subjectOf(trustDomain, 'root', ordinal), keys };
	return { certificate: mustRead(await issueRoot(signer, uri, validityOf(nowMs, lifetimes.rootMs, lifetimes))), keys };
}

async function makeIssuer(
	trustDomain: string,
	ordinal: number,
	root: { readonly certificate: Certificate; readonly keys: KeyPair },
	nowMs: number,
	lifetimes: AuthorityLifetimes,
): Promise<Issuer> {
	const keys = await generateNodeKey();
	const signer = { subject: subjectOf(trustDomain, 'issuer', ordinal), keys };
	const validity = within(root.certificate, validityOf(nowMs, lifetimes.issuerMs, lifetimes));
	const { uri } = trustDomainId(trustDomain);
	const der = await issueIntermediate(signer, signerOf(root.certificate, root.keys), uri, validity);
	return { certificate: mustRead(der), keys };
}

/** Certificates tell time in whole seconds. */
function validityOf(nowMs: number, lifetimeMs: number, lifetimes: AuthorityLifetimes): Validity {
	const seconds = (ms: number): number => Math.floor(ms / 1000) * 1000;
	return { notBeforeMs: seconds(nowMs - lifetimes.backdateMs), notAfterMs: seconds(nowMs + lifetimeMs) };
}

/** Nothing outlives its signer. */
function within(signer: Certificate, validity: Validity): Validity {
	return {
		notBeforeMs: Math.max(validity.notBeforeMs, signer.notBeforeMs),
		notAfterMs: Math.min(validity.notAfterMs, signer.notAfterMs),
	};
}

function mustRead(der: Uint8Array): Certificate {
	const certificate = readCertificate(der);
	if (certificate === undefined)
		throw new MeshError(
			identityErrors,
			'IM_IDENTITY_CERTIFICATE_MALFORMED',
			'a certificate just issued cannot be read',
		);
	return certificate;
}
