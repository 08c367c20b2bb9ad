// Owns the certificate authority on disk: `authority.sealed`, which holds every key under a secret kept elsewhere, and `bundle.pem` for people and tools.
// A development mesh keeps the secret beside it; that protects nothing but the habit of how files are named.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { type AuthorityChange, type AuthorityLifetimes, CertificateAuthority } from './authority.js';
import { sealAuthority, unsealAuthority } from './authority-state.js';
import { pemOfCertificate } from './certificate.js';
import { identityErrors } from './errors.js';
import { generateNodeKey } from './keys.js';
import { NodeDirectory } from './node-directory.js';
import { readPrivateFile, readSealingSecret, writePrivateFile } from './private-files.js';
import type { SealingSecret } from './sealed.js';
import { type Identity, makeIdentity } from './source.js';

export class AuthorityDirectory {
	readonly #folder: string;
	readonly #secret: SealingSecret;
	readonly #lifetimes: Partial<AuthorityLifetimes>;

	constructor(folder: string, secret: SealingSecret, lifetimes: Partial<AuthorityLifetimes> = {}) {
		this.#folder = folder;
		this.#secret = secret;
		this.#lifetimes = lifetimes;
	}

	/** Whether there is an authority here. */
	static exists(folder: string): boolean {
		return existsSync(sealedFile(folder));
	}

	/** Makes an authority and stores it. Rejects with IM_IDENTITY_AUTHORITY when one is there: replacing it would cut off every node. */
	async create(trustDomain: string, nowMs: number): Promise<CertificateAuthority> {
		if (AuthorityDirectory.exists(this.#folder))
			throw new MeshError(identityErrors, 'IM_IDENTITY_AUTHORITY', `there is an authority in ${this.#folder} already`);
		const authority = await CertificateAuthority.create(trustDomain, nowMs, this.#lifetimes);
		await this.save(authority);
		return authority;
	}

	/** Opens the authority that is here. Rejects with IM_IDENTITY_KEY_FILE when there is none, IM_IDENTITY_KEY_SEALED for another secret. */
	async open(): Promise<CertificateAuthority> {
		const state = await unsealAuthority(readPrivateFile(sealedFile(this.#folder)), this.#secret);
		return new CertificateAuthority(state, this.#lifetimes);
	}

	/** Does what is due, and stores it before anything is issued by it. A failure leaves the authority as it was. */
	async maintain(authority: CertificateAuthority, nowMs: number): Promise<readonly AuthorityChange[]> {
		const next = authority.copy();
		const changes = await next.maintain(nowMs);
		if (changes.length === 0) return changes;
		await this.save(next);
		authority.adopt(next);
		return changes;
	}

	/** To be called after every change of the authority, before what it then issues is given out. */
	async save(authority: CertificateAuthority): Promise<void> {
		writePrivateFile(sealedFile(this.#folder), await sealAuthority(authority.state, this.#secret));
		writePrivateFile(path.join(this.#folder, 'bundle.pem'), authority.bundle.roots.map(pemOfCertificate).join(''));
	}
}

/** The authority of a development mesh under `folder`, made when there is none, with its sealing key beside it. */
export async function developmentAuthority(
	folder: string,
	trustDomain: string,
	nowMs: number,
): Promise<{ readonly authority: CertificateAuthority; readonly directory: AuthorityDirectory }> {
	const keyFile = path.join(folder, 'sealing.key');
	if (!existsSync(keyFile)) writePrivateFile(keyFile, randomBytes(32));
	const directory = new AuthorityDirectory(folder, readSealingSecret(keyFile));
	if (!AuthorityDirectory.exists(folder)) return { authority: await directory.create(trustDomain, nowMs), directory };
	const authority = await directory.open();
	await directory.maintain(authority, nowMs);
	return { authority, directory };
}

/** The identity of a development node kept under `folder`: the one of the last run, or a new one for `nodeUuid` where that does not hold any more. */
export async function developmentIdentity(
	authority: CertificateAuthority,
	folder: string,
	nodeUuid: string,
	nowMs: number,
): Promise<Identity> {
	const storage = new NodeDirectory(folder);
	const kept = storage.load();
	const current = kept !== undefined && authority.issued(kept.svid.leaf) && kept.svid.notAfterMs > nowMs;
	if (current && kept.svid.nodeUuid === nodeUuid) return kept;
	const keys = await generateNodeKey();
	const chain = await authority.issueNode(nodeUuid, keys.publicKey, nowMs);
	const identity = makeIdentity(chain, keys.privateKey, authority.bundle, nowMs);
	storage.save(identity);
	return identity;
}

function sealedFile(folder: string): string {
	return path.join(folder, 'authority.sealed');
}
