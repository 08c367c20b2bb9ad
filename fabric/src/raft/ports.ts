// Owns the interface between a Raft group and whatever carries its messages: gRPC streams in a mesh, a simulated network in tests. Messages may be
// lost, late, repeated and out of order; Raft copes. Snapshots go beside them, from file to file.
import type { AnnouncedSnapshot, SnapshotReader, SnapshotWriter } from '../log/ports.js';
import type { Message, MessageOf, PeerId } from './messages.js';

export interface RaftTransport {
	/** Sends `message` to `message.to` as well as it can. Never throws, never waits, never calls back from inside. */
	send(group: number, message: Message): void;
	/**
	 * Streams a snapshot and then its announcement. `done` is called exactly once, later: true when the receiver holds all of it. The transport
	 * closes the reader.
	 */
	sendSnapshot(
		group: number,
		message: MessageOf<'snapshot'>,
		reader: SnapshotReader,
		done: (ok: boolean) => void,
	): void;
	/** Where what arrives for a group goes; set once per group, undefined to stop. */
	listen(group: number, inbox: RaftInbox | undefined): void;
}

/** What a group does with what arrives. */
export interface RaftInbox {
	readonly onMessage: (message: Message) => void;
	/** Messages to this peer are being lost. */
	readonly onUnreachable: (peer: PeerId) => void;
	/** A snapshot begins to arrive: where its bytes go, or undefined when it is not wanted. */
	readonly onSnapshotOffered: (
		message: MessageOf<'snapshot'>,
		announced: AnnouncedSnapshot,
	) => SnapshotWriter | undefined;
	/** It has arrived and is durable. */
	readonly onSnapshotReceived: (message: MessageOf<'snapshot'>) => void;
}
