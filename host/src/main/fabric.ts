// Owns what the rest of meshd sees of the fabric: replicated state, blobs, who this node is, who else there is and how far away. A lone development node
// has a fabric in memory; members of a mesh have a real one behind the same interface.
import { randomUUID } from 'node:crypto';
import {
	type BandwidthAsk,
	type Blobs,
	type CertificateAuthority,
	type ConsensusEngine,
	createLocalEngine,
	type JoinTokens,
	type LeaseId,
	type LinkEstimate,
	MemoryBlobs,
	type PeerLease,
	type SecureServer,
	topologyErrors,
} from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { Summary } from '@infermesh/proto/grpc/cells/v1/cells';
import type { CellView } from '../cells/book.js';
import type { SummarisedTarget } from '../cells/summary.js';
import type { CollectedSample } from '../telemetry/exposition.js';
import { systemClock, systemRandom } from './clock.js';
import type { GroupState } from './fabric/consensus-protocol.js';

/** A node as gossip sees it from here. */
export interface MemberView {
	readonly id: string;
	readonly name: string;
	/** Gossip address, host:port. */
	readonly address: string;
	readonly state: 'alive' | 'suspect' | 'failed' | 'left';
	readonly incarnation: number;
	/** Since when it has been in this state, milliseconds since the Unix epoch. */
	readonly sinceMs: number;
	/** UUIDs of those who accuse it, while it is suspected. */
	readonly accusers: readonly string[];
	/** In the pool of gateways: its cell, and where its agent is. */
	readonly speaksFor?: { readonly cell: string; readonly agent: string };
}

/** Distances from this node. */
export interface TopologyView {
	readonly links: readonly { readonly nodeId: string; readonly estimate: LinkEstimate }[];
	/** This node's Vivaldi coordinate: components, height and adjustment in seconds. */
	readonly vector: readonly number[];
	readonly heightS: number;
	readonly error: number;
}

/** The state at one revision, in pieces of the store's own snapshot. */
export interface SavedState {
	readonly clusterId: string;
	readonly revision: number;
	readonly appliedIndex: number;
	/** Hex. */
	readonly appliedHash: string;
	readonly pieces: AsyncIterable<Uint8Array>;
	/** Lets go of it, whether it was read to its end or not; to be called by whoever was given it. */
	close(): Promise<void>;
}

/** So many bytes went over in so long. */
export interface BandwidthMeasured {
	readonly bytes: number;
	readonly durationMs: number;
}

/** What is known of this cell and of the others. */
export interface CellsView {
	readonly name: string;
	/** Whether this node speaks for its cell. */
	readonly gateway: boolean;
	/** What a gateway is to tell of its cell's targets, asked each time it does. */
	describe(targets: () => readonly SummarisedTarget[]): void;
	/** What this gateway tells; undefined on a node that is none, or that cannot tell yet. */
	own(): Summary | undefined;
	/** Other cells by name, stale ones included. */
	others(): readonly CellView[];
	/** The pool of gateways, as this gateway sees it. */
	pool(): readonly MemberView[];
	/** Calls back each period and when something new was heard, until the returned function is called. */
	onChange(listener: () => void): () => void;
}

/** From when to when a certificate is valid, milliseconds since the Unix epoch. */
export interface CertificateLife {
	readonly beginsMs: number;
	readonly expiresMs: number;
}

/** What a node says of itself when another asks. */
export interface NodeStatus {
	readonly version: string;
	readonly quorum: boolean;
	/** UUID of who leads by its own knowledge; empty = nobody. */
	readonly leader: string;
	readonly notReady: readonly string[];
	readonly degraded: readonly string[];
	/** Its wall clock less the asker's, milliseconds, and by how much that may be wrong. */
	readonly skewMs: number;
	readonly skewErrorMs: number;
	readonly certificate: CertificateLife;
	/** UUIDs of the nodes it sees alive. */
	readonly alive: readonly string[];
}

/** What only a member of the group of coordinators can be asked to do. */
export interface GroupControl {
	/** Undefined = the most suitable voter. Resolves with who leads then. */
	transferLeadership(to: string | undefined): Promise<string>;
	/** Whether this node leads now. */
	leads(): boolean;
	/** The whole replicated state as it is now. */
	saveSnapshot(): Promise<SavedState>;
}

