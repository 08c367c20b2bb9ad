// Owns the built-in certificate authority on disk: one sealed file, and the secret that opens it. With a passphrase nothing in the folder opens it
// alone; without one a key file beside it (mode 0600) does, which is as safe as that folder.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { CertificateAuthority, type SealingSecret, sealAuthority, unsealAuthority } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import { fabricNodeErrors } from './errors.js';
import { NodeFolder } from './node-folder.js';

const SEALED = 'authority.sealed';
const KEY = 'authority.key';

export class AuthorityFolder {
	readonly #folder: NodeFolder;
	readonly #passphrase: string | undefined;

	constructor(root: string, passphrase: string | undefined) {
		this.#folder = new NodeFolder(root);
		this.#passphrase = passphrase;
	}

	static exists(root: string): boolean {
		return existsSync(path.join(root, SEALED));
	}

	/** Makes a new authority. IM_FABRIC_AUTHORITY_EXISTS when there is one. */
	async create(trustDomain: string, nowMs: number): Promise<CertificateAuthority> {
		if (AuthorityFolder.exists(this.#folder.root))
			throw new MeshError(fabricNodeErrors, 'IM_FABRIC_AUTHORITY_EXISTS', undefined, { where: this.#folder.root });
		const authority = await CertificateAuthority.create(trustDomain, nowMs);
		if (this.#passphrase === undefined) this.#folder.write(KEY, randomBytes(32));
		await this.save(authority);
		return authority;
	}

	/** Opens it. IM_IDENTITY_KEY_SEALED with another secret than it was sealed with. */
	async open(): Promise<CertificateAuthority> {
		const sealed = this.#folder.readFile(SEALED);
		if (sealed === undefined)
			throw new MeshError(fabricNodeErrors, 'IM_FABRIC_NO_AUTHORITY', undefined, { where: this.#folder.root });
		return new CertificateAuthority(await unsealAuthority(sealed, this.#secret()));
	}

	async save(authority: CertificateAuthority): Promise<void> {
		this.#folder.write(SEALED, await sealAuthority(authority.state, this.#secret()));
	}

	#secret(): SealingSecret {
		if (this.#passphrase !== undefined) return { kind: 'passphrase', passphrase: this.#passphrase };
		const key = this.#folder.readFile(KEY);
		if (key === undefined)
			throw new MeshError(
				fabricNodeErrors,
				'IM_FABRIC_NO_AUTHORITY',
				'its key file is missing and no passphrase is given',
				{
					where: this.#folder.path(KEY),
				},
			);
		return { kind: 'key', key };
	}
}
