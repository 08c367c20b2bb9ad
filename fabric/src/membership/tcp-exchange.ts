// Owns exchanges over plain TCP, for peers that know no certificates: one question, one answer, in the framing of a codec. Bounded in connections, sizes and
// time; what goes wrong is a named error.
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type Clock, MeshError } from '@infermesh/proto';
import type { Address, Answer, ExchangeOptions, ExchangePort, OnExchange } from '../effects/packets.js';
import { formatHostPort, parseBind } from './addresses.js';
import type { StreamFraming, UnwrapProgress } from './codec.js';
import { membershipErrors } from './errors.js';
import { splitAddress } from './mesh-codec/wire.js';

export interface TcpExchangeOptions {
	readonly clock: Clock;
	readonly framing: StreamFraming;
	/** Largest request read, bytes, framing included. */
	readonly requestMaxBytes: number;
	readonly limits?: Partial<TcpExchangeLimits>;
}

export interface TcpExchangeLimits {
	/** Incoming connections at once; one more is closed. */
	readonly connectionsMax: number;
	/** An incoming connection must be done within this. */
	readonly connectionTimeoutMs: number;
}

export const tcpExchangeLimits: TcpExchangeLimits = Object.freeze({ connectionsMax: 128, connectionTimeoutMs: 10_000 });

export class TcpExchange implements ExchangePort {
	readonly #options: TcpExchangeOptions;
	readonly #limits: TcpExchangeLimits;
	#server: Server | undefined;
	readonly #open = new Set<Socket>();
	#incoming = 0;
	/** Connections closed because there were too many. */
	connectionsRefused = 0;
	/** Errors of accept itself, such as too many open files. */
	acceptErrors = 0;

	constructor(options: TcpExchangeOptions) {
		this.#options = options;
		this.#limits = { ...tcpExchangeLimits, ...options.limits };
	}

	/** Nobody shows a certificate here, so that `expectedNode` says nothing. */
	async exchange(to: Address, request: Uint8Array, options: ExchangeOptions): Promise<Answer> {
		const target = splitAddress(to);
		if (target === undefined) throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_ADDRESS', `${to} is no address`);
		const socket = connect({ host: target.host, port: target.port, noDelay: true });
		socket.on('connect', () => socket.write(this.#options.framing.wrap(request)));
		const bytes = await this.#whole(socket, options.answerMaxBytes, options.timeoutMs, to).finally(() =>
			socket.destroy(),
		);
		return { bytes, node: undefined };
	}

	/** Rejects with what `listen` of node:net fails with, or IM_MEMBERSHIP_ADDRESS. */
	listen(at: Address, onExchange: OnExchange): Promise<Address> {
		const { host, port } = parseBind(at);
		const server = createServer({ noDelay: true }, (socket) => this.#accept(socket, onExchange));
		return new Promise((resolve, reject) => {
			server.once('error', reject);
			server.listen(port, host, () => {
				server.off('error', reject);
				server.on('error', () => this.acceptErrors++);
				this.#server = server;
				resolve(formatHostPort(host, (server.address() as AddressInfo).port));
			});
		});
	}

	async close(): Promise<void> {
		const { promise, resolve } = Promise.withResolvers<void>();
		if (this.#server === undefined) resolve();
		else this.#server.close(() => resolve());
		this.#server = undefined;
		for (const socket of this.#open) socket.destroy();
		await promise;
	}

	#accept(socket: Socket, onExchange: OnExchange): void {
		if (this.#incoming >= this.#limits.connectionsMax) {
			this.connectionsRefused++;
			socket.destroy();
			return;
		}
		this.#incoming++;
		const from = formatHostPort(socket.remoteAddress ?? '', socket.remotePort ?? 0);
		const deadline = this.#options.clock.after(this.#limits.connectionTimeoutMs, () => socket.destroy(), {
			unref: true,
		});
		void this.#whole(socket, this.#options.requestMaxBytes, this.#limits.connectionTimeoutMs, from)
			.then((request) => onExchange(from, request, undefined))
			.then(
				(answer) => socket.end(this.#options.framing.wrap(answer), () => socket.destroySoon()),
				// Refused or unfinished: the peer sees a closed connection, the codec has counted why.
				() => socket.destroy(),
			);
		socket.once('close', () => {
			this.#incoming--;
			deadline.cancel();
		});
	}

	/** Reads until the framing has one whole message. */
	#whole(socket: Socket, maxBytes: number, timeoutMs: number, peer: Address): Promise<Uint8Array> {
		this.#open.add(socket);
		const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
		const fail = (message: string, cause?: unknown): void =>
			reject(new MeshError(membershipErrors, 'IM_MEMBERSHIP_EXCHANGE', message, { where: peer, cause }));
		const timer = this.#options.clock.after(timeoutMs, () => fail(`not finished within ${timeoutMs} ms`), {
			unref: true,
		});
		const received = new Received();
		let progress: UnwrapProgress | undefined;
		const look = (ended: boolean): void => {
			if (received.length < received.wanted && !ended) return;
			const result = this.#options.framing.unwrap(received.view(), ended, progress);
			if (result.kind === 'message') resolve(new Uint8Array(result.message));
			else if (result.kind === 'malformed' || ended) fail('not a whole message');
			else {
				received.wanted = result.atLeastBytes;
				progress = result.progress;
			}
			if (received.wanted > maxBytes + 64) fail(`more than ${maxBytes} bytes`);
		};
		socket.on('data', (chunk) => {
			if (received.length + chunk.length > maxBytes + 64) fail(`more than ${maxBytes} bytes`);
			else {
				received.push(chunk);
				look(false);
			}
		});
		socket.once('end', () => look(true));
		socket.once('error', (error) => fail('the connection failed', error));
		socket.once('close', () => {
			this.#open.delete(socket);
			fail('the connection closed');
		});
		return promise.finally(() => timer.cancel());
	}
}

/** Bytes that come in pieces, in one growing buffer. */
class Received {
	#bytes = new Uint8Array(4_096);
	length = 0;
	/** Not worth looking before this many have come. */
	wanted = 0;

	push(chunk: Uint8Array): void {
		const length = this.length + chunk.length;
		if (length > this.#bytes.length) {
			const larger = new Uint8Array(Math.max(length, this.#bytes.length * 2));
			larger.set(this.#bytes.subarray(0, this.length));
			this.#bytes = larger;
		}
		this.#bytes.set(chunk, this.length);
		this.length = length;
	}

	view(): Uint8Array {
		return this.#bytes.subarray(0, this.length);
	}
}
