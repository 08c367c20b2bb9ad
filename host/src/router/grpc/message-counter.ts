// Owns counting what a client sends on a call beyond the message it was routed by: each message's prompt in tokens, as of the first one. A stream is decided once, and what
// follows goes where its first message went; but it is work, and is its tenant's. Nothing of it is kept.
import { FieldScanner } from './field-scanner.js';
import type { FirstField, Meaning } from './first-fields.js';
import { FirstReader } from './first-reader.js';
import { type FrameListener, FrameWalker } from './frames.js';

export interface MessageCounterOptions {
	readonly fields: readonly FirstField[];
	/** Texts that are names. */
	readonly nameBytesMax: number;
	/** Tokens of a message of so many bytes, by what was read of it, where it could be. */
	readonly tokensOf: (read: FirstReader | undefined, messageBytes: number) => number;
}

export class MessageCounter implements FrameListener {
	readonly #options: MessageCounterOptions;
	readonly #counted: (tokens: number) => void;
	readonly #frames = new FrameWalker(this);
	#messageBytes = 0;
	#reader: FirstReader | undefined;
	#scanner: FieldScanner<Meaning> | undefined;

	/** `counted` is told the tokens of each message that is whole. */
	constructor(options: MessageCounterOptions, counted: (tokens: number) => void) {
		this.#options = options;
		this.#counted = counted;
	}

	/** Takes the next bytes of the client's, from a frame's head on. */
	push(chunk: Buffer): void {
		this.#frames.push(chunk);
	}

	began(length: number, compressed: boolean): void {
		const { fields, nameBytesMax } = this.#options;
		this.#messageBytes = length;
		this.#scanner = undefined;
		// To inflate it would cost more than a guess is worth.
		if (compressed || fields.length === 0) return;
		this.#reader = new FirstReader({ bytesMax: 0, copies: false });
		this.#scanner = new FieldScanner(fields, nameBytesMax, this.#reader);
	}

	bytes(bytes: Buffer): void {
		this.#scanner?.push(bytes);
	}

	ended(): void {
		const read = this.#scanner?.end() === true ? this.#reader : undefined;
		this.#counted(this.#options.tokensOf(read, this.#messageBytes));
	}
}
