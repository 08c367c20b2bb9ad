// Owns a user-space relay: what is sent to one loopback address goes on to the same ports of another, datagrams and connections alike, each way later
// by a given time. It keeps the order of what it carries.
import { createSocket, type Socket } from 'node:dgram';
import { type Socket as Connection, connect, createServer, type Server } from 'node:net';
import type { Teardown } from './mesh.js';

export interface RelayOptions {
	/** Address it listens on, and the one behind it. */
	readonly front: string;
	readonly back: string;
	readonly ports: readonly number[];
	readonly delayMs: number;
}

export class Relay {
	/** Datagrams and pieces of streams carried so far. */
	carried = 0;
	readonly #options: RelayOptions;
	readonly #closers: (() => void)[] = [];
	/** Cut, it carries nothing: datagrams vanish, connections are refused. */
	cut = false;

	private constructor(options: RelayOptions) {
		this.#options = options;
	}

	/** Ends with the test. */
	static async start(t: Teardown, options: RelayOptions): Promise<Relay> {
		const relay = new Relay(options);
		t.teardown(() => {
			for (const close of relay.#closers) close();
		});
		for (const port of options.ports) {
			await relay.#datagrams(port);
			await relay.#connections(port);
		}
		return relay;
	}

	#later(carry: () => void): void {
		setTimeout(() => {
			if (this.cut) return;
			this.carried++;
			carry();
		}, this.#options.delayMs);
	}

	/** Each sender has a socket of its own towards the back, so that answers find their way. */
	async #datagrams(port: number): Promise<void> {
		const { front, back } = this.#options;
		const outside = createSocket('udp4');
		const inside = new Map<string, Socket>();
		outside.on('message', (bytes, from) => {
			const key = `${from.address}:${from.port}`;
			let socket = inside.get(key);
			if (socket === undefined) {
				socket = createSocket('udp4');
				socket.on('message', (answer) => this.#later(() => outside.send(answer, from.port, from.address)));
				socket.on('error', () => undefined);
				inside.set(key, socket);
			}
			const to = socket;
			this.#later(() => to.send(bytes, port, back));
		});
		await new Promise<void>((resolve) => outside.bind(port, front, resolve));
		this.#closers.push(() => {
			outside.close();
			for (const socket of inside.values()) socket.close();
		});
	}

	async #connections(port: number): Promise<void> {
		const { front, back } = this.#options;
		const open = new Set<Connection>();
		const server: Server = createServer((outer) => {
			if (this.cut) return void outer.destroy();
			const inner = connect(port, back);
			for (const [from, to] of [
				[outer, inner],
				[inner, outer],
			] as const) {
				open.add(from);
				from.on('data', (bytes) => this.#later(() => to.write(bytes)));
				from.on('end', () => this.#later(() => to.end()));
				from.on('error', () => to.destroy());
				from.on('close', () => {
					open.delete(from);
					this.#later(() => to.destroy());
				});
			}
		});
		await new Promise<void>((resolve) => server.listen(port, front, resolve));
		this.#closers.push(() => {
			server.close();
			for (const connection of open) connection.destroy();
		});
	}
}
