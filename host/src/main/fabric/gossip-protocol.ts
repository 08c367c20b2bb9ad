// Owns the messages between the agent and the gossip thread. Plain data.
import type { ExchangeTransport, SwimCounters, TransportCounts } from '@infermesh/fabric';
import type { MemberView, TopologyView } from '../fabric.js';
import type { ShutOutMessage } from './shut-out.js';
import type { WireIdentity } from './wire-identity.js';

export interface GossipStart {
	readonly nodeId: string;
	/** Folder of the node, where its incarnation is kept. */
	readonly folder: string;
	readonly bind: string;
	readonly advertise: string | undefined;
	readonly identity: WireIdentity;
	/** Names the cluster; packets of others are refused. */
	readonly label: string;
	/** Secrets of the group, the one in use first. */
	readonly keys: readonly Uint8Array[];
	readonly seeds: readonly string[];
	readonly profile: 'lan' | 'wan' | 'local';
	readonly transport: ExchangeTransport;
	readonly name: string;
	readonly roles: number;
	readonly version: string;
	readonly zone: string;
	readonly region: string;
	/** In the pool of gateways: the cell this node speaks for, and where its agent is. */
	readonly speaksFor: { readonly cell: string; readonly agent: string } | undefined;
}

export type ToGossip =
	| { readonly kind: 'identity'; readonly identity: WireIdentity }
	| ShutOutMessage
	/** All that are to open anything, the one that seals first. */
	| { readonly kind: 'keys'; readonly keys: readonly Uint8Array[] }
	| { readonly kind: 'join'; readonly seeds: readonly string[] }
	| { readonly kind: 'places'; readonly places: readonly (readonly [nodeId: string, zone: string, region: string])[] }
	| {
			readonly kind: 'transferred';
			readonly nodeId: string;
			readonly bytes: number;
			readonly durationMs: number;
	  }
	| { readonly kind: 'leave' }
	| { readonly kind: 'close' };

export interface GossipFigures {
	readonly liveMembers: number;
	readonly healthScore: number;
	readonly packetsSent: number;
	readonly packetsReceived: number;
	readonly bytesSent: number;
	readonly bytesReceived: number;
	readonly refused: Readonly<Record<string, number>>;
	/** What the protocol did and refused. */
	readonly counts: Readonly<SwimCounters>;
	/** Of its connections. */
	readonly transport: TransportCounts;
}

export type FromGossip =
	| { readonly kind: 'started'; readonly address: string }
	| { readonly kind: 'refused'; readonly code: string; readonly message: string }
	| GossipNews
	| { readonly kind: 'departed' };

export interface GossipNews {
	readonly kind: 'news';
	readonly members: readonly MemberView[];
	readonly figures: GossipFigures;
	/** Once in a while; in between, distances stand as they were. */
	readonly topology?: TopologyView;
}
