// Owns how this node comes by its certificate and keeps it: from its own folder, from the authority it holds itself, or from the mesh by a join token;
// renewed at half-life by whichever of the two last it is.
import {
	type Address,
	type CertificateAuthority,
	generateNodeKey,
	type Identity,
	joinMesh,
	makeIdentity,
	NodeDirectory,
	RotatingIdentity,
	remoteRenewer,
	type SvidRenewer,
} from '@infermesh/fabric';
import { type Clock, MeshError, type Random } from '@infermesh/proto';
import { fabricNodeErrors } from './errors.js';
import type { NodeFolder } from './node-folder.js';

const CALL_TIMEOUT_MS = 10_000;
const JOIN_RETRY_MS = 1000;
const JOIN_RETRY_MAX_MS = 15_000;

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
	const storage = new NodeDirectory(folder.root);
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
