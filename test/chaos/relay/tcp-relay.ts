// Owns the relay of one TCP port of one node: finds out which node calls, joins both sides by pipes, and breaks connections when told.
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '@infermesh/proto';
import type { Link, Links } from './link.js';
import { Pipe } from './pipe.js';

/** Connections of one port; more are refused. */
const connectionsMax = 512;

export interface TcpRelayOptions {
	/** Number of the node behind it. */
	readonly to: number;
	readonly front: { readonly host: string; readonly port: number };
	readonly back: { readonly host: string; readonly port: number };
	readonly links: Links;
	readonly clock: Clock;
	/** The address the others know a node by: what it says comes from there. */
	readonly frontOf: (node: number) => string;
	/** Which node opened a connection to the front. */
	readonly callerOf: (socket: Socket) => number | undefined;
}

interface Connection {
	readonly from: number | undefined;
	readonly caller: Socket;
	callee: Socket | undefined;
	pipes: readonly Pipe[];
	readonly close: () => void;
}

export class TcpRelay {
	readonly #options: TcpRelayOptions;
	readonly #server: Server;
	readonly #open = new Set<Connection>();

	constructor(options: TcpRelayOptions) {
		this.#options = options;
		this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) =>
			this.#accept(socket),
		);
	}

	listen(): Promise<void> {
		const { host, port } = this.#options.front;
		return new Promise((resolve, reject) => {
			this.#server.once('error', reject);
			this.#server.listen(port, host, resolve);
		});
	}

	/** Breaks all connections that node `from` has opened here. */
	reset(from: number): void {
		for (const connection of this.#of(from)) {
			const link = this.#options.links.between(from, this.#options.to);
			if (link !== undefined) link.counts.reset++;
			connection.caller.resetAndDestroy();
			connection.callee?.resetAndDestroy();
			connection.close();
		}
	}

	/** The node behind loses these connections; node `from` is not told. */
	halfOpen(from: number): void {
		for (const { callee, pipes } of this.#of(from)) {
			if (callee === undefined) continue;
			const link = this.#options.links.between(from, this.#options.to);
			if (link !== undefined) link.counts.halfOpened++;
			for (const pipe of pipes) pipe.swallow();
			callee.resetAndDestroy();
		}
	}

	close(): void {
		this.#server.close();
		for (const { caller, callee, close } of this.#open) {
			caller.destroy();
			callee?.destroy();
			close();
		}
	}

	#of(from: number): Connection[] {
		return [...this.#open].filter((connection) => connection.from === from);
	}

	#accept(caller: Socket): void {
		caller.on('error', () => undefined);
		if (this.#open.size >= connectionsMax) return void caller.destroy();
		const { callerOf, links, to } = this.#options;
		const from = callerOf(caller);
		const ways = [links.between(from, to), links.between(to, from)] as const;
		const forget = ways.map((link) => link?.onChange(() => reach()));
		const connection: Connection = {
			from,
			caller,
			callee: undefined,
			pipes: [],
			close: () => {
				for (const one of forget) one?.();
				for (const pipe of connection.pipes) pipe.close();
				this.#open.delete(connection);
			},
		};
		this.#open.add(connection);
		caller.once('close', () => {
			if (connection.callee === undefined) connection.close();
		});
		// A handshake needs both ways: until then the caller waits with a connection on which nothing comes.
		const reach = (): void => {
			const cut = ways.filter((link) => link?.rules.cut === true);
			for (const link of cut) if (link !== undefined) link.counts.cut++;
			if (connection.callee === undefined && cut.length === 0 && !caller.destroyed) this.#connect(connection, ways);
		};
		reach();
	}

	#connect(connection: Connection, [there, back]: readonly [Link | undefined, Link | undefined]): void {
		const { back: behind, clock, frontOf } = this.#options;
		const { caller, from } = connection;
		const callee = connect({
			host: behind.host,
			port: behind.port,
			noDelay: true,
			allowHalfOpen: true,
			...(from === undefined ? {} : { localAddress: frontOf(from) }),
		});
		connection.callee = callee;
		connection.pipes = [new Pipe(caller, callee, there, clock), new Pipe(callee, caller, back, clock)];
		const closed = (): void => {
			if (caller.destroyed && callee.destroyed) connection.close();
		};
		caller.once('close', closed);
		callee.once('close', closed);
		caller.resume();
	}
}
