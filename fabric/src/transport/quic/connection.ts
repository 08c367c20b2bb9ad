// Owns one QUIC connection over quiche: datagrams in and out, its timer, its streams, its end. Every call runs to its end without waiting; what has
// happened is told by events.
import { EventEmitter } from 'node:events';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import type { DatagramPort, HostPort } from '../../effects/packets.js';
import { transportErrors } from '../errors.js';
import type { Quiche, QuicheConnection, QuicheError } from './binding.js';
import { QuicStream } from './stream.js';

/** Codes with which a connection or a stream is ended. Only their owner reads meaning into them: a peer learns no reason. */
export const quicCode = Object.freeze({ done: 0, refused: 1 });

const READ_BYTES = 64 * 1024;

const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

export interface QuicConnectionOptions {
	readonly native: QuicheConnection;
	readonly quiche: Quiche;
	readonly port: DatagramPort;
	readonly remote: HostPort;
	readonly clock: Clock;
	readonly datagramBytesMax: number;
}

interface Events {
	/** The handshake is done: now, before anything is read, somebody judges the peer. */
	established: [];
	/** The peer opened a stream. */
	stream: [stream: QuicStream];
	/** Over, for whatever reason. Streams have been ended before. */
	close: [];
	/** Nothing will be sent any more, not even to late datagrams of the peer. */
	gone: [];
}

export class QuicConnection extends EventEmitter<Events> {
	readonly remote: HostPort;
	readonly #options: QuicConnectionOptions;
	readonly #native: QuicheConnection;
	readonly #local: HostPort;
	readonly #streams = new Map<number, QuicStream>();
	/** Streams that each side opened: ids rise by four, those of the caller are even. */
	#nextOwn = 0;
	#nextPeer = 0;
	/** Below `#nextPeer`, but nothing of them has come yet: datagrams overtake each other. No more than the peer may open. */
	readonly #overtaken = new Set<number>();
	/** Where the next datagram is written; the socket holds it until it is sent. */
	#unsent: Buffer | undefined;
	#timer: Timer | undefined;
	#established = false;
	#progressing = false;
	#scheduled = false;
	#destroyed = false;
	#gone = false;

	constructor(options: QuicConnectionOptions) {
		super();
		this.#options = options;
		this.#native = options.native;
		this.#local = { host: options.port.host, port: options.port.port };
		this.remote = options.remote;
	}

	/** Sends what is due at first: a caller's greeting. */
	start(): void {
		this.#progress();
	}

	get established(): boolean {
		return this.#established;
	}

	get destroyed(): boolean {
		return this.#destroyed;
	}

	/** Datagrams of the peer that proved to be its own. */
	get received(): number {
		return this.#native.stats().recv;
	}

	/** Whether the peer came back with the keys of an earlier connection instead of showing its certificate. */
	get resumed(): boolean {
		return this.#native.isResumed();
	}

	/** DER, leaf first; empty when the peer showed none. */
	get chain(): readonly Uint8Array[] {
		return this.#native.peerCertChain() ?? [];
	}

	/** Why it ended, as far as either side said. */
	get ending(): QuicheError | undefined {
		return this.#native.peerError() ?? this.#native.localError() ?? undefined;
	}

