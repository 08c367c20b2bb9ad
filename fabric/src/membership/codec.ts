// Owns the interface between the membership driver and an encoding of its messages. Two stand behind it: the mesh's own (mesh-codec/) and
// memberlist's. A codec holds keys, replay windows and labels; it knows nothing of who is alive.
import type { Address } from '../effects/packets.js';
import type { GossipMessage, NodeId, StreamMessage } from './messages.js';

/** Whom a packet is for, as far as it is known: memberlist adds a checksum only for those who understand it. */
export interface PacketTarget {
	readonly address: Address;
	readonly id: NodeId | undefined;
	/** The version bytes of its alive claim; empty when unknown. */
	readonly protocol: Uint8Array;
}

/** Why bytes were not understood; each is a counter. */
export type RefusalCause =
	/** Not of this protocol, cut short, or with fields out of range. */
	| 'malformed'
	/** Of another cluster. */
	| 'label'
	/** Sealed under a key that is not in the ring. */
	| 'key'
	/** Fails authentication. */
	| 'forged'
	/** Came over a connection whose certificate names another node than its seal. */
	| 'certificate'
	/** Seen before, or older than the replay window. */
	| 'replayed'
	/** A sender too many, or too many new ones a second. */
	| 'senders'
	| 'oversized'
	| 'checksum'
	/** Not encrypted where encryption is demanded. */
	| 'plaintext'
	/** Speaks only versions of the protocol that this node does not. */
	| 'version';

export const refusalCauses: readonly RefusalCause[] = [
	'malformed',
	'label',
	'key',
	'forged',
	'certificate',
	'replayed',
	'senders',
	'oversized',
	'checksum',
	'plaintext',
	'version',
];

/** What a packet held. Parts that could be read are kept when a later one is broken. */
export interface DecodedPacket {
	readonly messages: readonly GossipMessage[];
	/** Who sealed it, where the protocol tells. */
	readonly sender: NodeId | undefined;
	/** Set when all or a part was refused. */
	readonly refused: RefusalCause | undefined;
}

export type DecodedStream =
	| { readonly ok: true; readonly message: StreamMessage; readonly sender: NodeId | undefined }
	| { readonly ok: false; readonly refused: RefusalCause };

/** How long messages of one connection are, which the network must know before it hands them on whole. */
export interface StreamFraming {
	/** What goes on the wire for one encoded stream message. */
	wrap(message: Uint8Array): Uint8Array;
	/**
	 * Looks at what has come so far. `incomplete`: read on, `atLeastBytes` being known to come (0 when unknown). `malformed` ends the
	 * connection. With `ended` the peer has closed its side, so nothing more will come. `progress` is that of the look before, undefined at the
	 * first.
	 */
	unwrap(received: Uint8Array, ended: boolean, progress?: UnwrapProgress): UnwrapResult;
}

/** How far a look has come, so that the next one need not begin again. */
export interface UnwrapProgress {
	readonly at: number;
	/** Parts passed before `at`. */
	readonly parts: number;
}

export type UnwrapResult =
	| { readonly kind: 'message'; readonly message: Uint8Array }
	| { readonly kind: 'incomplete'; readonly atLeastBytes: number; readonly progress?: UnwrapProgress | undefined }
	| { readonly kind: 'malformed' };

export interface GossipCodec {
	readonly name: string;
	/** The largest datagram it sends, bytes. */
	readonly packetMaxBytes: number;
	/** How many bytes of messages, each counted by `sizeOf`, fit into one packet whatever its target. */
	readonly messagesMaxBytes: number;
	/** Largest encoded stream message it reads, bytes. */
	readonly streamMaxBytes: number;
	readonly framing: StreamFraming;
	/** Bytes a message takes in a packet, its own framing (a length prefix) included. Never less than `encodePacket` uses. */
	sizeOf(message: GossipMessage): number;
	/** One datagram. The messages' sizes must sum to at most `messagesMaxBytes`. */
	encodePacket(messages: readonly GossipMessage[], to: PacketTarget): Uint8Array;
	/** Never throws: what cannot be read is a refusal. `nowMs` (monotonic) serves rate bounds. */
	decodePacket(packet: Uint8Array, from: Address, nowMs: number): DecodedPacket;
	/** Without the framing. Throws MeshError IM_MEMBERSHIP_OVERSIZED above `streamMaxBytes`. */
	encodeStream(message: StreamMessage, to: PacketTarget): Uint8Array;
	decodeStream(message: Uint8Array, from: Address, nowMs: number): DecodedStream;
}
