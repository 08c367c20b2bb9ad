// Owns what a node knows of where its mesh is: the cluster's id, coordinators, agents. It begins with what the folder remembers, follows the
// mesh's records, and puts what has changed back into the folder, so that the node finds its mesh after any restart.
import type { Address } from '@infermesh/fabric';
import type { MeshConfig } from '../../config/schema.js';
import type { MemberView } from '../fabric.js';
import type { KnownMesh, KnownPeer, NodeFolder } from './node-folder.js';

const COORDINATORS_KNOWN_MAX = 64;
const AGENTS_KNOWN_MAX = 64;
/** Gossip members remembered, and told to a node that asks where the mesh is. */
const MEMBERS_KNOWN_MAX = 16;

/** What the mesh's records say of a node, as far as it leads to one. */
export interface NodePlace {
	readonly id: string;
	readonly addresses: { readonly agent: Address; readonly raft?: Address | undefined };
}

export class MeshMemory {
	/** As the folder had it when the node began; undefined for a node that has never been in a mesh. */
	readonly known: KnownMesh | undefined;
	/** Of the mesh's state; '' until it is known. It changes when a mesh is recovered. */
	clusterId: string;
	readonly #folder: NodeFolder;
	readonly #fabric: MeshConfig['fabric'];
	#coordinators: readonly KnownPeer[];
	#agents: readonly Address[];
	#written = '';

	constructor(folder: NodeFolder, fabric: MeshConfig['fabric']) {
		this.#folder = folder;
		this.#fabric = fabric;
		this.known = folder.mesh();
		this.clusterId = this.known?.clusterId ?? '';
		this.#coordinators = this.known?.coordinators ?? [];
		this.#agents = [...new Set([...fabric.authorities, ...fabric.join, ...(this.known?.agents ?? [])])];
	}

	get coordinators(): readonly KnownPeer[] {
		return this.#coordinators;
	}

	/** Where certificates may be renewed. */
	get agents(): readonly Address[] {
		return this.#agents;
	}

	/** The coordinators as the thread of consensus takes them. */
	get peers(): readonly (readonly [id: string, raft: Address])[] {
		return this.#coordinators.map(({ nodeId, raft }) => [nodeId, raft] as const);
	}

	/** Takes what a node of the mesh has told. */
	found(coordinators: readonly KnownPeer[]): void {
		this.#coordinators = coordinators;
	}

	/** Takes the mesh's records of its nodes. */
	follow(records: readonly NodePlace[], isRemoved: (nodeId: string) => boolean): void {
		const raft = records.flatMap(({ id, addresses }) =>
			addresses.raft === undefined ? [] : [{ nodeId: id, raft: addresses.raft }],
		);
		if (raft.length > 0) {
			// A coordinator that is away keeps its place in the list: it may come back, and the others may be away too.
			const others = this.#coordinators.filter(
				(peer) => !raft.some((one) => one.nodeId === peer.nodeId) && !isRemoved(peer.nodeId),
			);
			this.#coordinators = [...raft, ...others].slice(0, COORDINATORS_KNOWN_MAX);
		}
		// Before the first reading, and cut off for long, those remembered are all there is.
		const { authorities, join } = this.#fabric;
		if (records.length > 0)
			this.#agents = [...new Set([...records.map(({ addresses }) => addresses.agent), ...authorities, ...join])];
	}

	/** Writes down what has changed since. Throws what the disk throws; what was remembered before stands then. */
	remember(members: readonly MemberView[], gossipKeys: readonly Uint8Array[]): void {
		const mesh: KnownMesh = {
			clusterId: this.clusterId,
			coordinators: this.#coordinators,
			gossip: aliveAt(members),
			gossipKeys: gossipKeys.map((secret) => Buffer.from(secret).toString('base64')),
			agents: this.#agents.slice(0, AGENTS_KNOWN_MAX),
		};
		const text = JSON.stringify(mesh);
		if (text === this.#written) return;
		this.#folder.setMesh(mesh);
		this.#written = text;
	}
}

/** Gossip addresses of some members that are alive. */
export function aliveAt(members: readonly MemberView[]): Address[] {
	return members
		.filter(({ state }) => state === 'alive')
		.slice(0, MEMBERS_KNOWN_MAX)
		.map(({ address }) => address);
}
