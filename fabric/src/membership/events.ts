// Owns what goes into the membership core and what comes out of it: events in, effects out, and the membership events that are told to the
// rest of the node.
import type { Address } from '../effects/packets.js';
import type {
	AliveClaim,
	Claim,
	GossipMessage,
	MemberRecord,
	MemberState,
	NodeId,
	StreamMessage,
	UserMessage,
} from './messages.js';

export type SwimEvent =
	/** Once, first. Emits the persist effect and reaches for the seeds. */
	| { readonly kind: 'start' }
	/** The deadline has come. */
	| { readonly kind: 'tick' }
	| {
			readonly kind: 'packet';
			readonly from: Address;
			/** Who sealed it, where the protocol tells. */
			readonly sender?: NodeId | undefined;
			readonly messages: readonly GossipMessage[];
	  }
	/** A peer opened a connection; answered by one `answer` effect with the same token, in the same step. */
	| { readonly kind: 'request'; readonly token: number; readonly from: Address; readonly message: StreamMessage }
	| { readonly kind: 'answered'; readonly exchange: number; readonly message: StreamMessage }
	| { readonly kind: 'exchangeFailed'; readonly exchange: number }
	/** Claims set aside by a `credential` effect, whose credentials may have come. */
	| {
			readonly kind: 'claims';
			readonly from: Address;
			readonly claims: readonly (Claim | UserMessage)[];
			readonly asNewcomer: boolean;
	  }
	/** Members remembered from before a restart. */
	| { readonly kind: 'restore'; readonly records: readonly MemberRecord[] }
	| { readonly kind: 'join'; readonly seeds: readonly Address[] }
	/** New metadata or address of this node: the incarnation rises. */
	| {
			readonly kind: 'update';
			readonly meta?: Uint8Array;
			readonly address?: Address;
			readonly credential?: Uint8Array;
	  }
	| { readonly kind: 'broadcast'; readonly key: string; readonly payload: Uint8Array }
	| { readonly kind: 'leave' }
	/** An operator forgets a dead member for good. */
	| { readonly kind: 'forget'; readonly id: NodeId }
	/** The event loop (or the whole process) stood still for this long until now. */
	| { readonly kind: 'lag'; readonly lagMs: number };

export type Effect =
	| {
			readonly kind: 'packet';
			readonly to: Address;
			readonly id: NodeId | undefined;
			readonly messages: readonly GossipMessage[];
	  }
	| {
			readonly kind: 'exchange';
			readonly exchange: number;
			readonly to: Address;
			readonly id: NodeId | undefined;
			readonly message: StreamMessage;
			readonly timeoutMs: number;
	  }
	| { readonly kind: 'answer'; readonly token: number; readonly message: StreamMessage }
	/** Must be durable before any later effect is carried out. */
	| { readonly kind: 'persist'; readonly incarnation: number }
	/** Credentials of the signers are missing: fetch them at `from` (empty: nowhere), then give the claims back. */
	| {
			readonly kind: 'credential';
			readonly from: Address;
			readonly claims: readonly (Claim | UserMessage)[];
			/** To be given back with the claims. */
			readonly asNewcomer: boolean;
	  }
	| { readonly kind: 'event'; readonly event: MembershipEvent };

export type MembershipEvent =
	/** Not known before, or known as dead or left and back with a newer incarnation (`was` tells). */
	| { readonly kind: 'join'; readonly member: AliveClaim; readonly was: MemberState | undefined }
	/** A suspect has refuted. */
	| { readonly kind: 'alive'; readonly member: AliveClaim }
	| { readonly kind: 'update'; readonly member: AliveClaim; readonly before: AliveClaim }
	| { readonly kind: 'suspect'; readonly member: AliveClaim; readonly by: NodeId }
	/** `by` are the distinct accusers heard of, in order of arrival. */
	| { readonly kind: 'failed'; readonly member: AliveClaim; readonly by: readonly NodeId[] }
	| { readonly kind: 'left'; readonly member: AliveClaim }
	/** Forgotten after `reapMs`, or by an operator. */
	| { readonly kind: 'reaped'; readonly id: NodeId }
	/** This node was accused and has answered with a higher incarnation. */
	| { readonly kind: 'refuted'; readonly by: NodeId; readonly incarnation: number }
	/** Another process claims this node's identity at another address, with the incarnation given. */
	| { readonly kind: 'identityConflict'; readonly address: Address; readonly incarnation: number }
	| { readonly kind: 'user'; readonly origin: NodeId; readonly key: string; readonly payload: Uint8Array }
	/** A direct probe was answered: round trip and the peer's coordinate. */
	| { readonly kind: 'coordinate'; readonly id: NodeId; readonly rttMs: number; readonly payload: Uint8Array }
	/** The member itself did not answer a probe, though it may have through others; `packetsBlocked` follows if a connection still gets through. */
	| { readonly kind: 'unreached'; readonly id: NodeId }
	/** Connections reach the member and packets do not: a firewall, most likely. */
	| { readonly kind: 'packetsBlocked'; readonly id: NodeId }
	/** A join or anti-entropy exchange has been merged. */
	| { readonly kind: 'synchronised'; readonly with: Address; readonly join: boolean; readonly user: Uint8Array }
	/** This node's own leave has been spread; it may stop. */
	| { readonly kind: 'departed' };
