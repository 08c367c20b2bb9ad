// Owns Raft over gRPC: one stream of messages to each peer, snapshots beside them, and the service that receives both. Connections and who is at their
// other end come from outside (identity and transport rooms); a message counts only when its sender is the peer that was authenticated.
import {
	type Metadata,
	type Server,
	type ServerReadableStream,
	type ServerUnaryCall,
	type ServiceError,
	type sendUnaryData,
	status,
} from '@grpc/grpc-js';
import {
	type DeliverEnd,
	type MessageBatch,
	type RaftTransportServer,
	RaftTransportService,
	type SnapshotEnd,
	type SnapshotPiece,
	type SnapshotProgressReply,
	type SnapshotProgressRequest,
} from '@infermesh/proto/grpc/raft/v1/raft';
import type { SnapshotReader } from '../../../log/ports.js';
import { decodeMessage, encodeMessage } from '../../../raft/codec.js';
import type { Message, MessageOf, PeerId } from '../../../raft/messages.js';
import type { RaftInbox, RaftTransport } from '../../../raft/ports.js';
import { grpcErrorOf } from '../../../transport/grpc-errors.js';
import type { CallWithPeer } from '../../../transport/guard.js';
import { foreignCaller } from '../../cluster-id.js';
import {
	type GrpcRaftBounds,
	type GrpcRaftCounters,
	type GrpcRaftOptions,
	grpcRaftBounds,
	newCounters,
} from './options.js';
import { PeerLink } from './peer-link.js';
import { SnapshotReceiver } from './snapshot-receiver.js';
import { SnapshotSender } from './snapshot-sender.js';

const stranger = { code: status.PERMISSION_DENIED, details: 'only members of the group may call this' } as const;

export class GrpcRaftTransport implements RaftTransport {
	readonly counters: GrpcRaftCounters = newCounters();
	readonly #options: GrpcRaftOptions;
	readonly #bounds: GrpcRaftBounds;
	readonly #inboxes = new Map<number, RaftInbox>();
	readonly #links = new Map<PeerId, PeerLink>();
	/** One at a time to each peer of each group. */
	readonly #senders = new Map<string, SnapshotSender>();
	readonly #receiver: SnapshotReceiver;
	#closed = false;

	constructor(options: GrpcRaftOptions) {
		this.#options = options;
		this.#bounds = { ...grpcRaftBounds, ...options.bounds };
		this.#receiver = new SnapshotReceiver(this.#bounds, this.counters, (group) => this.#inboxes.get(group));
	}

	/** Adds the service to a server, which must authenticate its callers. */
	addTo(server: Pick<Server, 'addService'>): void {
		server.addService(RaftTransportService, this.handlers());
	}

