// Owns the way of a snapshot between two simulated members: an offer, then pieces that are asked for one by one, from where the receiver has got to.
// Either side gives up when nothing moves.
import type { AnnouncedSnapshot, MessageOf, PeerId, SnapshotReader, SnapshotWriter } from '@infermesh/fabric';
import type { Timer } from '@infermesh/proto';
import type { SimRaftTransport } from './sim-raft-transport.js';

const pieceBytes = 2048;
const controlBytes = 32;
/** Without a sign of the other side for so long the transfer ends. */
const idleMs = 3000;

/** The sending side. */
export class SnapshotSend {
	readonly #transport: SimRaftTransport;
	readonly #to: PeerId;
	readonly #reader: SnapshotReader;
	readonly #done: (ok: boolean) => void;
	#timer: Timer;
	#ended = false;

	constructor(transport: SimRaftTransport, to: PeerId, reader: SnapshotReader, done: (ok: boolean) => void) {
		this.#transport = transport;
		this.#to = to;
		this.#reader = reader;
		this.#done = done;
		this.#timer = transport.host.clock.after(idleMs, () => this.end(false));
	}

	end(ok: boolean): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#timer.cancel();
		this.#done(ok);
	}

	/** The receiver wants to go on at `offset`. */
	wanted(offset: number, receive: (bytes: Uint8Array) => void): void {
		if (this.#ended) return;
		this.#timer.cancel();
		this.#timer = this.#transport.host.clock.after(idleMs, () => this.end(false));
		this.#reader.read(
			offset,
			pieceBytes,
			(bytes) => {
				if (this.#ended) return;
				const describe = (): string => `snapshot bytes ${offset} to ${offset + bytes.length}`;
				this.#transport.carry(this.#to, bytes.length + controlBytes, offset, describe, () => receive(bytes));
			},
			() => this.end(false),
		);
	}
}

class SnapshotReceive {
	readonly #transport: SimRaftTransport;
	readonly #offered: MessageOf<'snapshot'>;
	readonly #writer: SnapshotWriter;
	readonly #send: SnapshotSend;
	readonly #totalBytes: number;
	#timer: Timer | undefined;
	#ended = false;

	constructor(
		transport: SimRaftTransport,
		offered: MessageOf<'snapshot'>,
		writer: SnapshotWriter,
		totalBytes: number,
		send: SnapshotSend,
	) {
		this.#transport = transport;
		this.#offered = offered;
		this.#writer = writer;
		this.#send = send;
		this.#totalBytes = totalBytes;
	}

	next(): void {
		if (this.#ended) return;
		this.#timer?.cancel();
		if (this.#writer.length >= this.#totalBytes) {
			this.#finish();
			return;
		}
		this.#timer = this.#transport.host.clock.after(idleMs, () => this.#abandon());
		const offset = this.#writer.length;
		const receive = (bytes: Uint8Array): void => {
			if (this.#ended || this.#writer.length !== offset) return;
			this.#writer.write(
				bytes,
				() => this.next(),
				() => this.#abandon(),
			);
		};
		tell(this.#transport, this.#offered.from, `wants snapshot bytes from ${offset}`, () =>
			this.#send.wanted(offset, receive),
		);
	}

	#finish(): void {
		const { inbox } = this.#transport;
		this.#ended = true;
		this.#writer.finish(
			() => {
				this.#transport.network.world.counters.add('snapshots received');
				tell(this.#transport, this.#offered.from, 'has the whole snapshot', () => this.#send.end(true));
				inbox?.onSnapshotReceived(this.#offered);
			},
			() => tell(this.#transport, this.#offered.from, 'could not finish the snapshot', () => this.#send.end(false)),
		);
	}

	#abandon(): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#timer?.cancel();
		this.#writer.abandon();
		tell(this.#transport, this.#offered.from, 'abandons the snapshot', () => this.#send.end(false));
	}
}

/** A word back to the sender. It reaches the process that sends, since streams end with processes. */
function tell(transport: SimRaftTransport, to: PeerId, text: string, act: () => void): void {
	const { host } = transport;
	const { life } = host;
	if (life === host.life) transport.carry(to, controlBytes, 0, () => text, act);
}

/** The receiving side begins. */
export function receiveSnapshot(
	receiver: SimRaftTransport,
	offered: MessageOf<'snapshot'>,
	announced: AnnouncedSnapshot,
	send: SnapshotSend,
): void {
	const writer = receiver.inbox?.onSnapshotOffered(offered, announced);
	if (writer === undefined) tell(receiver, offered.from, 'wants no snapshot', () => send.end(false));
	else new SnapshotReceive(receiver, offered, writer, announced.totalBytes, send).next();
}
