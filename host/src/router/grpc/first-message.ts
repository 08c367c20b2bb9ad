// Owns reading the model's name out of a call's first message as its bytes come: the frame of gRPC's own (one byte of flags, four of length), a bounded inflate where
// the message is compressed, and the scan for the field. The bytes themselves are kept by whoever has them; this only looks.
import { createGunzip, createInflate, type Gunzip, type Inflate } from 'node:zlib';
import type { Refusal } from '../errors.js';
import { FieldScanner } from './field-scanner.js';
import { FRAME_HEAD_BYTES } from './frames.js';

export interface FirstMessageLimits {
	readonly messageBytesMax: number;
	/** Bytes a compressed message may come to. */
	readonly inflatedBytesMax: number;
	readonly nameBytesMax: number;
}

const COMPRESSED = 1;
const MALFORMED: Refusal = { code: 'IM_REQUEST_GRPC' };

/** `name`: what the message says; undefined when it has no such field, or was not to be looked for. */
export type FirstRead = { readonly name: string | undefined } | { readonly refusal: Refusal };

export class FirstMessage {
	/** Length of the message without its frame; -1 until it is known. */
	messageBytes = -1;
	compressed = false;
	readonly #limits: FirstMessageLimits;
	readonly #encoding: string | undefined;
	readonly #done: (read: FirstRead) => void;
	readonly #scanner: FieldScanner | undefined;
	readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
	#headBytes = 0;
	#left = 0;
	#inflater: Gunzip | Inflate | undefined;
	#inflatedBytes = 0;
	#over = false;

	/** `path`: field numbers down to the name; undefined = the first message is waited for, and not read. `done` is called once. */
	constructor(
		path: readonly number[] | undefined,
		encoding: string | undefined,
		limits: FirstMessageLimits,
		done: (read: FirstRead) => void,
	) {
		this.#scanner = path === undefined ? undefined : new FieldScanner(path, limits.nameBytesMax);
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
		if (this.#headBytes === 0 && this.#scanner === undefined) this.#finish({ name: undefined });
		else this.#finish({ refusal: MALFORMED });
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
			this.#finish({ refusal: MALFORMED });
			return false;
		}
		if (length > this.#limits.messageBytesMax) {
			this.#finish({ refusal: { code: 'IM_REQUEST_BODY_SIZE' } });
			return false;
		}
		this.messageBytes = length;
		this.compressed = flags === COMPRESSED;
		this.#left = length;
		if (this.compressed && this.#scanner !== undefined && length > 0) return this.#openInflater(this.#scanner);
		return true;
	}

	#openInflater(scanner: FieldScanner): boolean {
		if (this.#encoding !== 'gzip' && this.#encoding !== 'deflate') {
			this.#finish({ refusal: { code: 'IM_REQUEST_ENCODING' } });
			return false;
		}
		const inflater = this.#encoding === 'gzip' ? createGunzip() : createInflate();
		this.#inflater = inflater;
		inflater.on('data', (bytes: Buffer) => {
			this.#inflatedBytes += bytes.length;
			if (this.#inflatedBytes > this.#limits.inflatedBytesMax)
				return this.#finish({ refusal: { code: 'IM_REQUEST_BODY_SIZE' } });
			scanner.push(bytes);
			if (scanner.malformed) this.#finish({ refusal: MALFORMED });
		});
		inflater.on('end', () => this.#judge(scanner));
		inflater.on('error', () => this.#finish({ refusal: MALFORMED }));
		return true;
	}

	#look(bytes: Buffer): void {
		if (this.#inflater !== undefined) this.#inflater.write(bytes);
		else if (!this.compressed) this.#scanner?.push(bytes);
	}

	#complete(): void {
		if (this.#inflater !== undefined) this.#inflater.end();
		else if (this.#scanner === undefined) this.#finish({ name: undefined });
		else this.#judge(this.#scanner);
	}

	#judge(scanner: FieldScanner): void {
		this.#finish(scanner.end() ? { name: scanner.text } : { refusal: MALFORMED });
	}

	#finish(read: FirstRead): void {
		if (this.#over) return;
		this.stop();
		this.#done(read);
	}
}
