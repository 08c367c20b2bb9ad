// Owns the stream of messages to one peer: a queue bounded by bytes, batches of what one turn brings, and opening the stream again when it breaks.
import type { ClientWritableStream, ServiceError } from '@grpc/grpc-js';
import type { Timer } from '@infermesh/proto';
import type { MessageBatch } from '@infermesh/proto/grpc/raft/v1/raft';
import type { MessageKind, PeerId } from '../../../raft/messages.js';
import { meshErrorOf } from '../../../transport/grpc-errors.js';
import { clusterMetadata } from '../../cluster-id.js';
import { consensusErrors } from '../../errors.js';
import {
	backoffMs,
	type GrpcRaftBounds,
	type GrpcRaftCounters,
	type GrpcRaftOptions,
	type PeerConnection,
} from './options.js';

interface Queued {
	readonly group: number;
	readonly kind: MessageKind;
	readonly message: Uint8Array;
}

/** Of the code on this end; both ends accept any and skip what they do not know. */
const senderVersion = 1;

export class PeerLink {
	readonly #peer: PeerId;
	readonly #options: GrpcRaftOptions;
	readonly #bounds: GrpcRaftBounds;
	readonly #counters: GrpcRaftCounters;
	readonly #onUnreachable: () => void;
	#queue: Queued[] = [];
	#bytes = 0;
	#stream: ClientWritableStream<MessageBatch> | undefined;
	#connection: PeerConnection | undefined;
	/** The stream has taken as much as it wants for now. */
	#full = false;
	#flushDue = false;
	#failures = 0;
	#retry: Timer | undefined;
	#closed = false;

	constructor(
		peer: PeerId,
		options: GrpcRaftOptions,
		bounds: GrpcRaftBounds,
		counters: GrpcRaftCounters,
		onUnreachable: () => void,
	) {
		this.#peer = peer;
		this.#options = options;
		this.#bounds = bounds;
		this.#counters = counters;
		this.#onUnreachable = onUnreachable;
	}

	send(group: number, kind: MessageKind, message: Uint8Array): void {
		// Out of reach: what is sent now would be old when the peer is back.
		if (this.#closed || this.#retry !== undefined) {
			this.#counters.messagesDropped++;
			return;
		}
		this.#queue.push({ group, kind, message });
		this.#bytes += message.length;
		if (this.#bytes > this.#bounds.queueBytesMax) this.#shed();
		if (this.#flushDue || this.#full) return;
		this.#flushDue = true;
		queueMicrotask(() => {
			this.#flushDue = false;
			this.#flush();
		});
	}

	/** Makes room: the oldest appends first, since Raft sends them again; then whatever is oldest. */
	#shed(): void {
		const goal = this.#bounds.queueBytesMax / 2;
		const drop = (chosen: (queued: Queued) => boolean): void => {
			this.#queue = this.#queue.filter((queued) => {
				if (this.#bytes <= goal || !chosen(queued)) return true;
				this.#bytes -= queued.message.length;
				this.#counters.messagesDropped++;
				return false;
			});
		};
		drop(({ kind }) => kind === 'append');
		drop(() => true);
	}

	#takeBatch(): Queued[] {
		let bytes = 0;
		let count = 0;
		for (const { message } of this.#queue) {
			if (count > 0 && bytes + message.length > this.#bounds.batchBytesMax) break;
			bytes += message.length;
			count++;
		}
		this.#bytes -= bytes;
		this.#counters.bytesSent += bytes;
		return this.#queue.splice(0, count);
	}

	#flush(): void {
		while (!this.#closed && !this.#full && this.#queue.length > 0) {
			const stream = this.#open();
			if (stream === undefined) return;
			const messages = this.#takeBatch().map(({ group, message }) => ({ group, message }));
			this.#counters.batchesSent++;
			this.#counters.messagesSent += messages.length;
			this.#full = !stream.write({ senderVersion, messages });
		}
	}

	#open(): ClientWritableStream<MessageBatch> | undefined {
		if (this.#stream !== undefined) return this.#stream;
		const connection = this.#options.connect(this.#peer);
		if (connection === undefined) {
			this.#broken(undefined);
			return undefined;
		}
		this.#connection = connection;
		this.#counters.streamsOpened++;
		const stream = connection.client.deliver(clusterMetadata(this.#options.clusterId?.() ?? ''), (error) => {
			if (error !== null) this.#refused(error);
			this.#broken(stream);
		});
		stream.on('error', () => this.#broken(stream));
		stream.on('drain', () => {
			if (stream !== this.#stream) return;
			this.#full = false;
			this.#flush();
		});
		this.#stream = stream;
		return stream;
	}

	#refused(error: ServiceError): void {
		const named = meshErrorOf(error, consensusErrors);
		if (named.code === 'IM_CONSENSUS_OTHER_CLUSTER') this.#options.onForeign?.(this.#peer, named);
	}

	/** The stream has ended, or could not begin: everything on it counts as lost. */
	#broken(stream: ClientWritableStream<MessageBatch> | undefined): void {
		if (this.#closed || stream !== this.#stream || this.#retry !== undefined) return;
		this.#drop();
		this.#failures++;
		const wait = backoffMs(this.#failures, this.#bounds, this.#options.random);
		this.#retry = this.#options.clock.after(
			wait,
			() => {
				this.#retry = undefined;
			},
			{ unref: true },
		);
		this.#onUnreachable();
	}

	#drop(): void {
		this.#counters.messagesDropped += this.#queue.length;
		this.#queue = [];
		this.#bytes = 0;
		this.#full = false;
		const stream = this.#stream;
		this.#stream = undefined;
		stream?.cancel();
		this.#connection?.release();
		this.#connection = undefined;
	}

	/** Something arrived from the peer: it is there, and worth trying again at once. */
	heard(): void {
		this.#failures = 0;
		this.#retry?.cancel();
		this.#retry = undefined;
	}

	close(): void {
		this.#closed = true;
		this.#retry?.cancel();
		this.#drop();
	}
}
