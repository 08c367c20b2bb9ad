// Owns the framing of exchanges: four bytes of length, big-endian, then the body. A length over the bound ends the connection before anything is
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

/**
 * Reads one frame; what follows it is refused. Rejects with IM_TRANSPORT_MESSAGE_TOO_LARGE, IM_TRANSPORT_CLOSED when the stream ends early, and
 * IM_TRANSPORT_PROTOCOL for bytes after the frame.
 */
export async function readFrame(stream: Duplex, bodyBytesMax: number): Promise<Uint8Array> {
	return new Promise((resolve, reject) => {
		const chunks: Buffer[] = [];
		let received = 0;
		let wanted: number | undefined;
		const settle = (finish: () => void): void => {
			stream.off('data', onData);
			stream.off('end', onEnd);
			stream.off('close', onEnd);
			finish();
		};
		const onData = (chunk: Buffer): void => {
			chunks.push(chunk);
			received += chunk.length;
			if (wanted === undefined && received >= HEADER_BYTES) {
				const length = Buffer.concat(chunks).readUInt32BE();
				if (length > bodyBytesMax)
					return settle(() =>
						reject(new MeshError(transportErrors, 'IM_TRANSPORT_MESSAGE_TOO_LARGE', `${length} bytes`)),
					);
				wanted = HEADER_BYTES + length;
			}
			if (wanted === undefined || received < wanted) return;
			if (received > wanted) return settle(() => reject(new MeshError(transportErrors, 'IM_TRANSPORT_PROTOCOL')));
			return settle(() => resolve(new Uint8Array(Buffer.concat(chunks).subarray(HEADER_BYTES))));
		};
		const onEnd = (): void => settle(() => reject(new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED')));
		stream.on('data', onData);
		stream.once('end', onEnd);
		stream.once('close', onEnd);
	});
}
