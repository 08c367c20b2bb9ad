// Owns the messages between the agent and the thread that runs this node's part in consensus. Plain data.

import type { ShutOutMessage } from './shut-out.js';
import type { WireIdentity } from './wire-identity.js';

export interface ConsensusStart {
	readonly nodeId: string;
	/** Folder of the log. */
	readonly folder: string;
	readonly listen: string;
	readonly identity: WireIdentity;
	readonly peers: readonly (readonly [nodeId: string, address: string])[];
	/** The cluster this node was of when it ended; empty when it was of none. */
	readonly clusterId: string;
	/** Begin a cluster of which this node is the first member, if there is nothing on disk. */
	readonly found: boolean;
	readonly heartbeatMs: number;
	readonly electionMs: number;
	readonly snapshotEntries: number;
	readonly segmentBytes: number;
	/** Newest level of formats it may read. */
	readonly level: number;
}

export type GroupCall =
	| { readonly call: 'addLearner' | 'promote' | 'remove'; readonly id: string }
	| { readonly call: 'transfer'; readonly id: string | undefined }
	| { readonly call: 'status' }
	/** Takes hold of the state; answers SnapshotBegun. */
	| { readonly call: 'beginSnapshot' }
	/** The next piece of a snapshot begun; undefined at its end. */
	| { readonly call: 'snapshotPiece'; readonly snapshot: number }
	/** Lets go of a snapshot that nobody reads to its end. */
	| { readonly call: 'endSnapshot'; readonly snapshot: number };

/** What a snapshot of the state holds. */
export interface SnapshotBegun {
	/** Its number, for asking for pieces. */
	readonly snapshot: number;
	readonly clusterId: string;
	readonly revision: number;
	readonly appliedIndex: number;
	readonly appliedHash: string;
}

export type ToConsensus =
	| { readonly kind: 'identity'; readonly identity: WireIdentity }
	| ShutOutMessage
	| { readonly kind: 'peers'; readonly peers: readonly (readonly [nodeId: string, address: string])[] }
	| { readonly kind: 'call'; readonly number: number; readonly call: GroupCall }
	/** The level of formats it may write from now on. */
	| { readonly kind: 'level'; readonly level: number }
	| { readonly kind: 'close' };

/** What the agent shows and watches of this node's part. */
export interface GroupState {
	/** Of the state this node holds; empty while it holds none. */
	readonly clusterId: string;
	/** Calls refused since the caller is of another cluster. */
	readonly foreignRefused: number;
	readonly leader: string | undefined;
	readonly role: string;
	readonly term: number;
	readonly commitIndex: number;
	readonly appliedIndex: number;
	readonly voters: readonly string[];
	readonly learners: readonly string[];
	readonly syncP99Ms: number;
	readonly queuedBytes: number;
	readonly diskFull: boolean;
}

export type FromConsensus =
	| { readonly kind: 'listening'; readonly address: string }
	| { readonly kind: 'refused'; readonly code: string; readonly message: string }
	| { readonly kind: 'state'; readonly state: GroupState }
	| {
			readonly kind: 'answer';
			readonly number: number;
			readonly value?: unknown;
			readonly code?: string;
			readonly message?: string;
	  }
	/** The member has stopped for good: its disk failed or a bug showed. */
	| { readonly kind: 'failed'; readonly code: string; readonly message: string }
	| { readonly kind: 'fault'; readonly message: string }
	| { readonly kind: 'closed' };
