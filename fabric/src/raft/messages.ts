// Owns the data that Raft passes around: log entries, hard state, membership, messages between peers. Plain values; the codec is beside it.
// Names follow Ongaro's dissertation and etcd's raft where they have one.

/** A node's UUID. */
export type PeerId = string;

export type EntryKind = 'command' | 'config' | 'noop';

export interface Entry {
	readonly term: number;
	readonly index: number;
	readonly kind: EntryKind;
	/** For `command` the store's bytes, for `config` an encoded Membership; empty for `noop`. */
	readonly data: Uint8Array;
}

/** What must be on disk before any message that depends on it leaves. */
export interface HardState {
	readonly term: number;
	readonly votedFor: PeerId | undefined;
	readonly commit: number;
}

/** Joint consensus (dissertation §4.3): while `outgoing` is not empty both sets must agree. */
export interface Membership {
	readonly voters: readonly PeerId[];
	readonly outgoing: readonly PeerId[];
	readonly learners: readonly PeerId[];
	/** Voters of `outgoing` that become learners when the joint phase ends. */
	readonly learnersNext: readonly PeerId[];
}

export interface SnapshotMeta {
	readonly index: number;
	readonly term: number;
	readonly membership: Membership;
}

export type Message =
	| {
			readonly kind: 'append';
			readonly from: PeerId;
			readonly to: PeerId;
			readonly term: number;
			readonly previousIndex: number;
			readonly previousTerm: number;
			readonly entries: readonly Entry[];
			readonly commit: number;
	  }
	| {
			readonly kind: 'appendReply';
			readonly from: PeerId;
			readonly to: PeerId;
			readonly term: number;
			/** Last index matched, or the rejected previousIndex. */
			readonly index: number;
			readonly rejected: boolean;
			/** On rejection: where the follower's log may still agree (index and its term). */
			readonly hintIndex: number;
			readonly hintTerm: number;
	  }
	| {
			readonly kind: 'heartbeat' | 'heartbeatReply';
			readonly from: PeerId;
			readonly to: PeerId;
			readonly term: number;
			/** Heartbeat: min(match, commit). Reply: 0. */
			readonly commit: number;
			/** The read round this heartbeat confirms, 0 for none. */
			readonly readRound: number;
	  }
	| {
			readonly kind: 'preVote' | 'vote';
			readonly from: PeerId;
			readonly to: PeerId;
			readonly term: number;
			readonly lastIndex: number;
			readonly lastTerm: number;
			/** Set by leadership transfer: voters ignore their lease. */
			readonly transfer: boolean;
	  }
	| {
			readonly kind: 'preVoteReply' | 'voteReply';
			readonly from: PeerId;
			readonly to: PeerId;
			readonly term: number;
			readonly granted: boolean;
	  }
	/** Announces that a snapshot follows by the side channel; the transport streams the bytes, then steps this message at the receiver. */
	| {
			readonly kind: 'snapshot';
			readonly from: PeerId;
			readonly to: PeerId;
			readonly term: number;
			readonly meta: SnapshotMeta;
	  }
	| { readonly kind: 'timeoutNow'; readonly from: PeerId; readonly to: PeerId; readonly term: number }
	/** A command or read round of a follower, forwarded to the leader. */
	| {
			readonly kind: 'propose';
			readonly from: PeerId;
			readonly to: PeerId;
			readonly term: number;
			readonly data: readonly Uint8Array[];
	  }
	| {
			readonly kind: 'readIndex' | 'readIndexReply';
			readonly from: PeerId;
			readonly to: PeerId;
			readonly term: number;
			readonly context: number;
			readonly index: number;
	  };
