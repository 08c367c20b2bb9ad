// Owns a node's identity on disk: `identity.pem` (key and chain in one file, so that they are never of two generations), `bundle.pem`, and
// `pending.key` while a renewal is under way. All are 0600 in a folder of 0700.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { certificatesOfPem, pemOfCertificate, readCertificate } from './certificate.js';
import { identityErrors } from './errors.js';
import type { KeyPair } from './keys.js';
import { readPrivateFile, removePrivateFile, writePrivateFile } from './private-files.js';
import type { IdentityStorage } from './rotation.js';
import { type Identity, makeIdentity } from './source.js';
import { parseSpiffeId } from './spiffe-id.js';
import { CHAIN_LENGTH_MAX, type TrustBundle } from './svid.js';
import { workloadApiBounds } from './workload-source.js';

export class NodeDirectory implements IdentityStorage {
	readonly #identity: string;
	readonly #bundle: string;
	readonly #pending: string;

	constructor(folder: string) {
		this.#identity = path.join(folder, 'identity.pem');
		this.#bundle = path.join(folder, 'bundle.pem');
		this.#pending = path.join(folder, 'pending.key');
	}

	/**
	 * The identity of the last run, which may have expired; undefined when there is none. Throws IM_IDENTITY_KEY_FILE for files that others may read or
	 * that hold no identity, and the IM_IDENTITY_* refusal of a chain that no root of the bundle vouches for.
	 */
	load(): Identity | undefined {
		if (!existsSync(this.#identity) || !existsSync(this.#bundle)) return undefined;
		const pem = text(this.#identity);
		const chain = certificatesOfPem(pem, CHAIN_LENGTH_MAX);
		const leaf = readCertificate(chain[0] ?? new Uint8Array());
		const trustDomain = parseSpiffeId(leaf?.uris[0] ?? '')?.trustDomain;
		if (leaf === undefined || trustDomain === undefined) throw broken(this.#identity);
		const roots = certificatesOfPem(text(this.#bundle), workloadApiBounds.rootsMax);
		// Judged as of its first moment: a node that slept past its end comes back to renew.
		return makeIdentity(chain, this.#key(pem, this.#identity), { trustDomain, roots }, leaf.notBeforeMs);
	}

	loadPendingKey(): KeyPair | undefined {
		if (!existsSync(this.#pending)) return undefined;
		const privateKey = this.#key(text(this.#pending), this.#pending);
		return { privateKey, publicKey: createPublicKey(privateKey) };
	}

	savePendingKey(keys: KeyPair): void {
		writePrivateFile(this.#pending, pemOfKey(keys.privateKey));
	}

	/** The bundle goes first: a new chain under a new root is never without it. */
	save(identity: Identity): void {
		this.saveBundle(identity.bundle);
		writePrivateFile(
			this.#identity,
			`${pemOfKey(identity.privateKey)}${identity.chain.map(pemOfCertificate).join('')}`,
		);
		removePrivateFile(this.#pending);
	}

	saveBundle(bundle: TrustBundle): void {
		writePrivateFile(this.#bundle, bundle.roots.map(pemOfCertificate).join(''));
	}

	#key(pem: string, file: string): KeyObject {
		try {
			return createPrivateKey(pem);
		} catch (cause) {
			throw broken(file, cause);
		}
	}
}

function text(file: string): string {
	return Buffer.from(readPrivateFile(file)).toString('latin1');
}

function pemOfKey(key: KeyObject): string {
	return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}

function broken(file: string, cause?: unknown): MeshError {
	return new MeshError(identityErrors, 'IM_IDENTITY_KEY_FILE', 'the file holds no identity', {
		where: file,
		hint: 'remove it and join anew with a token',
		...(cause === undefined ? {} : { cause }),
	});
}
