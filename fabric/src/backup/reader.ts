// Owns reading a backup: bytes cut anywhere go in, each frame is checked before anything of it is told, and `finish` says whether all of it was there.
// Whoever acts on what is told before `finish` has returned must be able to take it back.
import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { MeshError } from '@infermesh/proto';
import { blobIdOf, blobLimits } from '../blobs/memory-blobs.js';
import { backupErrors } from './errors.js';
import {
	type BackupEnd,
	type BackupHeader,
	type BackupSummary,
	backupMagic,
	countOf,
	damaged,
	decodeEnd,
	decodeHeader,
	frameBytesMax,
	frameHeadBytes,
	jsonOf,
	tags,
	textOf,
} from './format.js';

export interface BackupSink {
	/** The next piece of the store's snapshot. */
	readonly state?: (piece: Uint8Array) => void;
	/** A whole blob, verified against its name. */
	readonly blob?: (id: string, bytes: Uint8Array) => void;
}

interface Part {
	readonly id: string;
	readonly bytes: Buffer;
	filled: number;
}

export class BackupReader {
	readonly #sink: BackupSink;
	readonly #hash: Hash = createHash('sha256');
	#waiting: Uint8Array[] = [];
	#waitingBytes = 0;
	/** Bytes that must wait before it is worth looking. */
	#wanted = backupMagic.length;
	#begun = false;
	#bytes = 0;
	#header: BackupHeader | undefined;
	#end: BackupEnd | undefined;
	#stateFrames = 0;
	#stateBytes = 0;
	#part: Part | undefined;
	readonly #blobs: { readonly id: string; readonly bytes: number }[] = [];
	readonly #missing: string[] = [];

	constructor(sink: BackupSink = {}) {
		this.#sink = sink;
	}

	/** Throws IM_SNAPSHOT_FILE_FOREIGN, IM_SNAPSHOT_FILE_FORMAT and IM_SNAPSHOT_FILE_DAMAGED. */
	push(bytes: Uint8Array): void {
		this.#bytes += bytes.length;
		this.#waiting.push(bytes);
		this.#waitingBytes += bytes.length;
		// Joined only once the next part can be whole: small pieces of a large part are not copied again and again.
		if (this.#waitingBytes < this.#wanted) return;
		let input: Buffer = Buffer.concat(this.#waiting);
		if (!this.#begun) {
			if (!backupMagic.equals(input.subarray(0, backupMagic.length)))
				throw new MeshError(backupErrors, 'IM_SNAPSHOT_FILE_FOREIGN');
			this.#begun = true;
			this.#hash.update(backupMagic);
			input = input.subarray(backupMagic.length);
		}
		for (;;) {
			const taken = this.#frame(input);
			if (taken === 0) break;
			input = input.subarray(taken);
		}
		this.#waiting = [Buffer.from(input)];
		this.#waitingBytes = input.length;
	}

	/** What the backup holds. Throws IM_SNAPSHOT_FILE_CUT when it is not all there. */
	finish(): BackupSummary {
		if (!this.#begun) throw new MeshError(backupErrors, 'IM_SNAPSHOT_FILE_FOREIGN');
		if (this.#header === undefined || this.#end === undefined || this.#waitingBytes > 0)
			throw new MeshError(backupErrors, 'IM_SNAPSHOT_FILE_CUT', `it ends in the middle, after ${this.#bytes} bytes`);
		return {
			header: this.#header,
			bytes: this.#bytes,
			stateBytes: this.#stateBytes,
			blobs: this.#blobs,
			missing: this.#missing,
			sha256: this.#end.sha256,
		};
	}

	/** Takes one frame off the front; answers its bytes, 0 while it is not whole. */
	#frame(input: Buffer): number {
		this.#wanted = frameHeadBytes;
		if (this.#end !== undefined && input.length > 0) throw damaged('something follows its end');
		if (input.length < frameHeadBytes) return 0;
		const length = input.readUInt32BE(0);
		if (length === 0 || length > frameBytesMax) throw damaged('the length of a part makes no sense');
		const total = frameHeadBytes + length;
		this.#wanted = total;
		if (input.length < total) return 0;
		const payload = input.subarray(frameHeadBytes, total);
		if (crc32(payload) !== input.readUInt32BE(4)) throw damaged('the checksum of a part is wrong');
		const tag = payload[0] as number;
		if (tag !== tags.end) this.#hash.update(input.subarray(0, total));
		this.#take(tag, payload.subarray(1));
		return total;
	}

	#take(tag: number, body: Buffer): void {
		if ((this.#header === undefined) !== (tag === tags.header)) throw damaged('its parts are out of order');
		if (this.#part !== undefined && tag !== tags.blobPart) throw damaged('a blob is not whole');
		switch (tag) {
			case tags.header:
				this.#header = decodeHeader(body);
				break;
			case tags.state:
				this.#stateFrames++;
				this.#stateBytes += body.length;
				this.#sink.state?.(body);
				break;
			case tags.blob:
				this.#beginBlob(body);
				break;
			case tags.blobPart:
				this.#addPart(body);
				break;
			case tags.missing:
				this.#missing.push(textOf('id', jsonOf(body)['id']));
				break;
			case tags.end:
				this.#finishAt(decodeEnd(body));
				break;
			default:
				throw damaged('a part is of an unknown kind');
		}
	}

	#beginBlob(body: Buffer): void {
		const { id, bytes } = jsonOf(body);
		const size = countOf('bytes', bytes);
		if (size > blobLimits.blobBytesMax) throw damaged('a blob is larger than blobs are');
		this.#part = { id: textOf('id', id), bytes: Buffer.alloc(size), filled: 0 };
		this.#endBlob();
	}

	#addPart(body: Buffer): void {
		const part = this.#part;
		if (part === undefined || part.filled + body.length > part.bytes.length) throw damaged('a blob is too long');
		body.copy(part.bytes, part.filled);
		part.filled += body.length;
		this.#endBlob();
	}

	#endBlob(): void {
		const part = this.#part;
		if (part === undefined || part.filled < part.bytes.length) return;
		if (blobIdOf(part.bytes) !== part.id) throw damaged(`blob ${part.id} is something else`);
		this.#part = undefined;
		this.#blobs.push({ id: part.id, bytes: part.bytes.length });
		this.#sink.blob?.(part.id, part.bytes);
	}

	#finishAt(end: BackupEnd): void {
		if (end.sha256 !== this.#hash.digest('hex')) throw damaged('its SHA-256 is wrong');
		const counted = [this.#stateFrames, this.#blobs.length, this.#missing.length];
		if ([end.stateFrames, end.blobs, end.missing].some((count, at) => count !== counted[at]))
			throw damaged('parts are missing');
		this.#end = end;
	}
}
