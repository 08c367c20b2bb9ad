// Owns the load of the router benches: requests at intended times whatever the answers do (open loop), over a fixed number of keep-alive
// connections. Latency runs from the intended time, so that waiting for a busy connection counts. Raw sockets: a client that costs
// little leaves the machine to what is measured.
import { connect, type Socket } from 'node:net';
import type { Random } from '@infermesh/proto';

export interface SliceResult {
	readonly requests: number;
	readonly failures: number;
	/** From the intended send time to the last byte, ms. */
	readonly latencyMs: readonly number[];
	/** From the write of the request to the last byte, ms. */
	readonly serviceMs: readonly number[];
}

const HEAD_END = Buffer.from('\r\n\r\n');

/** One keep-alive connection; one request at a time. */
class Connection {
	readonly #socket: Socket;
	#parts: Buffer[] = [];
	#bytes = 0;
	/** Bytes of the whole response, once its head is here. */
	#whole = -1;
	#ok = false;
	#done: ((ok: boolean) => void) | undefined;

	constructor(port: number) {
		this.#socket = connect({ host: '127.0.0.1', port, noDelay: true });
		this.#socket.on('data', (chunk: Buffer) => this.#data(chunk));
		this.#socket.on('error', () => this.#end(false));
		this.#socket.on('close', () => this.#end(false));
	}

	opened(): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#socket.once('connect', resolve);
			this.#socket.once('error', reject);
		});
	}

	send(request: Buffer, done: (ok: boolean) => void): void {
		this.#done = done;
		if (this.#socket.destroyed) return this.#end(false);
		this.#socket.write(request);
	}

	close(): void {
		this.#socket.destroy();
	}

	get closed(): boolean {
		return this.#socket.destroyed;
	}

	#data(chunk: Buffer): void {
		this.#parts.push(chunk);
		this.#bytes += chunk.length;
		if (this.#whole < 0) this.#head();
		if (this.#whole >= 0 && this.#bytes >= this.#whole) this.#end(this.#ok);
	}

	#head(): void {
		const all = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
		const end = all.indexOf(HEAD_END);
		if (end < 0) return;
		const head = all.toString('latin1', 0, end);
		const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
		if (length === undefined) return (this.#socket.destroy(), undefined);
		this.#ok = head.startsWith('HTTP/1.1 200');
		this.#whole = end + HEAD_END.length + Number(length);
	}

	#end(ok: boolean): void {
		const done = this.#done;
		this.#done = undefined;
		this.#parts = [];
		this.#bytes = 0;
		this.#whole = -1;
		done?.(ok);
	}
}

/** A set of connections to one port, reused over slices. */
export class LoadClient {
	readonly #port: number;
	readonly #connections: number;
	#idle: Connection[] = [];

	constructor(port: number, connections: number) {
		this.#port = port;
		this.#connections = connections;
	}

	/** Makes up the connections that are missing: all at first, later those a server has closed for being idle. */
	async open(): Promise<void> {
		this.#idle = this.#idle.filter((each) => !each.closed);
		const missing = this.#connections - this.#idle.length;
		const made = Array.from({ length: missing }, () => new Connection(this.#port));
		await Promise.all(made.map((each) => each.opened()));
		this.#idle.push(...made);
	}

	close(): void {
		for (const each of this.#idle) each.close();
	}

	/** Sends at `ratePerS` with exponential gaps for `durationMs` and waits for the last answer. `open` comes before. */
	slice(requests: readonly Buffer[], ratePerS: number, durationMs: number, random: Random): Promise<SliceResult> {
		const intendedMs: number[] = [];
		const startMs = performance.now() + 5;
		for (let at = startMs; at < startMs + durationMs; at -= (Math.log(1 - random.nextFloat()) * 1000) / ratePerS)
			intendedMs.push(at);
		return new Promise((resolve) => {
			const latencyMs: number[] = [];
			const serviceMs: number[] = [];
			const waiting: number[] = [];
			let next = 0;
			let failures = 0;
			const finished = (): boolean => latencyMs.length + failures === intendedMs.length;
			const send = (connection: Connection, at: number): void => {
				const sentMs = performance.now();
				connection.send(requests[at % requests.length] as Buffer, (ok) => {
					const now = performance.now();
					if (ok) {
						latencyMs.push(now - (intendedMs[at] as number));
						serviceMs.push(now - sentMs);
					} else failures++;
					const queued = waiting.shift();
					if (queued === undefined) this.#idle.push(connection);
					else send(connection, queued);
					if (finished()) resolve({ requests: intendedMs.length, failures, latencyMs, serviceMs });
				});
			};
			const due = (): void => {
				const now = performance.now();
				for (; next < intendedMs.length && (intendedMs[next] as number) <= now; next++) {
					const connection = this.#idle.pop();
					if (connection === undefined) waiting.push(next);
					else send(connection, next);
				}
				if (next < intendedMs.length) setTimeout(due, Math.max(0, (intendedMs[next] as number) - performance.now()));
			};
			due();
		});
	}
}
