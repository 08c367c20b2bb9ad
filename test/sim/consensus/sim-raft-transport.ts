// Owns the carriage of Raft's messages between simulated hosts: one stream to each peer, everything through the codec. What belongs to one process
// ends with it.
import {
	decodeMessage,
	encodeMessage,
	type Message,
	type MessageOf,
	type PeerId,
	type RaftInbox,
	type RaftTransport,
	type SnapshotReader,
} from '@infermesh/fabric';
import type { SimHost } from '../world/sim-host.js';
import type { SimNetwork } from '../world/sim-network.js';
import { SimStream } from '../world/sim-stream.js';
import { hashBytes } from '../world/trace.js';
import { describeMessage } from './describe.js';
import { receiveSnapshot, SnapshotSend } from './snapshot-transfer.js';

/** Finds what runs on a peer's host at present. */
export type FindTransport = (peer: PeerId) => SimRaftTransport | undefined;

export class SimRaftTransport implements RaftTransport {
	readonly host: SimHost;
	readonly network: SimNetwork;
	readonly #find: FindTransport;
	readonly #hostOf: (peer: PeerId) => SimHost | undefined;
	readonly #streams = new Map<PeerId, SimStream>();
	/** Look at each message before it leaves and before it is taken in. */
	readonly #sends: (message: Message) => void;
	readonly #receives: (message: Message) => void;
	/** Messages travel as datagrams: they may be repeated and overtake one another. */
	readonly #loose: boolean;
	#inbox: RaftInbox | undefined;

	constructor(options: {
		readonly network: SimNetwork;
		readonly host: SimHost;
		readonly find: FindTransport;
		readonly hostOf: (peer: PeerId) => SimHost | undefined;
		readonly loose: boolean;
		readonly sends: (message: Message) => void;
		readonly receives: (message: Message) => void;
	}) {
		this.network = options.network;
		this.host = options.host;
		this.#find = options.find;
		this.#hostOf = options.hostOf;
		this.#loose = options.loose;
		this.#sends = options.sends;
		this.#receives = options.receives;
	}

	get inbox(): RaftInbox | undefined {
		return this.#inbox;
	}

	listen(_group: number, inbox: RaftInbox | undefined): void {
		this.#inbox = inbox;
	}

	send(_group: number, message: Message): void {
		this.#sends(message);
		const bytes = encodeMessage(message);
		const describe = (): string => describeMessage(message);
		const deliver = (receiver: SimRaftTransport): void => receiver.#takes(bytes);
		if (this.#loose) this.#throw(message.to, bytes.length, hashBytes(bytes), describe, deliver);
		else this.carry(message.to, bytes.length, hashBytes(bytes), describe, deliver);
	}

	#throw(
		peer: PeerId,
		bytes: number,
		digest: number,
		describe: () => string,
		deliver: (receiver: SimRaftTransport) => void,
	): void {
		const to = this.#hostOf(peer);
		if (to === undefined) return;
		const deliverThere = (): void => {
			const receiver = this.#find(peer);
			if (receiver !== undefined) deliver(receiver);
		};
		this.network.packet({ from: this.host, to, bytes, digest, describe, deliver: deliverThere });
	}

	#takes(bytes: Uint8Array): void {
		if (this.#inbox === undefined) return;
		const message = decodeMessage(bytes);
		this.#receives(message);
		this.#inbox.onMessage(message);
	}

	/** Sends something over the stream to `peer`; `deliver` gets what runs there when it arrives. */
	carry(
		peer: PeerId,
		bytes: number,
		digest: number,
		describe: () => string,
		deliver: (receiver: SimRaftTransport) => void,
	): void {
		const deliverThere = (): void => {
			const receiver = this.#find(peer);
			if (receiver !== undefined) deliver(receiver);
		};
		this.#stream(peer)?.send({ bytes, digest, describe, deliver: deliverThere });
	}

	#stream(peer: PeerId): SimStream | undefined {
		let stream = this.#streams.get(peer);
		const to = this.#hostOf(peer);
		if (stream === undefined && to !== undefined) {
			stream = new SimStream(this.network, this.host, to, () => this.#inbox?.onUnreachable(peer));
			this.#streams.set(peer, stream);
		}
		return stream;
	}

	sendSnapshot(
		_group: number,
		message: MessageOf<'snapshot'>,
		reader: SnapshotReader,
		done: (ok: boolean) => void,
	): void {
		this.network.world.counters.add('snapshots sent');
		const { meta, totalBytes, digest } = reader;
		const send = new SnapshotSend(this, message.to, reader, (ok) => {
			reader.close();
			done(ok);
		});
		const bytes = encodeMessage(message);
		const describe = (): string => `offers the snapshot at ${meta.index}, ${totalBytes} B`;
		this.carry(message.to, bytes.length + 64, hashBytes(bytes), describe, (receiver) => {
			const offered = decodeMessage(bytes) as MessageOf<'snapshot'>;
			receiveSnapshot(receiver, offered, { meta, totalBytes, digest }, send);
		});
	}
}
