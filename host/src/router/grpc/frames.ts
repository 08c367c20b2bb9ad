// Owns gRPC's length-prefixed frames where whole messages are wanted: those of services answered here, bounded. Each byte is copied once at most, however
// finely a message comes cut.
export const FRAME_HEAD_BYTES = 5;

/** A message in its frame, not compressed. */
export function frameOf(message: Uint8Array): Buffer {
	const head = Buffer.alloc(FRAME_HEAD_BYTES);
	head.writeUInt32BE(message.length, 1);
	return Buffer.concat([head, message]);
}

export class FrameReader {
	readonly #messageBytesMax: number;
	#parts: Buffer[] = [];
	/** Bytes of a message that is not whole, and how many there must be for a next look. */
	#bytes = 0;
	#wanted = FRAME_HEAD_BYTES;

	constructor(messageBytesMax: number) {
		this.#messageBytesMax = messageBytesMax;
	}

	/** Bytes of a message that is not whole. */
	get partialBytes(): number {
		return this.#bytes;
	}

	/** The messages that are whole with these bytes. Throws RangeError for one that is too large or compressed. */
	push(chunk: Buffer): Buffer[] {
		this.#parts.push(chunk);
		this.#bytes += chunk.length;
		if (this.#bytes < this.#wanted) return [];
		let rest = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts, this.#bytes);
		const messages: Buffer[] = [];
		this.#wanted = FRAME_HEAD_BYTES;
		while (rest.length >= FRAME_HEAD_BYTES) {
			const end = FRAME_HEAD_BYTES + rest.readUInt32BE(1);
			if (rest[0] !== 0) throw new RangeError('the message is compressed, or no message');
			if (end > FRAME_HEAD_BYTES + this.#messageBytesMax) throw new RangeError('the message is too large');
			if (rest.length < end) {
				this.#wanted = end;
				break;
			}
			messages.push(rest.subarray(FRAME_HEAD_BYTES, end));
			rest = rest.subarray(end);
		}
		this.#parts = rest.length === 0 ? [] : [rest];
		this.#bytes = rest.length;
		return messages;
	}
}
