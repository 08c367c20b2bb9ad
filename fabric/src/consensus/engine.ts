// Owns the contract of replicated state: keys with revisions, transactions, watches, leases. The embedded Raft engine, a client of a remote
// coordinator and an existing etcd cluster implement it, and one suite (consensus/contract) proves all three.
//
// Order: every write gets the next revision of one sequence. Reads are linearizable unless asked otherwise. A call whose outcome is unknown
// (IM_CONSENSUS_TIMEOUT) may still take effect; a call refused with IM_CONSENSUS_NO_QUORUM has not and never will.

/** Printable ASCII without spaces, at most 512 characters; compared by byte. */
export type Key = string;

/** Opaque; unique within a cluster. */
export type LeaseId = string;

export interface KeyValue {
	readonly key: Key;
	readonly value: Uint8Array;
	readonly createRevision: number;
	/** Of the last write: the fencing token of whoever wrote it. Never goes back, not even over a restore. */
	readonly modRevision: number;
	/** Writes since creation, from 1. */
	readonly version: number;
	readonly lease: LeaseId | undefined;
}

/** One key, or all with a prefix (`''` = all keys). */
export type Selection = { readonly key: Key } | { readonly prefix: string };

export type ReadOptions = {
	/** Keys at most; all by default, up to the engine's answer limit (then `more` is set). */
	readonly limit?: number;
	/** Begin after this key: for reading on. */
	readonly after?: Key;
	/** Read as of this revision. IM_CONSENSUS_COMPACTED when it is gone. */
	readonly revision?: number;
	readonly keysOnly?: boolean;
	/** `serializable` answers from this node's state, possibly stale, also without quorum. */
	readonly consistency?: 'linearizable' | 'serializable';
};

export interface ReadResult {
	readonly items: readonly KeyValue[];
	readonly more: boolean;
	/** Of the store when it was read. */
	readonly revision: number;
}

export type Condition =
	| { readonly key: Key; readonly modRevision: number }
	| { readonly key: Key; readonly version: number }
	| { readonly key: Key; readonly value: Uint8Array }
	/** `exists: false` holds for a key that is not there. */
	| { readonly key: Key; readonly exists: boolean };

export type Operation =
	| { readonly put: Key; readonly value: Uint8Array; readonly lease?: LeaseId }
	| { readonly delete: Selection }
	| { readonly get: Selection };

export interface Transaction {
	/** All must hold. */
	readonly when: readonly Condition[];
	readonly then: readonly Operation[];
	readonly otherwise?: readonly Operation[];
}

export type OperationResult =
	| { readonly kind: 'put' }
	| { readonly kind: 'delete'; readonly deleted: number }
	| { readonly kind: 'get'; readonly items: readonly KeyValue[] };

export interface TransactionResult {
	readonly held: boolean;
	/** Of the transaction's writes, or of the store when it wrote nothing. */
	readonly revision: number;
	readonly results: readonly OperationResult[];
}

export type StoreEvent =
	| { readonly kind: 'put'; readonly current: KeyValue }
	| { readonly kind: 'delete'; readonly key: Key; readonly modRevision: number };

export interface WatchHandlers {
	/** All events of one revision or of several whole ones, in order; no revision is split or repeated. */
	readonly onEvents: (events: readonly StoreEvent[], revision: number) => void;
	/** The watch stands at `revision` with nothing to tell: a sign of life, at least every few seconds. */
	readonly onProgress?: (revision: number) => void;
	/** Events at and after the wanted revision are compacted away, or the watcher fell too far behind: read again from `revision`. The watch has ended. */
	readonly onCompacted: (revision: number) => void;
}

export interface Watch {
	cancel(): void;
}

export interface Lease {
	readonly id: LeaseId;
	/** Granted; may be longer than asked. */
	readonly ttlMs: number;
}

export interface MemberStatus {
	readonly id: string;
	readonly address: string;
	readonly role: 'voter' | 'learner';
	/** Highest index known to be on it, as the leader sees it; undefined elsewhere. */
	readonly matchIndex: number | undefined;
}

export interface EngineStatus {
	readonly engine: 'raft' | 'remote' | 'etcd';
	readonly clusterId: string;
	/** This member, where the engine is one. */
	readonly self: string | undefined;
	readonly leader: string | undefined;
	readonly term: number;
	readonly members: readonly MemberStatus[];
	readonly revision: number;
	readonly compactedRevision: number;
	/** Whether a write would go through now, as far as is known. */
	readonly quorum: boolean;
	/** Set when the store accepts no writes for want of room. */
	readonly noSpace: boolean;
}

/** Calls reject with MeshErrors of consensus/errors.ts. `timeoutMs` bounds a call; every call has a default. */
export interface ConsensusEngine {
	read(selection: Selection, options?: ReadOptions): Promise<ReadResult>;
	transact(transaction: Transaction, options?: { readonly timeoutMs?: number }): Promise<TransactionResult>;
	/** Events after `fromRevision` (exclusive), then live ones. Survives reconnects and changes of leader without gap or repeat. */
	watch(selection: Selection, fromRevision: number, handlers: WatchHandlers): Watch;
	grantLease(ttlMs: number): Promise<Lease>;
	/** Answers the time to live from now. IM_CONSENSUS_LEASE_LOST when it has ended. */
	keepAlive(id: LeaseId): Promise<number>;
	/** Ends a lease and deletes its keys. Ending one that is gone succeeds. */
	revokeLease(id: LeaseId): Promise<void>;
	/** Forgets history before `revision`. */
	compact(revision: number): Promise<void>;
	status(): Promise<EngineStatus>;
	close(): Promise<void>;
}
