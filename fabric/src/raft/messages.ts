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

interface MessageBodies {
	readonly append: {
		readonly previousIndex: number;
		readonly previousTerm: number;
		readonly entries: readonly Entry[];
		readonly commit: number;
	};
	readonly appendReply: {
		/** Last index matched, or the rejected previousIndex. */
		readonly index: number;
		readonly rejected: boolean;
		/** On rejection: where the follower's log may still agree (index and its term). */
		readonly hintIndex: number;
		readonly hintTerm: number;
	};
	readonly heartbeat: {
		/** min(match, commit). */
		readonly commit: number;
		/** The read round this heartbeat confirms, 0 for none. */
		readonly readRound: number;
	};
	readonly heartbeatReply: { readonly readRound: number };
	readonly preVote: VoteRequest;
	readonly vote: VoteRequest;
	readonly preVoteReply: { readonly granted: boolean };
	readonly voteReply: { readonly granted: boolean };
	/** Announces that a snapshot follows by the side channel; the transport streams the bytes, then steps this message at the receiver. */
	readonly snapshot: { readonly meta: SnapshotMeta };
	/** The leader hands over: stand for election at once. */
	readonly timeoutNow: object;
	/** Commands of a follower, forwarded to the leader. */
	readonly propose: { readonly data: readonly Uint8Array[] };
	/** A read of a follower, forwarded to the leader under a number of the follower's. */
	readonly readIndex: { readonly context: number };
	readonly readIndexReply: { readonly context: number; readonly index: number };
}

interface VoteRequest {
	readonly lastIndex: number;
	readonly lastTerm: number;
	/** Set by leadership transfer: voters ignore their lease. */
	readonly transfer: boolean;
}

export type MessageKind = keyof MessageBodies;

interface MessageHead {
	readonly from: PeerId;
	readonly to: PeerId;
	readonly term: number;
}

/** The message of one kind, or of several as a union. */
export type MessageOf<K extends MessageKind> = K extends MessageKind
	? { readonly kind: K } & MessageHead & MessageBodies[K]
	: never;

export type Message = MessageOf<MessageKind>;
