// Owns what a core asks of its driver: messages to send, a write to make durable, entries to apply, reads that may be answered.
import type { Entry, HardState, Message, PeerId, SnapshotMeta } from './messages.js';

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

export interface SoftState {
	readonly role: Role;
	readonly leader: PeerId | undefined;
	readonly term: number;
}

/**
 * One write, in this order: snapshot mark, entries (the first may cut off a tail), hard state. Writes go to storage in the order of their tokens,
 * and are acknowledged by `persisted(token)`, which stands for all earlier ones too. `messages` may leave only then.
 */
export interface PersistBatch {
	/** Rises by one with every batch. */
	readonly token: number;
	readonly snapshot: SnapshotMeta | undefined;
	readonly entries: readonly Entry[];
	readonly hardState: HardState | undefined;
	readonly messages: readonly Message[];
}

/** A read asked under `context` may be answered from a state that has applied `index`. */
export interface ReadState {
	readonly context: number;
	readonly index: number;
}

export interface Ready {
	/** To send at once, in order. */
	readonly messages: readonly Message[];
	readonly persist: PersistBatch | undefined;
	/** Replaces the driver's state before `committed` is applied; its bytes have arrived by the side channel. */
	readonly restore: SnapshotMeta | undefined;
	/** To apply in order; acknowledged by `applied(index)`, then more may follow. */
	readonly committed: readonly Entry[];
	readonly readStates: readonly ReadState[];
	/** Set when it has changed. */
	readonly softState: SoftState | undefined;
}

export type ProposeResult =
	/** In the leader's log at `index` (the first of the batch) and `term`; committed unless another leader overwrites it. */
	| { readonly kind: 'accepted'; readonly term: number; readonly index: number }
	/** Sent to the leader; it may be lost on the way. */
	| { readonly kind: 'forwarded'; readonly to: PeerId }
	/** The rest were not taken at all. */
	| { readonly kind: 'no-leader' }
	| { readonly kind: 'too-large' }
	| { readonly kind: 'too-much-uncommitted' }
	| { readonly kind: 'transferring' };

export type MembershipResult =
	| { readonly kind: 'accepted'; readonly term: number; readonly index: number }
	| { readonly kind: 'not-leader' }
	| { readonly kind: 'transferring' }
	/** Another change is not yet committed, or may be uncommitted in the log of this new leader. */
	| { readonly kind: 'pending' }
	| { readonly kind: 'refused'; readonly reason: string };

export type ReadResult = 'accepted' | 'forwarded' | 'no-leader' | 'too-many';

export type TransferResult = 'accepted' | 'not-leader' | 'no-voter' | 'already-leader';