	handlers(): RaftTransportServer {
		return {
			deliver: (call: ServerReadableStream<MessageBatch, DeliverEnd>, answer: sendUnaryData<DeliverEnd>) =>
				this.#onDeliver(call, answer),
			sendSnapshot: (call: ServerReadableStream<SnapshotPiece, SnapshotEnd>, answer: sendUnaryData<SnapshotEnd>) => {
				const from = this.#peerOf(call);
				const refusal = this.#refusal(call, from);
				if (refusal !== undefined || from === undefined) answer(refusal ?? stranger);
				else this.#receiver.receive(call, from, this.#options.id, answer);
			},
			snapshotProgress: (
				call: ServerUnaryCall<SnapshotProgressRequest, SnapshotProgressReply>,
				answer: sendUnaryData<SnapshotProgressReply>,
			) => {
				const refusal = this.#refusal(call, this.#peerOf(call));
				if (refusal !== undefined) answer(refusal);
				else answer(null, { receivedBytes: BigInt(this.#receiver.progress(call.request)) });
			},
		};
	}

	#peerOf(call: CallWithPeer): PeerId | undefined {
		return this.#closed ? undefined : this.#options.peerOf(call);
	}

	#refusal(
		call: CallWithPeer & { readonly metadata: Metadata },
		from: PeerId | undefined,
	): Pick<ServiceError, 'code' | 'details'> | undefined {
		if (from === undefined) return stranger;
		const foreign = foreignCaller(this.#options.clusterId?.() ?? '', call.metadata);
		if (foreign === undefined) return undefined;
		this.counters.foreignRefused++;
		return grpcErrorOf(foreign);
	}

	listen(group: number, inbox: RaftInbox | undefined): void {
		if (inbox === undefined) this.#inboxes.delete(group);
		else this.#inboxes.set(group, inbox);
	}

	#link(peer: PeerId): PeerLink {
		let link = this.#links.get(peer);
		if (link === undefined) {
			const unreachable = (): void => {
				for (const inbox of this.#inboxes.values()) inbox.onUnreachable(peer);
			};
			// A break may show while the group is in the middle of sending: it is told afterwards.
			link = new PeerLink(peer, this.#options, this.#bounds, this.counters, () => queueMicrotask(unreachable));
			this.#links.set(peer, link);
		}
		return link;
	}

	send(group: number, message: Message): void {
		if (this.#closed) return;
		this.#link(message.to).send(group, message.kind, encodeMessage(message));
	}

	sendSnapshot(
		group: number,
		message: MessageOf<'snapshot'>,
		reader: SnapshotReader,
		done: (ok: boolean) => void,
	): void {
		const key = `${group}/${message.to}`;
		const sender = new SnapshotSender(group, message, reader, this.#options, this.#bounds, (ok) => {
			if (this.#senders.get(key) === sender) this.#senders.delete(key);
			if (ok) this.counters.snapshotsSent++;
			else this.counters.snapshotsFailed++;
			queueMicrotask(() => done(ok));
		});
		// Raft sends another one only when it has given the first up.
		this.#senders.get(key)?.close();
		if (this.#closed) {
			sender.close();
			return;
		}
		this.#senders.set(key, sender);
		sender.start();
	}

	#onDeliver(call: ServerReadableStream<MessageBatch, DeliverEnd>, answer: sendUnaryData<DeliverEnd>): void {
		const from = this.#peerOf(call);
		const refusal = this.#refusal(call, from);
		if (refusal !== undefined || from === undefined) {
			answer(refusal ?? stranger);
			return;
		}
		let invalid = 0;
		let answered = false;
		call.on('data', (batch: MessageBatch) => {
			if (answered) return;
			this.#links.get(from)?.heard();
			for (const { group, message } of batch.messages) {
				if (!this.#onMessage(from, group, message)) invalid++;
			}
			if (invalid <= this.#bounds.invalidMessagesMax) return;
			answered = true;
			answer({
				code: status.INVALID_ARGUMENT,
				details: `over ${this.#bounds.invalidMessagesMax} messages made no sense`,
			});
		});
		call.on('error', () => {
			answered = true;
		});
		call.on('end', () => {
			if (!answered) answer(null, {});
		});
	}

	/** Answers whether it was a message of `from`. One for a group that is not here is dropped: the group may start later. */
	#onMessage(from: PeerId, group: number, bytes: Uint8Array): boolean {
		const message = this.#decode(bytes);
		if (message === undefined || message.from !== from || message.kind === 'snapshot') {
			this.counters.messagesRefused++;
			return false;
		}
		this.counters.messagesReceived++;
		this.#inboxes.get(group)?.onMessage(message);
		return true;
	}

	#decode(bytes: Uint8Array): Message | undefined {
		try {
			return decodeMessage(bytes);
		} catch {
			return undefined;
		}
	}

	/** Forgets a peer that is no member any more. */
	forget(peer: PeerId): void {
		this.#links.get(peer)?.close();
		this.#links.delete(peer);
	}

	close(): void {
		this.#closed = true;
		for (const link of this.#links.values()) link.close();
		this.#links.clear();
		for (const sender of Array.from(this.#senders.values())) sender.close();
		this.#receiver.close();
	}
}
