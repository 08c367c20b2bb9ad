// Owns blobs across their holders: put to all, done when a quorum has them on disk; got from the first that has the right bytes. A node that holds
// blobs itself is asked first.
import { type ServiceError, status } from '@grpc/grpc-js';
import { type Clock, MeshError } from '@infermesh/proto';
import type { BlobName, BlobPiece, BlobsClient } from '@infermesh/proto/grpc/agent/v1/agent';
import type { DiskBlobs } from './disk-blobs.js';
import { blobErrors } from './errors.js';
import { blobIdOf, blobLimits } from './memory-blobs.js';
import type { BlobId, Blobs } from './ports.js';

/** Another holder. The client belongs to whoever gave it: its connection is pooled and closed there. */
export interface BlobHolder {
	readonly nodeId: string;
	readonly client: BlobsClient;
}

export interface ReplicatedBlobsPorts {
	readonly clock: Clock;
	/** What this node keeps itself; undefined where it is no holder. */
	readonly own: DiskBlobs | undefined;
	/** The other holders, as they are known now. */
	readonly holders: () => readonly BlobHolder[];
	readonly callTimeoutMs?: number;
}

const CALL_TIMEOUT_MS = 15_000;
const PIECE_BYTES = 256 * 1024;

export class ReplicatedBlobs implements Blobs {
	readonly #ports: ReplicatedBlobsPorts;

	constructor(ports: ReplicatedBlobsPorts) {
		this.#ports = ports;
	}

	async put(bytes: Uint8Array): Promise<BlobId> {
		if (bytes.length > blobLimits.blobBytesMax)
			throw new MeshError(blobErrors, 'IM_BLOB_TOO_LARGE', `${bytes.length} bytes; at most ${blobLimits.blobBytesMax}`);
		const { own } = this.#ports;
		const others = this.#ports.holders();
		const id = blobIdOf(bytes);
		const all = others.length + (own === undefined ? 0 : 1);
		const needed = Math.floor(all / 2) + 1;
		// Its own copy first: a full disk here is no reason to fill others.
		let stored = own === undefined ? 0 : Number(own.put(bytes) === id);
		const failures: string[] = [];
		await Promise.all(
			others.map(async ({ nodeId, client }) => {
				try {
					if ((await this.#putTo(client, bytes)) === id) stored++;
					else failures.push(`${nodeId}: it stored something else`);
				} catch (error) {
					failures.push(`${nodeId}: ${(error as ServiceError).details || String(error)}`);
				}
			}),
		);
		if (all === 0 || stored < needed)
			throw new MeshError(
				blobErrors,
				'IM_BLOB_NO_QUORUM',
				`${stored} of ${all} holders have it, ${needed} are needed${failures.length > 0 ? `; ${failures.join('; ')}` : ''}`,
			);
		return id;
	}

	async get(id: BlobId): Promise<Uint8Array> {
		const held = this.#ports.own?.get(id);
		if (held !== undefined) return held;
		let unreachable = 0;
		let corrupt: string | undefined;
		for (const { nodeId, client } of this.#ports.holders()) {
			try {
				const bytes = await this.#getFrom(client, id);
				if (blobIdOf(bytes) === id) {
					this.#keep(bytes);
					return bytes;
				}
				corrupt = nodeId;
			} catch (error) {
				// NOT_FOUND is an answer; everything else is a holder that could not be asked.
				if ((error as ServiceError).code !== status.NOT_FOUND) unreachable++;
			}
		}
		if (corrupt !== undefined) throw new MeshError(blobErrors, 'IM_BLOB_CORRUPT', `blob ${id} from node ${corrupt}`);
		if (unreachable > 0)
			throw new MeshError(blobErrors, 'IM_BLOB_UNAVAILABLE', `blob ${id}: ${unreachable} holders could not be asked`);
		throw new MeshError(blobErrors, 'IM_BLOB_UNKNOWN', `blob ${id}`);
	}

	retain(kept: ReadonlySet<BlobId>): Promise<void> {
		const { own } = this.#ports;
		for (const id of own?.list() ?? []) if (!kept.has(id)) own?.remove(id);
		return Promise.resolve();
	}

	/** A holder that had missed it has it now. */
	#keep(bytes: Uint8Array): void {
		try {
			this.#ports.own?.put(bytes);
		} catch {
			// No room: it goes on being fetched from others.
		}
	}

	#deadline(): { readonly deadline: number } {
		return { deadline: this.#ports.clock.wallMs() + (this.#ports.callTimeoutMs ?? CALL_TIMEOUT_MS) };
	}

	#putTo(client: BlobsClient, bytes: Uint8Array): Promise<BlobId> {
		return new Promise((resolve, reject) => {
			const call = client.put(this.#deadline(), (error: ServiceError | null, reply: BlobName) => {
				if (error === null) resolve(reply.id);
				else reject(error);
			});
			for (let at = 0; at < bytes.length || at === 0; at += PIECE_BYTES)
				call.write({ data: Buffer.from(bytes.subarray(at, at + PIECE_BYTES)) });
			call.end();
		});
	}

	#getFrom(client: BlobsClient, id: BlobId): Promise<Uint8Array> {
		return new Promise((resolve, reject) => {
			const pieces: Uint8Array[] = [];
			let length = 0;
			const call = client.get({ id }, this.#deadline());
			call.on('data', ({ data }: BlobPiece) => {
				length += data.length;
				if (length > blobLimits.blobBytesMax) call.cancel();
				else pieces.push(data);
			});
			call.on('end', () => resolve(Buffer.concat(pieces)));
			call.on('error', reject);
		});
	}
}
