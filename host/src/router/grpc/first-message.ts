// Owns reading a call's first message as its bytes come: the frame of gRPC's own (one byte of flags, four of length), a bounded inflate where the message is
// compressed, and the scan for its fields. The bytes themselves are kept by whoever has them; this only looks.
import { createGunzip, createInflate, type Gunzip, type Inflate } from 'node:zlib';
import type { Refusal } from '../errors.js';
import { FieldScanner } from './field-scanner.js';
import type { FirstField, Meaning } from './first-fields.js';
import { FirstReader } from './first-reader.js';
import { FRAME_HEAD_BYTES } from './frames.js';

export interface FirstMessageLimits {
	readonly messageBytesMax: number;
	/** Bytes a compressed message may come to. */
	readonly inflatedBytesMax: number;
	/** Names, and values of parameters. */
	readonly nameBytesMax: number;
	/** Of a prompt, so many bytes are kept. */
	readonly promptBytesMax: number;
}

const COMPRESSED = 1;
const MALFORMED: Refusal = { code: 'IM_REQUEST_GRPC' };

/** Scan and reader of one message. */
interface Reading {
	readonly scanner: FieldScanner<Meaning>;
	readonly reader: FirstReader;
}

export class FirstMessage {
	/** Length of the message without its frame; -1 until it is known. */
	messageBytes = -1;
	compressed = false;
	readonly #limits: FirstMessageLimits;
	readonly #encoding: string | undefined;
	readonly #fields: readonly FirstField[];
	readonly #done: (read: FirstReader | Refusal) => void;
	readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
	#headBytes = 0;
	#left = 0;
	#reading: Reading | undefined;
	#inflater: Gunzip | Inflate | undefined;
	#inflatedBytes = 0;
	#over = false;

	/** `done` is called once, with what was read or why it was not. */
	constructor(
		fields: readonly FirstField[],
		encoding: string | undefined,
		limits: FirstMessageLimits,
		done: (read: FirstReader | Refusal) => void,
	) {
		this.#fields = fields;
		this.#encoding = encoding;
		this.#limits = limits;
		this.#done = done;
	}

	/** Takes the next bytes of the stream; those beyond the first message are none of its business. */
	push(chunk: Buffer): void {
		if (this.#over) return;
		let rest = chunk;
		if (this.#headBytes < FRAME_HEAD_BYTES) {
			const taken = Math.min(FRAME_HEAD_BYTES - this.#headBytes, chunk.length);
			chunk.copy(this.#head, this.#headBytes, 0, taken);
			this.#headBytes += taken;
			if (this.#headBytes < FRAME_HEAD_BYTES || !this.#open()) return;
			rest = chunk.subarray(taken);
		}
		const taken = Math.min(this.#left, rest.length);
		this.#left -= taken;
		if (taken > 0) this.#look(rest.subarray(0, taken));
		if (this.#left === 0 && !this.#over) this.#complete();
	}

	/** The client sends no more. */
	end(): void {
		if (this.#over || (this.#headBytes === FRAME_HEAD_BYTES && this.#left === 0)) return;
		this.#finish(MALFORMED);
	}

	/** Nobody waits for it any more. */
	stop(): void {
		this.#over = true;
		this.#inflater?.destroy();
		this.#inflater = undefined;
	}

	/** The frame's head is here. False when it was refused. */
	#open(): boolean {
		const flags = this.#head[0] as number;
		const length = this.#head.readUInt32BE(1);
		if (flags > COMPRESSED) {
			this.#finish(MALFORMED);
			return false;
		}
		if (length > this.#limits.messageBytesMax) {
			this.#finish({ code: 'IM_REQUEST_BODY_SIZE' });
			return false;
		}
		this.messageBytes = length;
		this.compressed = flags === COMPRESSED;
		this.#left = length;
		const { nameBytesMax, promptBytesMax } = this.#limits;
		const reader = new FirstReader({ bytesMax: promptBytesMax, copies: this.compressed });
		this.#reading = { scanner: new FieldScanner(this.#fields, nameBytesMax, reader), reader };
		return !this.compressed || length === 0 || this.#openInflater(this.#reading);
	}

	#openInflater({ scanner }: Reading): boolean {
		if (this.#encoding !== 'gzip' && this.#encoding !== 'deflate') {
			this.#finish({ code: 'IM_REQUEST_ENCODING' });
			return false;
		}
		const inflater = this.#encoding === 'gzip' ? createGunzip() : createInflate();
		this.#inflater = inflater;
		inflater.on('data', (bytes: Buffer) => {
			this.#inflatedBytes += bytes.length;
			if (this.#inflatedBytes > this.#limits.inflatedBytesMax) return this.#finish({ code: 'IM_REQUEST_BODY_SIZE' });
			scanner.push(bytes);
			if (scanner.malformed) this.#finish(MALFORMED);
		});
		inflater.on('end', () => this.#judge());
		inflater.on('error', () => this.#finish(MALFORMED));
		return true;
	}

	#look(bytes: Buffer): void {
		if (this.#inflater !== undefined) this.#inflater.write(bytes);
		else this.#reading?.scanner.push(bytes);
	}

	#complete(): void {
		if (this.#inflater !== undefined) this.#inflater.end();
		else this.#judge();
	}

	#judge(): void {
		const reading = this.#reading;
		this.#finish(reading?.scanner.end() === true ? reading.reader : MALFORMED);
	}

	#finish(read: FirstReader | Refusal): void {
		if (this.#over) return;
		this.stop();
		this.#done(read);
	}
}