export interface MeshFabric {
	/** UUID of this node. */
	readonly nodeId: string;
	readonly engine: ConsensusEngine;
	readonly blobs: Blobs;
	/**
	 * The lease this node's own records lie under; undefined where nothing outlives the process anyway. Throws IM_CONSENSUS_LEASE_LOST while the last
	 * one is lost and the next is on its way.
	 */
	readonly lease: () => LeaseId | undefined;
	/** Calls back when the lease was lost and another granted: records under it must be written again. */
	readonly onLease: (listener: () => void) => () => void;
	/** Where other nodes reach this one; empty for a lone node. */
	readonly addresses: { readonly agent: string; readonly raft?: string; readonly gossip?: string };
	/** The agent's mTLS port, to add services to; undefined for a lone node. */
	readonly server: SecureServer | undefined;
	/** The channel to another node, to be released. Throws IM_TOPOLOGY_UNREACHABLE for one that is not there. */
	readonly peer: (nodeId: string) => PeerLease;
	/** Of this node's certificate; undefined for a lone node, which has none. */
	readonly certificate: () => CertificateLife | undefined;
	/** What a node says of itself, this one included, asked over the Agent API. Rejects with what transport or that node refuses with. */
	readonly statusOf: (nodeId: string) => Promise<NodeStatus>;
	/** Certificates of its trust domain are issued by others than the built-in authority. */
	readonly sharedTrustDomain: boolean;
	/** The built-in authority and its join tokens, where this node holds it. */
	readonly authority: CertificateAuthority | undefined;
	readonly tokens: JoinTokens | undefined;
	/** This node's part in the group of coordinators, as it last was; undefined where it has none. */
	readonly state: () => GroupState | undefined;
	/** Why that part has ended for good while the node goes on; undefined while it has not. */
	readonly memberEnded: () => MeshError | undefined;
	/** What is wrong with what the state lies on, in words, while the node goes on. */
	readonly degraded: () => readonly string[];
	/** By gossip; this node included. */
	readonly members: () => readonly MemberView[];
	/** False while this node hears of no other although there are others: it is cut off, and routes by what it knows itself. */
	readonly inTouch: () => boolean;
	readonly topology: () => TopologyView;
	/** The same as another node sees it, asked there. Rejects with IM_TOPOLOGY_UNREACHABLE and IM_TRANSPORT_*. */
	readonly linksOf: (nodeId: string) => Promise<TopologyView>;
	/** Measures the bandwidth from one node to another, and remembers it there. Rejects with IM_TOPOLOGY_*. */
	readonly measure: (from: string, to: string, ask: BandwidthAsk) => Promise<BandwidthMeasured>;
	/** Undefined for a lone node. */
	readonly cells: CellsView | undefined;
	/** Calls back when a member's state or a link changed, until the returned function is called. */
	readonly onChange: (listener: () => void) => () => void;
	/** The level of formats that may be written from now on. */
	readonly setLevel: (level: number) => void;
	/** Undefined where this node is no coordinator of the embedded Raft. */
	readonly group: GroupControl | undefined;
	/** What the fabric tells Prometheus; empty for a lone node. */
	readonly metrics: () => readonly CollectedSample[];
	/** Tells the others that this node goes for good, rather than that it fails. */
	leave(): Promise<void>;
	close(): Promise<void>;
}

/** One node, all of it in memory. */
export function startLocalFabric(name: string, fault: (error: unknown) => void): MeshFabric {
	const engine = createLocalEngine({ clock: systemClock, random: systemRandom(), fault });
	const nodeId = randomUUID();
	const startedMs = Math.floor(systemClock.wallMs());
	const topology: TopologyView = { links: [], vector: [], heightS: 0, error: 0 };
	return {
		nodeId,
		engine,
		blobs: new MemoryBlobs(),
		lease: () => undefined,
		onLease: () => () => undefined,
		addresses: { agent: '' },
		server: undefined,
		peer: () => {
			throw new MeshError(topologyErrors, 'IM_TOPOLOGY_UNREACHABLE', 'this node is alone');
		},
		certificate: () => undefined,
		statusOf: () =>
			Promise.reject(
				new MeshError(topologyErrors, 'IM_TOPOLOGY_UNREACHABLE', 'this node is alone: it has no port to ask at'),
			),
		sharedTrustDomain: false,
		authority: undefined,
		tokens: undefined,
		state: () => undefined,
		memberEnded: () => undefined,
		degraded: () => [],
		members: () => [
			{ id: nodeId, name, address: '', state: 'alive', incarnation: 1, sinceMs: startedMs, accusers: [] },
		],
		inTouch: () => true,
		topology: () => topology,
		linksOf: () => Promise.resolve(topology),
		measure: () =>
			Promise.reject(new MeshError(topologyErrors, 'IM_TOPOLOGY_UNREACHABLE', 'this node is alone: there is no other')),
		cells: undefined,
		onChange: () => () => undefined,
		setLevel: () => undefined,
		group: undefined,
		metrics: () => [],
		leave: () => Promise.resolve(),
		close: () => engine.close(),
	};
}