	/** Throws IM_TRANSPORT_CHANNELS_MAX when the peer takes no more streams now, IM_TRANSPORT_CLOSED after the end. */
	open(): QuicStream {
		if (this.#destroyed) throw new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED');
		if (this.#native.peerStreamsLeftBidi() === 0)
			throw new MeshError(transportErrors, 'IM_TRANSPORT_CHANNELS_MAX', 'as many exchanges as the peer takes at once');
		const stream = this.#add(this.#nextOwn);
		this.#nextOwn += 4;
		return stream;
	}

	receive(from: HostPort, datagram: Uint8Array): void {
		if (this.#gone) return;
		try {
			this.#native.recv(datagram, { from, to: this.#local });
		} catch {
			// A failed handshake or a broken rule of the protocol: quiche has closed the connection and will say so to the peer.
		}
		this.#progressSoon();
	}

	/** Asks the peer for a sign of life. */
	ping(): void {
		if (this.#destroyed) return;
		this.#native.sendAckEliciting();
		this.#progress();
	}

	/** Ends it now, streams and all, and tells the peer. */
	destroy(code: number = quicCode.done): void {
		if (this.#destroyed) return;
		try {
			this.#native.close(true, code, Buffer.alloc(0));
		} catch {
			// Already closing.
		}
		this.#end();
		this.#progress();
	}

	/** Ends it and forgets it at once: the socket is about to close. */
	abandon(): void {
		this.destroy();
		this.#goAway();
	}

	/** After all datagrams that wait at the socket: they are read together and share one acknowledgement. */
	#progressSoon(): void {
		if (this.#scheduled) return;
		this.#scheduled = true;
		setImmediate(() => {
			this.#scheduled = false;
			this.#progress();
		});
	}

	/** Moves everything as far as it goes. What a listener does meanwhile is sent at its end. */
	#progress(): void {
		if (this.#gone || this.#progressing) return;
		this.#progressing = true;
		try {
			this.#readAll();
			this.#flush();
		} finally {
			this.#progressing = false;
		}
		if (this.#native.isClosed()) return this.#goAway();
		// While it drains it only answers late datagrams with the news of its end.
		if (this.#native.isDraining()) this.#end();
		return this.#arm();
	}

	#readAll(): void {
		if (!this.#established && this.#native.isEstablished()) {
			this.#established = true;
			this.emit('established');
		}
		if (this.#established && !this.#destroyed) {
			for (const id of this.#native.readable()) this.#read(id);
			for (const id of this.#native.writable()) this.#streams.get(id)?.flush();
		}
	}

	#read(id: number): void {
		if (this.#destroyed) return;
		const stream = this.#streams.get(id) ?? this.#incoming(id);
		for (;;) {
			let read: readonly [number, boolean] | null;
			try {
				read = this.#native.streamRecv(id, readBuffer);
			} catch {
				stream?.aborted();
				return;
			}
			if (read === null) return;
			const [bytes, end] = read;
			if (bytes > 0) stream?.received(Buffer.from(readBuffer.subarray(0, bytes)));
			if (end) stream?.ended();
			if (end || this.#destroyed) return;
		}
	}

	/** A stream that the peer has just opened; undefined for one that is over here. */
	#incoming(id: number): QuicStream | undefined {
		if (this.listenerCount('stream') === 0) return undefined;
		if (id < this.#nextPeer && !this.#overtaken.delete(id)) return undefined;
		for (; this.#nextPeer <= id; this.#nextPeer += 4) if (this.#nextPeer < id) this.#overtaken.add(this.#nextPeer);
		const stream = this.#add(id);
		this.emit('stream', stream);
		return stream;
	}

	#add(id: number): QuicStream {
		const stream = new QuicStream(id, this.#native, this.#options.quiche.Shutdown, {
			wantsToSend: () => {
				if (!this.#destroyed) this.#progress();
			},
			over: () => this.#streams.delete(id),
		});
		this.#streams.set(id, stream);
		return stream;
	}

	#flush(): void {
		const { port, datagramBytesMax } = this.#options;
		for (;;) {
			const datagram = this.#unsent ?? Buffer.allocUnsafe(datagramBytesMax);
			this.#unsent = datagram;
			let sent: readonly [number, unknown] | null;
			try {
				sent = this.#native.send(datagram);
			} catch {
				// Nothing can be sent on what has broken; it is closed, or its timer will close it.
				return;
			}
			if (sent === null) return;
			this.#unsent = undefined;
			port.send(this.remote, datagram.subarray(0, sent[0]));
		}
	}

	#arm(): void {
		this.#timer?.cancel();
		this.#timer = undefined;
		const delayMs = this.#native.timeout();
		if (delayMs === null) return;
		// It tells whole milliseconds, rounded down.
		this.#timer = this.#options.clock.after(
			delayMs + 1,
			() => {
				this.#native.onTimeout();
				this.#progress();
			},
			{ unref: true },
		);
	}

	#end(): void {
		if (this.#destroyed) return;
		this.#destroyed = true;
		for (const stream of this.#streams.values()) stream.aborted();
		this.emit('close');
	}

	#goAway(): void {
		if (this.#gone) return;
		this.#gone = true;
		this.#timer?.cancel();
		this.#end();
		this.emit('gone');
	}
}
