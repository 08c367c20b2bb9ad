// Owns the framing of exchanges: four bytes of length, big-endian, then the body. A length over the bound is refused before anything is
// buffered for it.
import type { Duplex } from 'node:stream';
import { MeshError } from '@infermesh/proto';
import { transportErrors } from './errors.js';

const HEADER_BYTES = 4;

export function frame(body: Uint8Array): Uint8Array {
	const bytes = Buffer.alloc(HEADER_BYTES + body.length);
	bytes.writeUInt32BE(body.length);
	bytes.set(body, HEADER_BYTES);
	return bytes;
}

/** One frame that comes in pieces. What follows it is refused. */
export class FrameReader {
	readonly #bodyBytesMax: number;
	readonly #chunks: Uint8Array[] = [];
	#received = 0;
	#wanted: number | undefined;

	constructor(bodyBytesMax: number) {
		this.#bodyBytesMax = bodyBytesMax;
	}

	/** Keeps `chunk`, which must not change afterwards. Throws IM_TRANSPORT_MESSAGE_TOO_LARGE, and IM_TRANSPORT_PROTOCOL for bytes after the frame. */
	push(chunk: Uint8Array): void {
		this.#chunks.push(chunk);
		this.#received += chunk.length;
		if (this.#wanted === undefined && this.#received >= HEADER_BYTES) {
			const length = Buffer.concat(this.#chunks).readUInt32BE();
			if (length > this.#bodyBytesMax)
				throw new MeshError(transportErrors, 'IM_TRANSPORT_MESSAGE_TOO_LARGE', `${length} bytes`);
			this.#wanted = HEADER_BYTES + length;
		}
		if (this.#wanted !== undefined && this.#received > this.#wanted)
			throw new MeshError(transportErrors, 'IM_TRANSPORT_PROTOCOL', 'bytes after the end of a frame');
	}

	get complete(): boolean {
		return this.#received === this.#wanted;
	}

	/** The body of a complete frame. */
	body(): Uint8Array {
		return new Uint8Array(Buffer.concat(this.#chunks).subarray(HEADER_BYTES));
	}
}

/**
 * Reads one frame; what follows it is refused. Rejects with IM_TRANSPORT_MESSAGE_TOO_LARGE, IM_TRANSPORT_CLOSED when the stream ends early, and
 * IM_TRANSPORT_PROTOCOL for bytes after the frame.
 */
export async function readFrame(stream: Duplex, bodyBytesMax: number): Promise<Uint8Array> {
	return new Promise((resolve, reject) => {
		const reader = new FrameReader(bodyBytesMax);
		const settle = (finish: () => void): void => {
			stream.off('data', onData);
			stream.off('end', onEnd);
			stream.off('close', onEnd);
			finish();
		};
		const onData = (chunk: Buffer): void => {
			try {
				reader.push(chunk);
			} catch (error) {
				return settle(() => reject(error));
			}
			if (reader.complete) settle(() => resolve(reader.body()));
			return undefined;
		};
		const onEnd = (): void => settle(() => reject(new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED')));
		stream.on('data', onData);
		stream.once('end', onEnd);
		stream.once('close', onEnd);
	});
}
