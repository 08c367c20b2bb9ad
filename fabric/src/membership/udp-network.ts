// Owns the real network of gossip: datagrams over UDP, and on the same port number the connections of an ExchangePort: mTLS in a mesh, TCP beside Serf. What of
// that is carried by datagrams, QUIC, shares the UDP socket. What goes wrong with a datagram is silence.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { MeshError } from '@infermesh/proto';
import type {
	Address,
	Answer,
	ExchangeOptions,
	ExchangePort,
	HostPort,
	PacketHandlers,
	PacketNetwork,
} from '../effects/packets.js';
import { formatHostPort, parseBind } from './addresses.js';
import { membershipErrors } from './errors.js';
import { splitAddress } from './mesh-codec/wire.js';

export interface UdpNetworkOptions {
	/** Where to listen; port 0 takes one that is free for both. */
	readonly bind: Address;
	readonly exchanges: ExchangePort;
	/** Asked of the kernel for datagrams that wait, so that a busy moment loses none. */
	readonly receiveBufferBytes?: number;
}

const receiveBufferBytesDefault = 2 * 1_024 * 1_024;

/** Attempts at finding a port that is free for both UDP and TCP. */
const bindAttempts = 16;

export class UdpNetwork implements PacketNetwork {
	readonly #options: UdpNetworkOptions;
	#udp: UdpSocket | undefined;
	/** Datagrams handed to the socket and not yet to the kernel; who closes waits for them, or a leave would never be heard. */
	#sending = 0;
	#sent: (() => void) | undefined;
	/** Datagrams the kernel would not take. */
	sendErrors = 0;

	constructor(options: UdpNetworkOptions) {
		this.#options = options;
	}

	send(to: Address, packet: Uint8Array): void {
		const target = splitAddress(to);
		if (target === undefined) this.sendErrors++;
		else this.#send(target, packet);
	}

	#send(target: HostPort, packet: Uint8Array): void {
		if (this.#udp === undefined) {
			this.sendErrors++;
			return;
		}
		this.#sending++;
		this.#udp.send(packet, target.port, target.host, (error) => {
			if (error !== null) this.sendErrors++;
			if (--this.#sending === 0) this.#sent?.();
		});
	}

	exchange(to: Address, request: Uint8Array, options: ExchangeOptions): Promise<Answer> {
		return this.#options.exchanges.exchange(to, request, options);
	}

	/** Rejects with IM_MEMBERSHIP_ADDRESS or IM_MEMBERSHIP_BIND. */
	async listen(handlers: PacketHandlers): Promise<Address> {
		const { bind } = this.#options;
		const { host, port } = parseBind(bind);
		for (let attempt = 1; ; attempt++) {
			try {
				return await this.#bind(host, port, handlers);
			} catch (cause) {
				// Another process may hold the same number for the other protocol; with a port of choice that is final.
				if (port !== 0 || attempt === bindAttempts)
					throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_BIND', undefined, { cause, where: bind });
			}
		}
	}

	async close(): Promise<void> {
		// A guest says goodbye over the socket before that is taken away.
		const closed = this.#options.exchanges.close();
		const udp = this.#udp;
		this.#udp = undefined;
		const sent = Promise.withResolvers<void>();
		this.#sent = sent.resolve;
		if (this.#sending > 0) await sent.promise;
		udp?.close();
		await closed;
	}

	async #bind(host: string, port: number, handlers: PacketHandlers): Promise<Address> {
		const recvBufferSize = this.#options.receiveBufferBytes ?? receiveBufferBytesDefault;
		const udp = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', recvBufferSize });
		await new Promise<void>((resolve, reject) => {
			udp.once('error', reject);
			udp.bind(port, host, () => {
				udp.off('error', reject);
				resolve();
			});
		});
		const { address, port: bound } = udp.address();
		const { exchanges } = this.#options;
		const guest = exchanges.datagrams;
		guest?.attach({ host: address, port: bound, send: (to, datagram) => this.#send(to, datagram) });
		try {
			await exchanges.listen(formatHostPort(host, bound), handlers.onExchange);
		} catch (error) {
			udp.close();
			throw error;
		}
		udp.on('message', (packet, { address, port }) => {
			if (guest?.take({ host: address, port }, packet) !== true)
				handlers.onPacket(formatHostPort(address, port), packet);
		});
		// An ICMP refusal of an earlier datagram; silence is the contract.
		udp.on('error', () => this.sendErrors++);
		this.#udp = udp;
		return formatHostPort(host, bound);
	}
}
