// Owns how this node comes by its certificate and keeps it: from its own folder, from the authority it holds itself, or from the mesh by a join token;
// renewed at half-life by whichever of the two last it is.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import {
	type Address,
	type CertificateAuthority,
	generateNodeKey,
	type Identity,
	type IdentityStorage,
	joinMesh,
	type KeyPair,
	makeIdentity,
	RotatingIdentity,
	readCertificate,
	remoteRenewer,
	type SvidRenewer,
	type TrustBundle,
} from '@infermesh/fabric';
import { type Clock, MeshError, type Random } from '@infermesh/proto';
import { fabricNodeErrors } from './errors.js';
import type { NodeFolder } from './node-folder.js';

const IDENTITY = 'identity.json';
const PENDING = 'pending-key.der';
const CALL_TIMEOUT_MS = 10_000;
const JOIN_RETRY_MS = 1000;
const JOIN_RETRY_MAX_MS = 15_000;

interface StoredIdentity {
	readonly chain: readonly string[];
	readonly key: string;
	readonly trustDomain: string;
	readonly roots: readonly string[];
}

export interface IdentityParts {
	readonly folder: NodeFolder;
	readonly clock: Clock;
	readonly random: Random;
	/** The authority, where this node holds it. */
	readonly authority: CertificateAuthority | undefined;
	/** Agents to join at, and the token that lets this node in. */
	readonly join: readonly Address[];
	readonly joinToken: string | undefined;
	/** Agents known to hold the authority or to pass on to it, for renewals. */
	readonly authorities: () => readonly Address[];
	readonly log: (message: string, error: unknown) => void;
	/** The node is to stop: nothing is waited for any more. */
	readonly stopped: () => boolean;
}

export async function openIdentity(parts: IdentityParts): Promise<RotatingIdentity> {
	const { folder, clock, random, authority } = parts;
	const storage = new FolderStorage(folder);
	const identity = storage.load() ?? (await firstIdentity(parts));
	const uuid = identity.svid.nodeUuid ?? '';
	if (folder.hasNodeId() && folder.nodeId() !== uuid)
		throw new MeshError(fabricNodeErrors, 'IM_FABRIC_NODE_ID', `${folder.nodeId()} and ${uuid}`, {
			where: folder.root,
		});
	folder.setNodeId(uuid);
	storage.save(identity);
	const renew =
		authority === undefined
			? remoteRenewer(parts.authorities, { clock, timeoutMs: CALL_TIMEOUT_MS })
			: ownRenewer(authority, uuid, clock);
	return new RotatingIdentity({ identity, renew, storage, clock, random });
}

function ownRenewer(authority: CertificateAuthority, uuid: string, clock: Clock): SvidRenewer {
	return async (_current, next) => ({
		chain: await authority.issueNode(uuid, next.publicKey, clock.wallMs()),
		bundle: authority.bundle,
	});
}

async function firstIdentity(parts: IdentityParts): Promise<Identity> {
	const { authority, folder, clock, join, joinToken, log } = parts;
	const keys = await generateNodeKey();
	if (authority !== undefined) {
		const chain = await authority.issueNode(folder.nodeId(), keys.publicKey, clock.wallMs());
		return makeIdentity(chain, keys.privateKey, authority.bundle, clock.wallMs());
	}
	if (joinToken === undefined || join.length === 0) throw new MeshError(fabricNodeErrors, 'IM_FABRIC_NO_IDENTITY');
	for (let attempt = 0; !parts.stopped(); attempt++) {
		const at = join[attempt % join.length] as Address;
		try {
			return (await joinMesh(at, joinToken, keys, { clock, timeoutMs: CALL_TIMEOUT_MS })).identity;
		} catch (error) {
			// A token that is refused stays refused; only a mesh that does not answer is worth waiting for.
			if (!(error instanceof MeshError) || !error.entry.retryable) throw error;
			if (attempt < 3 || attempt % 10 === 0) log(`joining the mesh at ${at}`, error);
			const delayMs = Math.min(JOIN_RETRY_MAX_MS, JOIN_RETRY_MS * 2 ** Math.min(attempt, 10));
			await new Promise<void>((resolve) => void clock.after(delayMs, resolve));
		}
	}
	throw new MeshError(fabricNodeErrors, 'IM_FABRIC_STOPPED');
}

class FolderStorage implements IdentityStorage {
	readonly #folder: NodeFolder;

	constructor(folder: NodeFolder) {
		this.#folder = folder;
	}

	/** Also an expired one: it is renewed by its key. Undefined when there is none, or none that can be read. */
	load(): Identity | undefined {
		const bytes = this.#folder.readFile(IDENTITY);
		if (bytes === undefined) return undefined;
		const stored = JSON.parse(bytes.toString('utf8')) as StoredIdentity;
		const chain = stored.chain.map((text) => Buffer.from(text, 'base64'));
		const leaf = readCertificate(chain[0] ?? new Uint8Array(0));
		const key = createPrivateKey({ key: Buffer.from(stored.key, 'base64'), format: 'der', type: 'pkcs8' });
		return makeIdentity(chain, key, bundleOf(stored), leaf?.notBeforeMs ?? 0);
	}

	loadPendingKey(): KeyPair | undefined {
		const bytes = this.#folder.readFile(PENDING);
		if (bytes === undefined || bytes.length === 0) return undefined;
		const privateKey = createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' });
		return { privateKey, publicKey: createPublicKey(privateKey) };
	}

	savePendingKey(keys: KeyPair): void {
		this.#folder.write(PENDING, der(keys.privateKey));
	}

	save({ chain, privateKey, bundle }: Identity): void {
		this.#write({
			chain: chain.map((one) => Buffer.from(one).toString('base64')),
			key: der(privateKey).toString('base64'),
			trustDomain: bundle.trustDomain,
			roots: rootsOf(bundle),
		});
		this.#folder.write(PENDING, new Uint8Array(0));
	}

	saveBundle(bundle: TrustBundle): void {
		const bytes = this.#folder.readFile(IDENTITY);
		if (bytes === undefined) return;
		const stored = JSON.parse(bytes.toString('utf8')) as StoredIdentity;
		this.#write({ ...stored, trustDomain: bundle.trustDomain, roots: rootsOf(bundle) });
	}

	#write(stored: StoredIdentity): void {
		this.#folder.write(IDENTITY, Buffer.from(JSON.stringify(stored)));
	}
}

function der(key: KeyObject): Buffer {
	return key.export({ format: 'der', type: 'pkcs8' });
}

function rootsOf(bundle: TrustBundle): string[] {
	return bundle.roots.map((root) => Buffer.from(root).toString('base64'));
}

function bundleOf({ trustDomain, roots }: StoredIdentity): TrustBundle {
	return { trustDomain, roots: roots.map((root) => Buffer.from(root, 'base64')) };
}
