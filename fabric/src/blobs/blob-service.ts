// Owns the gRPC service of a holder of blobs. Who may call is the transport's to have checked; sizes are checked here, while the bytes come in.
import type { ServerReadableStream, ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import { MeshError } from '@infermesh/proto';
import type { BlobName, BlobPiece, BlobsServer, HasReply } from '@infermesh/proto/grpc/agent/v1/agent';
import { grpcErrorOf } from '../transport/grpc-errors.js';
import type { DiskBlobs } from './disk-blobs.js';
import { blobErrors } from './errors.js';
import { blobLimits } from './memory-blobs.js';

const PIECE_BYTES = 256 * 1024;

/** The service over what this holder keeps. */
export function createBlobService(blobs: DiskBlobs): BlobsServer {
	return {
		put(call: ServerReadableStream<BlobPiece, BlobName>, reply: sendUnaryData<BlobName>) {
			const pieces: Uint8Array[] = [];
			let bytes = 0;
			let refused = false;
			call.on('data', ({ data }: BlobPiece) => {
				if (refused) return;
				bytes += data.length;
				if (bytes > blobLimits.blobBytesMax) {
					refused = true;
					pieces.length = 0;
					reply(
						grpcErrorOf(new MeshError(blobErrors, 'IM_BLOB_TOO_LARGE', `more than ${blobLimits.blobBytesMax} bytes`)),
					);
					return;
				}
				pieces.push(data);
			});
			call.on('end', () => {
				if (refused) return;
				try {
					reply(null, { id: blobs.put(Buffer.concat(pieces)) });
				} catch (error) {
					reply(grpcErrorOf(error));
				}
			});
			// A caller that goes away in the middle leaves nothing behind.
			call.on('error', () => void (pieces.length = 0));
		},
		get(call: ServerWritableStream<BlobName, BlobPiece>) {
			const bytes = blobs.get(call.request.id);
			if (bytes === undefined) {
				call.emit('error', grpcErrorOf(new MeshError(blobErrors, 'IM_BLOB_UNKNOWN')));
				return;
			}
			for (let at = 0; at < bytes.length || at === 0; at += PIECE_BYTES)
				call.write({ data: Buffer.from(bytes.subarray(at, at + PIECE_BYTES)) });
			call.end();
		},
		has(call: ServerUnaryCall<BlobName, HasReply>, reply: sendUnaryData<HasReply>) {
			reply(null, { has: blobs.has(call.request.id) });
		},
	};
}
