// Owns memberlist's protocol (HashiCorp; spoken by Serf and Consul) as a codec of the membership core. It is there for interoperation: it signs
// nothing and trusts everyone who holds its key. Use it with `signedRecords` and `digestFirst` false and `protocol: serfProtocol`.
import { MeshError } from '@infermesh/proto';
import { Malformed } from '../../bytes/binary.js';
import type { Address } from '../../effects/packets.js';
import type { DecodedPacket, DecodedStream, GossipCodec, PacketTarget, RefusalCause } from '../codec.js';
import { membershipErrors } from '../errors.js';
import { emptyBytes, type GossipMessage, type NodeId, type StreamMessage } from '../messages.js';
import { type MemberlistKeys, sealOverheadBytes } from './crypto.js';
import {
	checksummed,
	compound,
	compoundOverheadBytes,
	compoundPartOverheadBytes,
	compressed,
	crcOverheadBytes,
	expanded,
	frameBytes,
	frameOf,
	framingBounds,
	labelled,
	memberlistFraming,
	partsOf,
	unlabelled,
	verified,
	wireType,
} from './framing.js';
import { TooLong } from './lzw.js';
import { messageBytes, readMessage, speaks } from './messages.js';
import { leaveIntentMaxBytes, meshCoordinate, SerfClock, serfCoordinate } from './serf.js';
import { readStream, streamBytes } from './stream-messages.js';

/** Memberlist's UDPBufferSize. */
const packetMaxBytes = 1_400;
/** Layers within layers of one packet: checksum, compression, compound, and one to spare. */
const layersMax = 4;
/** Messages read from one packet. */
const messagesPerPacketMax = 512;
/** Shorter than this, compression gains nothing. */
const compressMinBytes = 256;
/** The first version that understands checksums. */
const crcFromVersion = 5;
const nothing = { messages: [], sender: undefined } as const;

export interface MemberlistCodecOptions {
	/** This node's name. */
	readonly self: NodeId;
	/** Names the cluster; empty for none, which is all that memberlist before 0.3 understands. At most 255 bytes. */
	readonly label?: string;
	/** Everything is sealed, and what is not is refused. */
	readonly keys?: MemberlistKeys;
	/** Whether full state is sent compressed; read it is in any case. Default true, as memberlist's. */
	readonly compress?: boolean;
}

export class MemberlistCodec implements GossipCodec {
	readonly name = 'memberlist/2';
	readonly packetMaxBytes = packetMaxBytes;
	readonly messagesMaxBytes: number;
	readonly streamMaxBytes = framingBounds.streamMaxBytes;
	readonly framing = memberlistFraming;
	readonly #label: Uint8Array;
	readonly #keys: MemberlistKeys | undefined;
	readonly #compress: boolean;
	readonly #serf: SerfClock;
	/** Claims are sent many times, and are values that do not change. */
	readonly #encoded = new WeakMap<GossipMessage, Uint8Array>();

