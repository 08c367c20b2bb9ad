// Owns the framing of a connection in the mesh's protocol: four bytes of length, then one sealed message each way.
import type { StreamFraming, UnwrapResult } from '../codec.js';

const prefixBytes = 4;

export function lengthFraming(messageMaxBytes: number): StreamFraming {
	return {
		wrap(message: Uint8Array): Uint8Array {
			const framed = Buffer.allocUnsafe(prefixBytes + message.length);
			framed.writeUInt32BE(message.length, 0);
			framed.set(message, prefixBytes);
			return framed;
		},
		unwrap(received: Uint8Array, ended: boolean): UnwrapResult {
			if (received.length < prefixBytes)
				return ended ? { kind: 'malformed' } : { kind: 'incomplete', atLeastBytes: prefixBytes };
			const length = new DataView(received.buffer, received.byteOffset).getUint32(0);
			if (length > messageMaxBytes || received.length > prefixBytes + length) return { kind: 'malformed' };
			if (received.length === prefixBytes + length) return { kind: 'message', message: received.subarray(prefixBytes) };
			return ended ? { kind: 'malformed' } : { kind: 'incomplete', atLeastBytes: prefixBytes + length };
		},
	};
}
