// Owns the messages between the run and the thread of its relay. Plain data.
import type { LinkCounts, LinkRules } from './link.js';

export interface RelayedNode {
	/** Where the node listens. */
	readonly host: string;
	/** Where the others are told to reach it. */
	readonly front: string;
	/** The same numbers on both. */
	readonly ports: { readonly agent: number; readonly raft: number; readonly gossip: number };
}

export interface RelayStart {
	readonly nodes: readonly RelayedNode[];
	readonly seed: number;
	/** Nodes have addresses of their own; else they are told apart by their processes. */
	readonly ownAddresses: boolean;
}

export interface Way {
	readonly from: number;
	readonly to: number;
}

export type RelayCall =
	| { readonly call: 'rules'; readonly ways: readonly Way[]; readonly rules: Partial<LinkRules> }
	| { readonly call: 'reset' | 'halfOpen'; readonly ways: readonly Way[] }
	/** Process of each node; 0 for one that is down. */
	| { readonly call: 'pids'; readonly pids: readonly number[] }
	| { readonly call: 'counts' }
	| { readonly call: 'close' };

/** What each way has counted, as `counts[from][to]`. */
export type AllCounts = readonly (readonly LinkCounts[])[];

export type FromRelay =
	| { readonly kind: 'ready' }
	| { readonly kind: 'refused'; readonly message: string }
	| { readonly kind: 'answer'; readonly number: number; readonly counts?: AllCounts };
