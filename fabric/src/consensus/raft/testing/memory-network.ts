// Owns the network of test nodes: messages take a set time, can be lost at random or cut off, and pass through the codec; snapshots go in pieces.
import type { Clock, Random } from '@infermesh/proto';
import type { SnapshotReader } from '../../../log/ports.js';
import { decodeMessage, encodeMessage } from '../../../raft/codec.js';
import type { Message, MessageOf, PeerId } from '../../../raft/messages.js';
import type { RaftInbox, RaftTransport } from '../../../raft/ports.js';

export class MemoryNetwork {
	readonly #clock: Clock;
	readonly #random: Random;
	readonly #inboxes = new Map<PeerId, RaftInbox>();
	/** Nodes that nothing reaches and nothing leaves. */
	readonly cut = new Set<PeerId>();
	latencyMs = 1;
	loss = 0;
	snapshotsSent = 0;

	constructor(clock: Clock, random: Random) {
		this.#clock = clock;
		this.#random = random;
	}

	#passes(from: PeerId, to: PeerId): boolean {
		return !this.cut.has(from) && !this.cut.has(to) && this.#random.nextFloat() >= this.loss;
	}

	#deliver(message: Message, give: (inbox: RaftInbox) => void): void {
		this.#clock.after(this.latencyMs, () => {
			const inbox = this.#inboxes.get(message.to);
			if (inbox !== undefined && this.#passes(message.from, message.to)) give(inbox);
		});
	}

	/** What one node sends by. */
	transport(id: PeerId): RaftTransport {
		return {
			send: (_group, message) => {
				const bytes = encodeMessage(message);
				this.#deliver(message, (inbox) => inbox.onMessage(decodeMessage(bytes)));
			},
			sendSnapshot: (_group, message, reader, done) => this.#stream(message, reader, done),
			listen: (_group, inbox) => {
				if (inbox === undefined) this.#inboxes.delete(id);
				else this.#inboxes.set(id, inbox);
			},
		};
	}

	#stream(message: MessageOf<'snapshot'>, reader: SnapshotReader, done: (ok: boolean) => void): void {
		this.snapshotsSent++;
		const { meta, totalBytes, digest } = reader;
		const end = (ok: boolean): void => {
			reader.close();
			this.#clock.after(this.latencyMs, () => done(ok));
		};
		const inbox = this.#inboxes.get(message.to);
		const writer = this.#passes(message.from, message.to)
			? inbox?.onSnapshotOffered(message, { meta, totalBytes, digest })
			: undefined;
		if (inbox === undefined || writer === undefined) {
			end(false);
			return;
		}
		const failed = (): void => end(false);
		const next = (): void =>
			reader.read(
				writer.length,
				1024,
				(bytes) => {
					if (!this.#passes(message.from, message.to)) failed();
					else if (bytes.length > 0) writer.write(bytes, next, failed);
					else {
						writer.finish(() => {
							inbox.onSnapshotReceived(message);
							end(true);
						}, failed);
					}
				},
				failed,
			);
		next();
	}
}
