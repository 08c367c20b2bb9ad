// Owns gRPC's length-prefixed frames: whole messages where they are wanted, those of services answered here, bounded, each byte copied once at most; and messages that are
// only looked at as they pass, however finely they come cut.
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

/** Hears of the messages that pass. */
export interface FrameListener {
	began(length: number, compressed: boolean): void;
	/** The next bytes of the message. */
	bytes(bytes: Buffer): void;
	ended(): void;
}

/** Steps through frames as they pass; what is in them is kept by nobody. */
export class FrameWalker {
	/** Messages that have begun. */
	messages = 0;
	readonly #listener: FrameListener | undefined;
	#headBytes = 0;
	#flags = 0;
	#length = 0;
	#left = 0;

	constructor(listener?: FrameListener) {
		this.#listener = listener;
	}

	push(bytes: Buffer): void {
		for (let at = 0; at < bytes.length; ) {
			if (this.#left === 0) {
				this.#head(bytes[at++] as number);
				continue;
			}
			const taken = Math.min(this.#left, bytes.length - at);
			this.#left -= taken;
			this.#listener?.bytes(bytes.subarray(at, at + taken));
			if (this.#left === 0) this.#listener?.ended();
			at += taken;
		}
	}

	#head(byte: number): void {
		if (this.#headBytes++ === 0) this.#flags = byte;
		else this.#length = this.#length * 256 + byte;
		if (this.#headBytes < FRAME_HEAD_BYTES) return;
		this.messages++;
		this.#left = this.#length;
		this.#headBytes = 0;
		this.#length = 0;
		this.#listener?.began(this.#left, this.#flags !== 0);
		if (this.#left === 0) this.#listener?.ended();
	}
}
