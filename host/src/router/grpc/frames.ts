// Owns gRPC's length-prefixed frames where whole messages are wanted: those of services answered here, small and bounded.
export const FRAME_HEAD_BYTES = 5;

/** A message in its frame, not compressed. */
export function frameOf(message: Uint8Array): Buffer {
	const head = Buffer.alloc(FRAME_HEAD_BYTES);
	head.writeUInt32BE(message.length, 1);
	return Buffer.concat([head, message]);
}

export class FrameReader {
	readonly #messageBytesMax: number;
	#pending: Buffer = Buffer.alloc(0);

	constructor(messageBytesMax: number) {
		this.#messageBytesMax = messageBytesMax;
	}

	/** Bytes of a message that is not whole. */
	get partial(): boolean {
		return this.#pending.length > 0;
	}

	/** The messages that are whole with these bytes. Throws RangeError for one that is too large or compressed. */
	push(chunk: Buffer): Buffer[] {
		let rest = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
		const messages: Buffer[] = [];
		while (rest.length >= FRAME_HEAD_BYTES) {
			const end = FRAME_HEAD_BYTES + rest.readUInt32BE(1);
			if (rest[0] !== 0) throw new RangeError('the message is compressed, or no message');
			if (end > FRAME_HEAD_BYTES + this.#messageBytesMax) throw new RangeError('the message is too large');
			if (rest.length < end) break;
			messages.push(rest.subarray(FRAME_HEAD_BYTES, end));
			rest = rest.subarray(end);
		}
		this.#pending = rest;
		return messages;
	}
}
