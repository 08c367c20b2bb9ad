// Owns telling HTTP/2 from HTTP/1.1 on one port: in the clear by the first bytes of a connection (RFC 9113 §3.4, prior knowledge), under TLS by ALPN.
// No method of HTTP/1.1 begins as the preface of HTTP/2 does, so the first three bytes decide; a client gets `waitMs` for them.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '@infermesh/proto';

export interface Versions {
	readonly http1: (socket: Socket) => void;
	readonly http2: (socket: Socket) => void;
	/** Nothing that tells came in time. */
	readonly late: (socket: Socket) => void;
}

const PREFACE = Buffer.from('PRI');

/** Hands new connections to their versions. */
export class Sniffer {
	readonly #versions: Versions;
	readonly #clock: Clock;
	readonly #waitMs: number;
	/** Connections that have not told yet. */
	readonly #waiting = new Set<Socket>();

	constructor(versions: Versions, clock: Clock, waitMs: number) {
		this.#versions = versions;
		this.#clock = clock;
		this.#waitMs = waitMs;
	}

	/** Takes a TLS connection whose version was agreed on. */
	agreed(socket: TLSSocket): void {
		if (socket.alpnProtocol === 'h2') this.#versions.http2(socket);
		else this.#versions.http1(socket);
	}

	/** Takes a cleartext connection. What was read of it is put back before it is handed on. */
	listen(socket: Socket): void {
		/** Too few bytes to tell. Put back only in the end: it would make the socket readable again at once. */
		let kept: Buffer | undefined;
		const stop = (): void => {
			this.#waiting.delete(socket);
			socket.off('readable', look);
			socket.off('end', hand1);
			socket.off('error', stop);
			socket.off('close', stop);
			timer.cancel();
		};
		const hand = (to: (socket: Socket) => void): void => {
			stop();
			if (kept !== undefined) socket.unshift(kept);
			to(socket);
		};
		const hand1 = (): void => hand(this.#versions.http1);
		const look = (): void => {
			const bytes = socket.read() as Buffer | null;
			if (bytes === null) return;
			kept = kept === undefined ? bytes : Buffer.concat([kept, bytes]);
			const seen = Math.min(kept.length, PREFACE.length);
			if (PREFACE.compare(kept, 0, seen, 0, seen) !== 0) hand1();
			else if (seen === PREFACE.length) hand(this.#versions.http2);
		};
		const timer = this.#clock.after(this.#waitMs, () => hand(this.#versions.late), { unref: true });
		this.#waiting.add(socket);
		socket.on('readable', look);
		socket.on('end', hand1);
		// A connection that breaks before it says anything is of no concern to anybody.
		socket.on('error', stop);
		socket.on('close', stop);
	}

	/** Closes connections that have said nothing that tells. */
	closeWaiting(): void {
		for (const socket of this.#waiting) socket.destroy();
	}
}
