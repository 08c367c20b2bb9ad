// Owns the real network of gossip: datagrams over UDP and exchanges over TCP on one port. Bounded in connections, sizes and time; what goes wrong
// with a datagram is silence, what goes wrong with an exchange is a named error.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { type AddressInfo, connect, createServer, isIPv6, type Server, type Socket } from 'node:net';
import { type Clock, MeshError } from '@infermesh/proto';
import type { Address, PacketHandlers, PacketNetwork } from '../effects/packets.js';
import type { StreamFraming, UnwrapProgress } from './codec.js';
import { membershipErrors } from './errors.js';
import { splitAddress } from './mesh-codec/wire.js';

export interface UdpTcpOptions {
	/** Where to listen; port 0 takes a free one. */
	readonly bind: Address;
	readonly clock: Clock;
	readonly framing: StreamFraming;
	/** Largest request read, bytes, framing included. */
	readonly requestMaxBytes: number;
	readonly limits?: Partial<UdpTcpLimits>;
}

export interface UdpTcpLimits {
	/** Incoming connections at once; one more is closed. */
	readonly connectionsMax: number;
	/** An incoming connection must be done within this. */
	readonly connectionTimeoutMs: number;
	/** Asked of the kernel for datagrams that wait, so that a busy moment loses none. */
	readonly receiveBufferBytes: number;
}

export const udpTcpLimits: UdpTcpLimits = Object.freeze({
	connectionsMax: 128,
	connectionTimeoutMs: 10_000,
	receiveBufferBytes: 2 * 1_024 * 1_024,
});

/** Attempts at finding a port that is free for both UDP and TCP. */
const bindAttempts = 16;

export class UdpTcpNetwork implements PacketNetwork {
	readonly #options: UdpTcpOptions;
	readonly #limits: UdpTcpLimits;
	#udp: UdpSocket | undefined;
	#tcp: Server | undefined;
	readonly #open = new Set<Socket>();
	#incoming = 0;
	/** Datagrams handed to the socket and not yet to the kernel; who closes waits for them, or a leave would never be heard. */
	#sending = 0;
	#sent: (() => void) | undefined;
	/** Connections closed because there were too many. */
	connectionsRefused = 0;
	/** Datagrams the kernel would not take. */
	sendErrors = 0;

	constructor(options: UdpTcpOptions) {
		this.#options = options;
		this.#limits = { ...udpTcpLimits, ...options.limits };
	}

	send(to: Address, packet: Uint8Array): void {
		const target = splitAddress(to);
		if (target === undefined || this.#udp === undefined) {
			this.sendErrors++;
			return;
		}
		this.#sending++;
		this.#udp.send(packet, target.port, target.host, (error) => {
			if (error !== null) this.sendErrors++;
			if (--this.#sending === 0) this.#sent?.();
		});
	}

	async exchange(
		to: Address,
		request: Uint8Array,
		options: { readonly timeoutMs: number; readonly answerMaxBytes: number },
	): Promise<Uint8Array> {
		const target = splitAddress(to);
		if (target === undefined) throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_ADDRESS', `${to} is no address`);
		const socket = connect({ host: target.host, port: target.port, noDelay: true });
		socket.on('connect', () => socket.write(this.#options.framing.wrap(request)));
		return this.#whole(socket, options.answerMaxBytes, options.timeoutMs, to).finally(() => socket.destroy());
	}

	async listen(handlers: PacketHandlers): Promise<Address> {
		const bind = /^(?<host>.+):(?<port>\d{1,5})$/.exec(this.#options.bind)?.groups;
		const host = bind?.['host']?.replace(/^\[(.*)\]$/, '$1') ?? '';
		const wanted = Number(bind?.['port']);
		if (host === '' || !(wanted <= 65_535))
			throw new MeshError(
				membershipErrors,
				'IM_MEMBERSHIP_ADDRESS',
				`${this.#options.bind} is no address to listen on`,
			);
		for (let attempt = 1; ; attempt++) {
			try {
				return await this.#bind(host, wanted, handlers);
			} catch (error) {
				// Another process may hold the same number for the other protocol; with a port of choice that is final.
				if (wanted !== 0 || attempt === bindAttempts)
					throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_BIND', undefined, {
						cause: error,
						where: this.#options.bind,
					});
			}
		}
	}

	async close(): Promise<void> {
		const { promise, resolve } = Promise.withResolvers<void>();
		if (this.#tcp === undefined) resolve();
		else this.#tcp.close(() => resolve());
		for (const socket of this.#open) socket.destroy();
		const udp = this.#udp;
		this.#udp = undefined;
		this.#tcp = undefined;
		const sent = Promise.withResolvers<void>();
		this.#sent = sent.resolve;
		if (this.#sending > 0) await sent.promise;
		udp?.close();
		await promise;
	}

	async #bind(host: string, port: number, handlers: PacketHandlers): Promise<Address> {
		const tcp = createServer({ noDelay: true }, (socket) => this.#accept(socket, handlers));
		await once(tcp, (ready) => tcp.listen(port, host, ready));
		const { port: bound } = tcp.address() as AddressInfo;
		const udp = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', recvBufferSize: this.#limits.receiveBufferBytes });
		try {
			await once(udp, (ready) => udp.bind(bound, host, ready));
		} catch (error) {
			tcp.close();
			throw error;
		}
		udp.on('message', (packet, from) => handlers.onPacket(textOf(from.address, from.port), packet));
		// An ICMP refusal of an earlier datagram; silence is the contract.
		udp.on('error', () => this.sendErrors++);
		tcp.on('error', () => this.sendErrors++);
		this.#udp = udp;
		this.#tcp = tcp;
		return textOf(host, bound);
	}

	#accept(socket: Socket, handlers: PacketHandlers): void {
		if (this.#incoming >= this.#limits.connectionsMax) {
			this.connectionsRefused++;
			socket.destroy();
			return;
		}
		this.#incoming++;
		const from = textOf(socket.remoteAddress ?? '', socket.remotePort ?? 0);
		const deadline = this.#options.clock.after(this.#limits.connectionTimeoutMs, () => socket.destroy(), {
			unref: true,
		});
		void this.#whole(socket, this.#options.requestMaxBytes, this.#limits.connectionTimeoutMs, from)
			.then((request) => handlers.onExchange(from, request))
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

function textOf(host: string, port: number): Address {
	return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Resolves when `begin` calls back, rejects on the first error event before that. */
async function once(
	emitter: {
		once(event: 'error', listener: (error: Error) => void): unknown;
		off(event: 'error', listener: (error: Error) => void): unknown;
	},
	begin: (ready: () => void) => void,
): Promise<void> {
	const { promise, resolve, reject } = Promise.withResolvers<void>();
	emitter.once('error', reject);
	begin(resolve);
	await promise.finally(() => emitter.off('error', reject));
}
