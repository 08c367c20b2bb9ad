// Owns the mesh's own gossip protocol as a codec: binary messages, sealed. Whatever is malformed, replayed or forged is a refusal with its cause.
import { MeshError } from '@infermesh/proto';
import { ByteReader, Malformed } from '../../bytes/binary.js';
import type { Address } from '../../effects/packets.js';
import type { DecodedPacket, DecodedStream, GossipCodec, PacketTarget } from '../codec.js';
import { membershipErrors } from '../errors.js';
import type { GossipMessage, NodeId, StreamMessage } from '../messages.js';
import { lengthFraming } from './framing.js';
import type { KeyRing } from './key-ring.js';
import { messageBytes, readMessage } from './message-bytes.js';
import { Sealer, sealKind, sealOverheadBytes } from './seal.js';
import { readStream, streamBytes } from './stream-bytes.js';

/** Below the smallest path MTU met in practice (1,500 less tunnels), as memberlist. */
const packetMaxBytes = 1_400;
const streamMaxBytes = 8 * 1_024 * 1_024;

/** Messages in one packet: a nack takes 6 bytes, so this many never fit. */
const messagesPerPacketMax = 256;

export interface MeshCodecOptions {
	/** Names the cluster; packets of others are refused. */
	readonly label: string;
	/** This node's UUID. */
	readonly self: NodeId;
	readonly ring: KeyRing;
	/** See Sealer: higher in every life of the node, below 2^48. */
	readonly session: number;
}

export class MeshCodec implements GossipCodec {
	readonly name = 'infermesh/1';
	readonly packetMaxBytes = packetMaxBytes;
	readonly messagesMaxBytes = packetMaxBytes - sealOverheadBytes;
	readonly streamMaxBytes = streamMaxBytes;
	readonly framing = lengthFraming(streamMaxBytes);
	readonly #sealer: Sealer;

	constructor(options: MeshCodecOptions) {
		this.#sealer = new Sealer(options);
	}

	sizeOf(message: GossipMessage): number {
		return messageBytes(message).length;
	}

	encodePacket(messages: readonly GossipMessage[], _to: PacketTarget): Uint8Array {
		const parts = messages.map(messageBytes);
		const plain = Buffer.concat(parts);
		if (plain.length > this.messagesMaxBytes) throw oversized(plain.length, this.messagesMaxBytes);
		return this.#sealer.seal(sealKind.packet, plain);
	}

	decodePacket(packet: Uint8Array, _from: Address, nowMs: number): DecodedPacket {
		const nothing = { messages: [], sender: undefined };
		if (packet.length > packetMaxBytes) return { ...nothing, refused: 'oversized' };
		const opened = this.#sealer.open(sealKind.packet, packet, nowMs);
		if (!opened.ok) return { ...nothing, refused: opened.refused };
		const messages: GossipMessage[] = [];
		const reader = new ByteReader(opened.plain);
		let refused: DecodedPacket['refused'];
		while (reader.left > 0 && refused === undefined) {
			const message = attempt(() => readMessage(reader.bytes(), opened.sender));
			if (message === malformed || messages.length >= messagesPerPacketMax) refused = 'malformed';
			else if (message !== undefined) messages.push(message);
		}
		return { messages, sender: opened.sender, refused };
	}

	encodeStream(message: StreamMessage, _to: PacketTarget): Uint8Array {
		const plain = streamBytes(message);
		if (plain.length + sealOverheadBytes > streamMaxBytes) throw oversized(plain.length, streamMaxBytes);
		return this.#sealer.seal(sealKind.stream, plain);
	}

	decodeStream(sealed: Uint8Array, _from: Address, nowMs: number): DecodedStream {
		if (sealed.length > streamMaxBytes) return { ok: false, refused: 'oversized' };
		const opened = this.#sealer.open(sealKind.stream, sealed, nowMs);
		if (!opened.ok) return opened;
		const message = attempt(() => readStream(opened.plain, opened.sender));
		if (message === malformed) return { ok: false, refused: 'malformed' };
		return { ok: true, message, sender: opened.sender };
	}

	/** After a key has been removed from the ring. */
	forgetRemovedKeys(): void {
		this.#sealer.forgetRemovedKeys();
	}
}

const malformed: unique symbol = Symbol('malformed');

function attempt<T>(read: () => T): T | typeof malformed {
	try {
		return read();
	} catch (error) {
		if (error instanceof Malformed) return malformed;
		throw error;
	}
}

function oversized(bytes: number, max: number): MeshError {
	return new MeshError(membershipErrors, 'IM_MEMBERSHIP_OVERSIZED', `a message of ${bytes} bytes; at most ${max}`);
}
