// Owns what the core asks of those who stand around it, as synchronous functions without I/O: keys to sign and check claims with, sizes of
// encoded messages, coordinates, and the known bugs a proof may switch on.
import type { Challenge, Claim, GossipMessage, NodeId, UserMessage } from './messages.js';

/** What is signed: a claim without its proof. */
export type Unsigned<T> = T extends unknown ? Omit<T, 'proof'> : never;

/** "I, `id`, have seen this challenge": what an ack proves. */
export interface ProbeAnswer {
	readonly kind: 'answer';
	readonly id: NodeId;
	readonly challenge: Challenge;
	readonly payload: Uint8Array;
}

export type Signable = Unsigned<Claim | UserMessage> | ProbeAnswer;

export interface RecordSigner {
	/** The proof that this node made this claim. */
	sign(claim: Signable): Uint8Array;
	/** The nonce of the next challenge. */
	nonce(): Uint8Array;
}

/**
 * `valid`; `forged` (wrong signature, or a revoked or expired signer); `unknown` when the signer's credential is not here yet; `busy` when
 * this second's checks are used up (the claim will come again by gossip or anti-entropy).
 */
export type Verdict = 'valid' | 'forged' | 'unknown' | 'busy';

export interface RecordVerifier {
	verify(claim: Claim | UserMessage, nowMs: number): Verdict;
	/** Whether the member that was probed has answered. Not remembered; who asks bounds how often. */
	provesAnswer(answer: ProbeAnswer, proof: Uint8Array): boolean;
}

/** Of memberlist's protocol, which signs nothing. */
export const unsignedRecords: RecordSigner & RecordVerifier = {
	sign: () => new Uint8Array(0),
	nonce: () => new Uint8Array(0),
	verify: () => 'valid',
	provesAnswer: () => true,
};

/** How messages fill a packet; a GossipCodec is one. */
export interface PacketSizes {
	readonly messagesMaxBytes: number;
	sizeOf(message: GossipMessage): number;
}

/** Where coordinates come from; what arrives leaves by the `coordinate` event. */
export interface CoordinateSource {
	/** This node's coordinate for the next ack, at most `ackPayloadMaxBytes`. */
	current(): Uint8Array;
}

/** Known bugs that a simulation must catch; empty outside the proof. */
export type SwimMutation =
	| 'forget-incarnation'
	| 'resurrect-by-older-alive'
	| 'ignore-nack'
	| 'no-refute'
	| 'unbounded-queue'
	| 'kill-by-hearsay'
	| 'left-becomes-failed'
	| 'accept-unsigned-record'
	| 'count-same-accuser-twice'
	| 'no-dead-incarnation-advance'
	| 'accuse-after-own-stall'
	| 'believe-any-ack';

export const swimMutations: readonly SwimMutation[] = [
	'forget-incarnation',
	'resurrect-by-older-alive',
	'ignore-nack',
	'no-refute',
	'unbounded-queue',
	'kill-by-hearsay',
	'left-becomes-failed',
	'accept-unsigned-record',
	'count-same-accuser-twice',
	'no-dead-incarnation-advance',
	'accuse-after-own-stall',
	'believe-any-ack',
];
