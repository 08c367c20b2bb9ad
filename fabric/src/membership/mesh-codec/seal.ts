// Owns the sealing of packets and stream messages: AES-256-GCM under the sender's own key, the nonce a session and a counter, and on the way in
// the checks that cost least first: label, key id, sender, authenticity, replay.
//
//   version 1 · label hash 4 · key id 4 · sender 16 · session 6 · counter 6 · ciphertext · tag 16        (the first 37 are authenticated too)
import { createCipheriv, createDecipheriv, createHash, type KeyObject } from 'node:crypto';
import type { RefusalCause } from '../codec.js';
import type { NodeId } from '../messages.js';
import { RateLimit } from '../rate-limit.js';
import type { GroupKey, KeyRing } from './key-ring.js';
import { ReplayWindow } from './replay-window.js';
import { uuidBytes, uuidOf } from './wire.js';

/** First byte: what is sealed, and the version of the format. The bit 0x40 stays clear: it marks datagrams of QUIC on the same socket. */
export const sealKind = { packet: 0x11, stream: 0x12 } as const;
export type SealKind = (typeof sealKind)[keyof typeof sealKind];

const headerBytes = 37;
const tagBytes = 16;
export const sealOverheadBytes = headerBytes + tagBytes;

export const sealBounds = Object.freeze({
	/** Senders whose keys and windows are remembered; the one silent for longest makes room. */
	sendersMax: 16_384,
	/** Keys derived for senders not remembered, a second and in a burst. */
	newSendersPerSecondMax: 500,
	newSendersBurst: 2_000,
});

/** Sessions and counters have 48 bits. */
const counterMax = 2 ** 48;

interface Sender {
	readonly keyId: number;
	readonly key: KeyObject;
	readonly window: ReplayWindow;
}

export type Opened =
	| { readonly ok: true; readonly sender: NodeId; readonly plain: Uint8Array }
	| { readonly ok: false; readonly refused: RefusalCause };

export class Sealer {
	readonly #ring: KeyRing;
	readonly #labelHash: Buffer;
	readonly #self: NodeId;
	readonly #selfBytes: Uint8Array;
	readonly #session: number;
	#counter = 0;
	#own: { readonly key: GroupKey; readonly secret: KeyObject };
	/** By key id and sender, in order of last use. */
	readonly #senders = new Map<string, Sender>();
	readonly #newSenders = new RateLimit(sealBounds.newSendersPerSecondMax, sealBounds.newSendersBurst);

	/** `session` must be higher than in any earlier life of this node: wall milliseconds at the start, and above the last one used. */
	constructor(options: {
		readonly ring: KeyRing;
		readonly label: string;
		readonly self: NodeId;
		readonly session: number;
	}) {
		const { session } = options;
		if (!Number.isSafeInteger(session) || session < 0 || session >= counterMax)
			throw new RangeError(`session ${session} does not have 48 bits`);
		this.#ring = options.ring;
		this.#labelHash = createHash('sha256').update(`infermesh label ${options.label}`).digest().subarray(0, 4);
		this.#self = options.self;
		this.#selfBytes = uuidBytes(options.self);
		this.#session = session;
		this.#own = { key: this.#ring.primary, secret: this.#ring.senderKey(this.#ring.primary, options.self) };
	}

	seal(kind: SealKind, plain: Uint8Array): Uint8Array {
		const { primary } = this.#ring;
		if (this.#own.key !== primary) this.#own = { key: primary, secret: this.#ring.senderKey(primary, this.#self) };
		const sealed = Buffer.allocUnsafe(plain.length + sealOverheadBytes);
		sealed[0] = kind;
		this.#labelHash.copy(sealed, 1);
		sealed.writeUInt32BE(primary.id, 5);
		sealed.set(this.#selfBytes, 9);
		sealed.writeUIntBE(this.#session, 25, 6);
		sealed.writeUIntBE(this.#counter++, 31, 6);
		const cipher = createCipheriv('aes-256-gcm', this.#own.secret, sealed.subarray(25, headerBytes));
		cipher.setAAD(sealed.subarray(0, headerBytes));
		sealed.set(cipher.update(plain), headerBytes);
		cipher.final();
		sealed.set(cipher.getAuthTag(), headerBytes + plain.length);
		return sealed;
	}

	open(kind: SealKind, sealed: Uint8Array, nowMs: number): Opened {
		const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length);
		if (bytes.length < sealOverheadBytes || bytes[0] !== kind) return { ok: false, refused: 'malformed' };
		if (bytes.compare(this.#labelHash, 0, 4, 1, 5) !== 0) return { ok: false, refused: 'label' };
		const groupKey = this.#ring.find(bytes.readUInt32BE(5));
		if (groupKey === undefined) return { ok: false, refused: 'key' };
		const id = uuidOf(bytes.subarray(9, 25));
		// This node's own packet, thrown back at it.
		if (id === this.#self) return { ok: false, refused: 'replayed' };
		const name = `${groupKey.id} ${id}`;
		const known = this.#senders.get(name);
		if (known === undefined && !this.#newSenders.take(nowMs)) return { ok: false, refused: 'senders' };
		const sender = known ?? { keyId: groupKey.id, key: this.#ring.senderKey(groupKey, id), window: new ReplayWindow() };
		const plain = decrypt(sender.key, bytes);
		if (plain === undefined) return { ok: false, refused: 'forged' };
		this.#remember(name, sender);
		// A stream may be long under way while packets pass it; what it tells is signed or answers this node's own question.
		if (kind === sealKind.packet && !sender.window.accept(bytes.readUIntBE(25, 6), bytes.readUIntBE(31, 6)))
			return { ok: false, refused: 'replayed' };
		return { ok: true, sender: id, plain };
	}

	get senders(): number {
		return this.#senders.size;
	}

	/** Drops what belongs to keys no longer in the ring. */
	forgetRemovedKeys(): void {
		for (const [name, sender] of this.#senders)
			if (this.#ring.find(sender.keyId) === undefined) this.#senders.delete(name);
	}

	#remember(name: string, sender: Sender): void {
		this.#senders.delete(name);
		this.#senders.set(name, sender);
		if (this.#senders.size <= sealBounds.sendersMax) return;
		const [silent] = this.#senders.keys();
		if (silent !== undefined) this.#senders.delete(silent);
	}
}

function decrypt(key: KeyObject, sealed: Buffer): Uint8Array | undefined {
	const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(25, headerBytes), { authTagLength: tagBytes });
	decipher.setAAD(sealed.subarray(0, headerBytes));
	decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
	const plain = decipher.update(sealed.subarray(headerBytes, sealed.length - tagBytes));
	try {
		decipher.final();
	} catch {
		// The only thing final() says for GCM: the tag does not fit.
		return undefined;
	}
	return plain;
}
