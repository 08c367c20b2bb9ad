// Owns where the secret of the built-in certificate authority comes from: a passphrase of the configuration, with which nothing in the folder opens it
// alone, or a key file beside it (mode 0600), which is as safe as that folder.
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { AuthorityDirectory, type SealingSecret } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { MeshConfig } from '../../config/schema.js';
import { fabricNodeErrors } from './errors.js';
import { NodeFolder } from './node-folder.js';

const KEY = 'sealing.key';

/** Where the authority of a node is, or would be. */
export function authorityFolder({ fabric, state_dir }: Pick<MeshConfig, 'fabric' | 'state_dir'>): string {
	return fabric.ca_dir ?? path.join(state_dir, 'ca');
}

export function authorityExists(folder: string): boolean {
	return AuthorityDirectory.exists(folder);
}

/** The directory of an authority that is there, or that `create` is about to make. IM_FABRIC_NO_AUTHORITY when its secret is missing. */
export function authorityDirectory(root: string, passphrase: string | undefined): AuthorityDirectory {
	return new AuthorityDirectory(root, secretOf(new NodeFolder(root), passphrase));
}

function secretOf(folder: NodeFolder, passphrase: string | undefined): SealingSecret {
	if (passphrase !== undefined) return { kind: 'passphrase', passphrase };
	const present = folder.readFile(KEY);
	if (present !== undefined) return { kind: 'key', key: present };
	if (authorityExists(folder.root))
		throw new MeshError(
			fabricNodeErrors,
			'IM_FABRIC_NO_AUTHORITY',
			'its key file is missing and no passphrase is given',
			{ where: folder.path(KEY) },
		);
	const key = randomBytes(32);
	folder.write(KEY, key);
	return { kind: 'key', key };
}
