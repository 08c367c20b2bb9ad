// Owns the values that members exchange: claims about a member (what is believed of it, and who says so), the messages of a packet and the
// messages of a stream. Plain data, free of any encoding; the codecs are elsewhere. Values are immutable and shared by reference.
import type { Address } from '../effects/packets.js';

/** What names a member for good: the UUID of its identity in the mesh's own protocol, the node name in memberlist's. */
export type NodeId = string;

export type MemberState = 'alive' | 'suspect' | 'dead' | 'left';

/** "I am here": only the member itself makes it, and only the member itself raises its incarnation. */
export interface AliveClaim {
	readonly kind: 'alive';
	readonly id: NodeId;
	/** At least 1. Below 2^53 in the mesh's protocol, below 2^32 in memberlist's. */
	readonly incarnation: number;
	readonly address: Address;
	/** At most `metaMaxBytes`; the mesh's content is described in meta.ts. */
	readonly meta: Uint8Array;
	/** SHA-256 of the member's leaf certificate (DER); empty in memberlist's protocol. */
	readonly credential: Uint8Array;
	/** The six version bytes of memberlist (pmin, pmax, pcur, dmin, dmax, dcur); empty in the mesh's protocol. */
	readonly protocol: Uint8Array;
	/** Signature by `id`; empty in memberlist's protocol. */
	readonly proof: Uint8Array;
}

/** "`id` does not answer me", or "`id` is dead to me": an accusation of incarnation `incarnation` by `by`. */
export interface Accusation {
	readonly kind: 'suspect' | 'dead';
	readonly id: NodeId;
	readonly incarnation: number;
	readonly by: NodeId;
	/** Signature by `by`; empty in memberlist's protocol. */
	readonly proof: Uint8Array;
}

/** "I am going": made by the member itself. Memberlist writes it as dead with From equal to Node. */
export interface LeftClaim {
	readonly kind: 'left';
	readonly id: NodeId;
	readonly incarnation: number;
	readonly proof: Uint8Array;
}

export type Claim = AliveClaim | Accusation | LeftClaim;

/** A user broadcast: a later `sequence` of the same origin and key replaces an earlier one. */
export interface UserMessage {
	readonly kind: 'user';
	/** Empty for raw bytes of memberlist's protocol: delivered, not remembered, not passed on by the core. */
	readonly origin: NodeId;
	readonly key: string;
	readonly sequence: number;
	readonly payload: Uint8Array;
	readonly proof: Uint8Array;
}

/** What the probed member is to sign, so that nobody answers in its place. */
export interface Challenge {
	/** Who probes, by itself or through a helper. */
	readonly by: NodeId;
	/** Never the same twice, and foreseen by nobody; `challengeBytes` long. */
	readonly nonce: Uint8Array;
}

export interface Ping {
	readonly kind: 'ping';
	/** Unsigned 32-bit. */
	readonly sequence: number;
	/** Whom it is for; empty when the sender knows only the address. */
	readonly target: NodeId;
	readonly from: NodeId;
	/** Where to answer; empty means the address the packet came from. */
	readonly fromAddress: Address;
	/** Absent in memberlist's protocol. */
	readonly challenge?: Challenge;
}

export interface PingRequest {
	readonly kind: 'pingRequest';
	readonly sequence: number;
	readonly target: NodeId;
	readonly targetAddress: Address;
	readonly wantNack: boolean;
	readonly from: NodeId;
	readonly fromAddress: Address;
	/** Passed on to the target; by `from`. Absent in memberlist's protocol. */
	readonly challenge?: Challenge;
}

export interface Ack {
	readonly kind: 'ack';
	readonly sequence: number;
	/** Network coordinates of the answering member, opaque here; at most `ackPayloadMaxBytes`. */
	readonly payload: Uint8Array;
	/** Signature of the member that was probed, over challenge and payload. Absent in memberlist's protocol. */
	readonly proof?: Uint8Array;
}

export interface Nack {
	readonly kind: 'nack';
	readonly sequence: number;
}

/** What travels in packets. */
export type GossipMessage = Claim | UserMessage | Ping | PingRequest | Ack | Nack;

/** All that is known of one member: its last alive claim, and what stands against it (accusations of one incarnation, or its leave). */
export interface MemberRecord {
	readonly alive: AliveClaim;
	readonly marks: readonly (Accusation | LeftClaim)[];
}

/** What travels over a connection: one request, one answer. */
export type StreamMessage =
	/** Answered by `streamAck`. */
	| { readonly kind: 'streamPing'; readonly sequence: number; readonly target: NodeId; readonly from: NodeId }
	| { readonly kind: 'streamAck'; readonly sequence: number; readonly payload: Uint8Array }
	/** Sums per bucket of (id, incarnation, state), two words a bucket. Answered by `difference`. */
	| { readonly kind: 'digest'; readonly from: NodeId; readonly sums: Uint32Array }
	/** The numbers of the buckets that differ and the answerer's records in them. */
	| {
			readonly kind: 'difference';
			readonly from: NodeId;
			readonly buckets: readonly number[];
			readonly records: readonly MemberRecord[];
	  }
	/** Full state; answered by the same with `join` false. */
	| {
			readonly kind: 'pushPull';
			readonly from: NodeId;
			readonly join: boolean;
			readonly records: readonly MemberRecord[];
			/** Opaque state of the layer above (Serf's); empty in the mesh's protocol. */
			readonly user: Uint8Array;
	  }
	/** Records without a question for records; answered by `done`. */
	| { readonly kind: 'push'; readonly from: NodeId; readonly records: readonly MemberRecord[] }
	/** Messages too big for a packet; answered by `done`. */
	| { readonly kind: 'deliver'; readonly from: NodeId; readonly messages: readonly GossipMessage[] }
	/** Certificate chains of members, by id. Answered by `credentials`. Asked and answered around the core. */
	| { readonly kind: 'askCredentials'; readonly ids: readonly NodeId[] }
	/** DER certificates, leaf first, one after the other, per member. */
	| { readonly kind: 'credentials'; readonly chains: readonly Uint8Array[] }
	| { readonly kind: 'done' }
	| { readonly kind: 'refused'; readonly reason: string };

export const emptyBytes: Uint8Array = new Uint8Array(0);

/** The signer of a claim: the accuser of an accusation, else the member it is about. */
export function signerOf(claim: Claim | UserMessage): NodeId {
	if (claim.kind === 'user') return claim.origin;
	return claim.kind === 'alive' || claim.kind === 'left' ? claim.id : claim.by;
}
