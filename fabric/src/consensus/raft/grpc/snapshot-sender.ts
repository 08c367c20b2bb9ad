// Owns sending one snapshot to one peer: asks how much is there, streams the rest in pieces no faster than they are taken, and goes on after a break.
import type { ClientWritableStream, Metadata } from '@grpc/grpc-js';
import type { Timer } from '@infermesh/proto';
import type { SnapshotPiece } from '@infermesh/proto/grpc/raft/v1/raft';
import type { SnapshotReader } from '../../../log/ports.js';
import { encodeMessage } from '../../../raft/codec.js';
import type { MessageOf } from '../../../raft/messages.js';
import { clusterMetadata } from '../../cluster-id.js';
import { backoffMs, type GrpcRaftBounds, type GrpcRaftOptions, type PeerConnection } from './options.js';

const nothing = new Uint8Array(0);

export class SnapshotSender {
	readonly #group: number;
	readonly #message: MessageOf<'snapshot'>;
	readonly #reader: SnapshotReader;
	readonly #options: GrpcRaftOptions;
	readonly #bounds: GrpcRaftBounds;
	readonly #done: (ok: boolean) => void;
	#attempts = 0;
	/** Rises when an attempt begins or ends; what an earlier one still reports is not heard. */
	#run = 0;
	#connection: PeerConnection | undefined;
	#stream: ClientWritableStream<SnapshotPiece> | undefined;
	#timer: Timer | undefined;
	#ended = false;

	/** `done` is called once, when the peer holds the snapshot or all attempts have failed. */
	constructor(
		group: number,
		message: MessageOf<'snapshot'>,
		reader: SnapshotReader,
		options: GrpcRaftOptions,
		bounds: GrpcRaftBounds,
		done: (ok: boolean) => void,
	) {
		this.#group = group;
		this.#message = message;
		this.#reader = reader;
		this.#options = options;
		this.#bounds = bounds;
		this.#done = done;
	}

	start(): void {
		this.#attempts++;
		const run = ++this.#run;
		const connection = this.#options.connect(this.#message.to);
		if (connection === undefined) {
			this.#broken(run);
			return;
		}
		this.#connection = connection;
		const { meta, digest } = this.#reader;
		const request = { group: this.#group, index: BigInt(meta.index), term: BigInt(meta.term), digest };
		this.#moved(run);
		connection.client.snapshotProgress(request, this.#metadata(), (error, reply) => {
			if (!this.#current(run)) return;
			if (error === null) this.#send(run, connection, Number(reply.receivedBytes));
			else this.#broken(run);
		});
	}

	#metadata(): Metadata {
		return clusterMetadata(this.#options.clusterId?.() ?? '');
	}

	#current(run: number): boolean {
		return !this.#ended && run === this.#run;
	}

	/** Bytes have moved: the attempt has its time again. */
	#moved(run: number): void {
		this.#timer?.cancel();
		this.#timer = this.#options.clock.after(this.#bounds.snapshotStallMs, () => this.#broken(run), { unref: true });
	}

	#send(run: number, connection: PeerConnection, from: number): void {
		const stream = connection.client.sendSnapshot(this.#metadata(), (error) => {
			if (!this.#current(run)) return;
			if (error === null) this.#end(true);
			else this.#broken(run);
		});
		stream.on('error', () => this.#broken(run));
		this.#stream = stream;
		const { totalBytes, digest } = this.#reader;
		stream.write({
			group: this.#group,
			message: encodeMessage(this.#message),
			offset: BigInt(from),
			data: nothing,
			totalBytes: BigInt(totalBytes),
			digest,
		});
		this.#sendNext(run, stream, from);
	}

	#sendNext(run: number, stream: ClientWritableStream<SnapshotPiece>, offset: number): void {
		this.#reader.read(
			offset,
			this.#bounds.pieceBytes,
			(data) => {
				if (!this.#current(run)) return;
				if (data.length === 0) {
					stream.end();
					return;
				}
				const piece = { group: this.#group, message: nothing, offset: BigInt(offset), data, totalBytes: 0n };
				const next = (): void => {
					if (!this.#current(run)) return;
					this.#moved(run);
					this.#sendNext(run, stream, offset + data.length);
				};
				// Views of the reader's buffer may be used again: gRPC has serialised the piece when `write` returns.
				if (stream.write({ ...piece, digest: nothing })) next();
				else stream.once('drain', next);
			},
			() => this.#end(false),
		);
	}

	#broken(run: number): void {
		if (!this.#current(run)) return;
		if (this.#attempts >= this.#bounds.snapshotAttemptsMax) {
			this.#end(false);
			return;
		}
		this.#run++;
		this.#release();
		const wait = backoffMs(this.#attempts, this.#bounds, this.#options.random);
		this.#timer = this.#options.clock.after(wait, () => this.start(), { unref: true });
	}

	#release(): void {
		this.#timer?.cancel();
		this.#stream?.cancel();
		this.#stream = undefined;
		this.#connection?.release();
		this.#connection = undefined;
	}

	#end(ok: boolean): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#release();
		this.#reader.close();
		this.#done(ok);
	}

	/** Gives up. */
	close(): void {
		this.#end(false);
	}
}
