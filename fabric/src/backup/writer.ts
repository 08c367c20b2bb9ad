// Owns writing a backup piece by piece: the caller says what comes next and sends on what it gets. Order: header, state, blobs and missing ones, end.
import { createHash, type Hash } from 'node:crypto';
import { type BackupHeader, backupMagic, encodeEnd, encodeHeader, frameOf, tags } from './format.js';

/** Of a blob in one frame. */
const PART_BYTES = 1 << 20;

export class BackupWriter {
	readonly #hash: Hash = createHash('sha256');
	#stateFrames = 0;
	#blobs = 0;
	#missing = 0;

	header(header: BackupHeader): Uint8Array {
		return this.#out(Buffer.concat([backupMagic, frameOf(tags.header, encodeHeader(header))]));
	}

	/** The next piece of the store's snapshot. */
	state(piece: Uint8Array): Uint8Array {
		this.#stateFrames++;
		return this.#out(frameOf(tags.state, piece));
	}

	*blob(id: string, bytes: Uint8Array): Generator<Uint8Array> {
		this.#blobs++;
		yield this.#out(frameOf(tags.blob, Buffer.from(JSON.stringify({ id, bytes: bytes.length }), 'utf8')));
		for (let at = 0; at < bytes.length; at += PART_BYTES)
			yield this.#out(frameOf(tags.blobPart, bytes.subarray(at, at + PART_BYTES)));
	}

	/** A blob that records name and nobody has. */
	missing(id: string): Uint8Array {
		this.#missing++;
		return this.#out(frameOf(tags.missing, Buffer.from(JSON.stringify({ id }), 'utf8')));
	}

	end(): Uint8Array {
		const sha256 = this.#hash.digest('hex');
		const counts = { stateFrames: this.#stateFrames, blobs: this.#blobs, missing: this.#missing };
		return frameOf(tags.end, encodeEnd({ ...counts, sha256 }));
	}

	#out(bytes: Buffer): Uint8Array {
		this.#hash.update(bytes);
		return bytes;
	}
}
