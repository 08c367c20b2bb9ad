// Owns the streaming load of the router benches: many open server-sent event streams over raw sockets, their events counted and the longest
// silence inside each noted.
import { connect, type Socket } from 'node:net';

const DATA = Buffer.from('data:');
const OK = Buffer.from('HTTP/1.1 200');
const DONE = Buffer.from('[DONE]');

export class StreamClient {
	events = 0;
	/** Streams that have ended with `[DONE]`. */
	done = 0;
	/** Connections that broke before that. */
	broken = 0;
	/** Longest time between two reads of one stream since the last `resetPause`, ms. */
	pauseMaxMs = 0;
	/** Response heads that were not 200. */
	refused = 0;
	readonly #port: number;
	readonly #sockets = new Set<Socket>();

	constructor(port: number) {
		this.#port = port;
	}

	get open(): number {
		return this.#sockets.size;
	}

	/** Opens a stream; resolves when its first event is here, or when it has failed. */
	start(request: Buffer): Promise<void> {
		return new Promise((resolve) => {
			const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
			this.#sockets.add(socket);
			let atMs = 0;
			let finished = false;
			socket.once('connect', () => socket.write(request));
			socket.on('data', (chunk: Buffer) => {
				const now = performance.now();
				if (atMs === 0 && !chunk.includes(OK)) {
					this.refused++;
					finished = true;
					socket.destroy();
					return;
				}
				if (atMs !== 0) this.pauseMaxMs = Math.max(this.pauseMaxMs, now - atMs);
				atMs = now;
				const count = countEvents(chunk);
				this.events += count;
				if (count > 0) resolve();
				if (!chunk.includes(DONE)) return;
				finished = true;
				this.done++;
				socket.destroy();
			});
			socket.on('error', () => undefined);
			socket.on('close', () => {
				this.#sockets.delete(socket);
				if (!finished && !this.#closing) this.broken++;
				resolve();
			});
		});
	}

	resetPause(): void {
		this.pauseMaxMs = 0;
	}

	#closing = false;

	close(): void {
		this.#closing = true;
		for (const socket of this.#sockets) socket.destroy();
	}
}

/** Events that begin in `chunk`; one cut by a chunk's edge is missed, which costs a count and no more. */
function countEvents(chunk: Buffer): number {
	let count = 0;
	for (let at = chunk.indexOf(DATA); at >= 0; at = chunk.indexOf(DATA, at + DATA.length)) count++;
	return count;
}