	/** Throws MeshError IM_MEMBERSHIP_OVERSIZED for a label that is too long. */
	constructor(options: MemberlistCodecOptions) {
		this.#label = new TextEncoder().encode(options.label ?? '');
		if (this.#label.length > framingBounds.labelMaxBytes)
			throw oversized(this.#label.length, framingBounds.labelMaxBytes);
		this.#keys = options.keys;
		this.#compress = options.compress ?? true;
		this.#serf = new SerfClock(options.self);
		const labelBytes = this.#label.length === 0 ? 0 : 2 + this.#label.length;
		const sealBytes = this.#keys === undefined ? 0 : sealOverheadBytes;
		this.messagesMaxBytes = packetMaxBytes - labelBytes - sealBytes - crcOverheadBytes - compoundOverheadBytes;
	}

	sizeOf(message: GossipMessage): number {
		const bytes = compoundPartOverheadBytes + this.#bytesOf(message).length;
		if (message.kind !== 'left') return bytes;
		return bytes + 2 * (compoundPartOverheadBytes + 1 + leaveIntentMaxBytes(message.id));
	}

	encodePacket(messages: readonly GossipMessage[], to: PacketTarget): Uint8Array {
		const parts = messages.flatMap((message) => this.#partsOf(message));
		const [only] = parts;
		const body = parts.length === 1 && only !== undefined ? only : compound(parts);
		if (body.length > this.messagesMaxBytes + compoundOverheadBytes)
			throw oversized(body.length, this.messagesMaxBytes + compoundOverheadBytes);
		const checked = (to.protocol[1] ?? 0) >= crcFromVersion ? checksummed(body) : body;
		return labelled(this.#label, this.#keys?.seal(checked, this.#label) ?? checked);
	}

	decodePacket(packet: Uint8Array, _from: Address, _nowMs: number): DecodedPacket {
		if (packet.length > framingBounds.packetMaxBytes) return { ...nothing, refused: 'oversized' };
		const bare = unlabelled(this.#label, packet);
		if (bare === undefined) return { ...nothing, refused: 'label' };
		const plain = this.#keys === undefined ? bare : this.#keys.open(bare, this.#label);
		if (plain === undefined) return { ...nothing, refused: (bare[0] ?? 0) > 1 ? 'plaintext' : 'key' };
		const reading: Reading = { messages: [], refused: undefined, roomBytes: framingBounds.packetMaxBytes };
		this.#read(plain, layersMax, reading);
		return { messages: reading.messages, sender: undefined, refused: reading.refused };
	}

	encodeStream(message: StreamMessage, _to: PacketTarget): Uint8Array {
		const spoken = message.kind === 'streamAck' ? { ...message, payload: serfCoordinate(message.payload) } : message;
		const bytes = streamBytes(spoken);
		if (bytes.length === 0) return bytes;
		const packed = this.#compress && bytes.length >= compressMinBytes ? compressed(bytes) : bytes;
		const sealed = this.#keys === undefined ? packed : this.#sealedStream(packed, this.#keys);
		if (sealed.length > this.streamMaxBytes) throw oversized(sealed.length, this.streamMaxBytes);
		return labelled(this.#label, sealed);
	}

	decodeStream(bytes: Uint8Array, _from: Address, _nowMs: number): DecodedStream {
		if (bytes.length === 0) return { ok: true, message: { kind: 'done' }, sender: undefined };
		if (bytes.length > this.streamMaxBytes) return { ok: false, refused: 'oversized' };
		const bare = unlabelled(this.#label, bytes);
		if (bare === undefined) return { ok: false, refused: 'label' };
		const sealed = bare[0] === wireType.encrypt;
		if (!sealed && this.#keys !== undefined) return { ok: false, refused: 'plaintext' };
		const plain = sealed ? this.#openedStream(bare) : bare;
		if (plain === undefined) return { ok: false, refused: 'key' };
		const read = attempt(() => this.#readStream(plain));
		if (typeof read === 'string') return { ok: false, refused: read };
		if (
			read.kind === 'pushPull' &&
			!read.records.every(({ alive, marks }) => marks.length > 0 || speaks(alive.protocol))
		)
			return { ok: false, refused: 'version' };
		return { ok: true, message: read, sender: undefined };
	}

	#partsOf(message: GossipMessage): Uint8Array[] {
		const bytes = this.#bytesOf(message);
		const intent = message.kind === 'left' ? this.#serf.leaveIntent(message.id) : undefined;
		if (intent === undefined) return [bytes];
		const said = messageBytes({ kind: 'user', origin: '', key: '', sequence: 0, payload: intent, proof: emptyBytes });
		// Serf takes the messages of a packet from either end, as they come or the last one first: the intent is to be met before the leave.
		return [said, bytes, said];
	}

	#bytesOf(message: GossipMessage): Uint8Array {
		const known = this.#encoded.get(message);
		if (known !== undefined) return known;
		const bytes = messageBytes(
			message.kind === 'ack' ? { ...message, payload: serfCoordinate(message.payload) } : message,
		);
		this.#encoded.set(message, bytes);
		return bytes;
	}

	/** Takes layer after layer off and keeps what can be read; the first cause of refusal is told. */
	#read(bytes: Uint8Array, layersLeft: number, reading: Reading): void {
		const refused = attempt(() => this.#readLayer(bytes, layersLeft, reading));
		reading.refused ??= refused;
	}

	#readLayer(bytes: Uint8Array, layersLeft: number, reading: Reading): RefusalCause | undefined {
		if (layersLeft === 0) return 'malformed';
		switch (bytes[0] ?? -1) {
			case wireType.hasCrc: {
				const body = verified(bytes);
				if (body === undefined) return 'checksum';
				this.#read(body, layersLeft - 1, reading);
				return undefined;
			}
			case wireType.compress: {
				const body = expanded(bytes, reading.roomBytes);
				reading.roomBytes -= body.length;
				this.#read(body, layersLeft - 1, reading);
				return undefined;
			}
			case wireType.compound: {
				const { parts, truncated } = partsOf(bytes);
				for (const part of parts) this.#read(part, layersLeft - 1, reading);
				return truncated ? 'malformed' : undefined;
			}
			default:
				return this.#readOne(bytes, reading);
		}
	}

	#readOne(bytes: Uint8Array, reading: Reading): RefusalCause | undefined {
		if (reading.messages.length >= messagesPerPacketMax) return 'oversized';
		const message = readMessage(bytes);
		if (message.kind === 'alive' && !speaks(message.protocol)) return 'version';
		if (message.kind === 'user') this.#serf.onUser(message.payload);
		reading.messages.push(message.kind === 'ack' ? { ...message, payload: meshCoordinate(message.payload) } : message);
		return undefined;
	}

	#readStream(plain: Uint8Array): StreamMessage {
		const bytes = plain[0] === wireType.compress ? expanded(plain, framingBounds.expandedStreamMaxBytes) : plain;
		const message = readStream(bytes);
		if (message.kind === 'pushPull') this.#serf.onState(message.user);
		if (message.kind === 'streamAck') return { ...message, payload: meshCoordinate(message.payload) };
		return message;
	}

	#sealedStream(plain: Uint8Array, keys: MemberlistKeys): Uint8Array {
		const frame = frameOf(plain.length + sealOverheadBytes);
		return Buffer.concat([frame, keys.seal(plain, Buffer.concat([frame, this.#label]))]);
	}

	#openedStream(framed: Uint8Array): Uint8Array | undefined {
		const frame = framed.subarray(0, frameBytes);
		return this.#keys?.open(framed.subarray(frameBytes), Buffer.concat([frame, this.#label]));
	}
}

interface Reading {
	readonly messages: GossipMessage[];
	refused: RefusalCause | undefined;
	/** What compression may still expand to. */
	roomBytes: number;
}

function attempt<T>(read: () => T): T | 'malformed' | 'oversized' {
	try {
		return read();
	} catch (error) {
		if (error instanceof Malformed) return 'malformed';
		if (error instanceof TooLong) return 'oversized';
		throw error;
	}
}

function oversized(bytes: number, max: number): MeshError {
	return new MeshError(membershipErrors, 'IM_MEMBERSHIP_OVERSIZED', `a message of ${bytes} bytes; at most ${max}`);
}
