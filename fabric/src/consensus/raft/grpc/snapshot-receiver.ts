// Owns the snapshots that peers send: pieces go to the group's writer one at a time, a broken stream keeps what it brought, and what does not fit
// together is refused.
import { type ServerReadableStream, type sendUnaryData, status } from '@grpc/grpc-js';
import type { SnapshotEnd, SnapshotPiece, SnapshotProgressRequest } from '@infermesh/proto/grpc/raft/v1/raft';
import type { SnapshotWriter } from '../../../log/ports.js';
import { decodeMessage } from '../../../raft/codec.js';
import type { MessageOf, PeerId } from '../../../raft/messages.js';
import type { RaftInbox } from '../../../raft/ports.js';
import type { GrpcRaftBounds, GrpcRaftCounters } from './options.js';

interface Incoming {
	/** Of the latest stream: another leader may go on with what one has begun. */
	message: MessageOf<'snapshot'>;
	readonly inbox: RaftInbox;
	readonly writer: SnapshotWriter;
	readonly totalBytes: number;
	/** Ends the stream that feeds it, when another takes over. */
	stop: () => void;
	writing: boolean;
}

type Call = ServerReadableStream<SnapshotPiece, SnapshotEnd>;

function keyOf(group: number, index: number, term: number, digest: Uint8Array): string {
	return `${group}/${index}/${term}/${Buffer.from(digest).toString('hex')}`;
}

export class SnapshotReceiver {
	readonly #bounds: GrpcRaftBounds;
	readonly #counters: GrpcRaftCounters;
	readonly #inboxOf: (group: number) => RaftInbox | undefined;
	/** Begun and not finished, oldest first. */
	readonly #incoming = new Map<string, Incoming>();

	constructor(bounds: GrpcRaftBounds, counters: GrpcRaftCounters, inboxOf: (group: number) => RaftInbox | undefined) {
		this.#bounds = bounds;
		this.#counters = counters;
		this.#inboxOf = inboxOf;
	}

	/** Bytes that are here of a snapshot. */
	progress(request: SnapshotProgressRequest): number {
		const key = keyOf(request.group, Number(request.index), Number(request.term), request.digest);
		return this.#incoming.get(key)?.writer.length ?? 0;
	}

	receive(call: Call, from: PeerId, self: PeerId, answer: sendUnaryData<SnapshotEnd>): void {
		let key: string | undefined;
		let answered = false;
		const end = (code: status, details: string): void => {
			if (answered) return;
			answered = true;
			if (code === status.OK) answer(null, {});
			else {
				this.#counters.messagesRefused++;
				answer({ code, details });
			}
			call.resume();
		};
		const onPiece = (piece: SnapshotPiece): void => {
			if (answered) return;
			try {
				key ??= this.#begin(piece, from, self, () => end(status.ABORTED, 'another stream carries this snapshot'));
			} catch (error) {
				end(status.INVALID_ARGUMENT, error instanceof Error ? error.message : 'no snapshot');
				return;
			}
			const incoming = this.#incoming.get(key);
			if (incoming === undefined) end(status.ABORTED, 'this snapshot was put aside for newer ones');
			else this.#take(call, incoming, piece, end);
		};
		call.on('data', onPiece);
		call.on('error', () => {
			answered = true;
		});
		call.on('end', () => {
			const incoming = key === undefined ? undefined : this.#incoming.get(key);
			if (incoming === undefined || key === undefined) end(status.INVALID_ARGUMENT, 'the stream is empty');
			else if (!answered) this.#finish(key, incoming, end);
		});
	}

	/** The first piece of a stream says what it carries. Answers the key; throws when it is not wanted. */
	#begin(piece: SnapshotPiece, from: PeerId, self: PeerId, stop: () => void): string {
		const message = decodeMessage(piece.message);
		if (message.kind !== 'snapshot' || message.from !== from || message.to !== self)
			throw new Error('the stream does not begin with the announcement of its sender');
		const { index, term } = message.meta;
		const key = keyOf(piece.group, index, term, piece.digest);
		const known = this.#incoming.get(key);
		if (known !== undefined) {
			if (known.writing) throw new Error('a piece of this snapshot is still being written');
			known.stop();
			known.stop = stop;
			known.message = message;
			return key;
		}
		const inbox = this.#inboxOf(piece.group);
		const announced = { meta: message.meta, totalBytes: Number(piece.totalBytes), digest: piece.digest };
		const writer = inbox?.onSnapshotOffered(message, announced);
		if (inbox === undefined || writer === undefined) throw new Error('the snapshot is not wanted here');
		this.#incoming.set(key, { message, inbox, writer, totalBytes: announced.totalBytes, stop, writing: false });
		this.#makeRoom();
		return key;
	}

	#makeRoom(): void {
		for (const [key, incoming] of this.#incoming) {
			if (this.#incoming.size <= this.#bounds.incomingSnapshotsMax) return;
			this.#incoming.delete(key);
			incoming.stop();
			incoming.writer.abandon();
		}
	}

	#take(call: Call, incoming: Incoming, piece: SnapshotPiece, end: (code: status, details: string) => void): void {
		const { writer, totalBytes } = incoming;
		const offset = Number(piece.offset);
		if (offset > writer.length || offset + piece.data.length > totalBytes) {
			end(status.OUT_OF_RANGE, `a piece at ${offset} where ${writer.length} of ${totalBytes} bytes are here`);
			return;
		}
		// What is here already came by an earlier stream.
		const fresh = piece.data.subarray(writer.length - offset);
		if (fresh.length === 0) return;
		call.pause();
		incoming.writing = true;
		writer.write(
			fresh,
			() => {
				incoming.writing = false;
				call.resume();
			},
			(error) => {
				incoming.writing = false;
				end(status.INTERNAL, error.message);
			},
		);
	}

	#finish(key: string, incoming: Incoming, end: (code: status, details: string) => void): void {
		const { writer, totalBytes, inbox, message } = incoming;
		if (writer.length < totalBytes) {
			end(status.DATA_LOSS, `the stream ended at ${writer.length} of ${totalBytes} bytes`);
			return;
		}
		this.#incoming.delete(key);
		writer.finish(
			() => {
				this.#counters.snapshotsReceived++;
				inbox.onSnapshotReceived(message);
				end(status.OK, '');
			},
			(error) => end(status.DATA_LOSS, error.message),
		);
	}

	close(): void {
		for (const incoming of this.#incoming.values()) {
			incoming.stop();
			incoming.writer.abandon();
		}
		this.#incoming.clear();
	}
}
