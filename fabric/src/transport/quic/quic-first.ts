// Owns exchanges of a node with QUIC in a pool that may be mixed: it answers over both, asks over QUIC first, and over TLS when QUIC is not answered. So the
// transport of a pool is changed node by node, and a network that drops UDP of that size costs time and no exchange.
import { type Clock, MeshError } from '@infermesh/proto';
import type {
	Address,
	Answer,
	DatagramGuest,
	ExchangeOptions,
	ExchangePort,
	OnExchange,
} from '../../effects/packets.js';
import { formatAddress, parseAddress } from '../address.js';
import type { TransportCounters } from '../counters.js';
import type { TlsExchange } from '../exchange.js';
import type { QuicExchange } from './exchange.js';
import { openUdpPort } from './udp-port.js';

/** QUIC has this share of an exchange's time to make its connection, and no more than so many milliseconds. */
const REACH_SHARE = 1 / 3;
const REACH_MS_MAX = 1000;
/** Ports that are tried before none is free. */
const PORTS_TRIED_MAX = 8;

/** QUIC is not spoken there, not now, or not by this version: nothing that TLS would refuse as well. */
const fallsBack: ReadonlySet<string> = new Set([
	'IM_TRANSPORT_UNREACHABLE',
	'IM_TRANSPORT_HANDSHAKE',
	'IM_TRANSPORT_PROTOCOL',
	'IM_TRANSPORT_CHANNELS_MAX',
]);

export interface QuicFirstOptions {
	readonly clock: Clock;
	readonly counters: TransportCounters;
	/** Longest that a connection over QUIC is waited for. */
	readonly reachMsMax?: number;
}

export class QuicFirstExchange implements ExchangePort {
	readonly #quic: QuicExchange;
	readonly #tls: TlsExchange;
	readonly #clock: Clock;
	readonly #counters: TransportCounters;
	readonly #reachMsMax: number;

	constructor(quic: QuicExchange, tls: TlsExchange, { clock, counters, reachMsMax = REACH_MS_MAX }: QuicFirstOptions) {
		this.#quic = quic;
		this.#tls = tls;
		this.#clock = clock;
		this.#counters = counters;
		this.#reachMsMax = reachMsMax;
	}

	get datagrams(): DatagramGuest {
		return this.#quic.datagrams;
	}

	/** Both listen on one port number. */
	async listen(at: Address, onExchange: OnExchange): Promise<Address> {
		const address = await this.#listenTls(at, onExchange);
		await this.#quic.listen(address, onExchange);
		return address;
	}

	/** Where any port will do it is one that UDP has free, and another is tried when TCP has not. */
	async #listenTls(at: Address, onExchange: OnExchange): Promise<Address> {
		const { host, port } = parseAddress(at);
		if (port !== 0) return this.#tls.listen(at, onExchange);
		for (let tried = 1; ; tried++) {
			try {
				return await this.#tls.listen(await freeForUdp(host), onExchange);
			} catch (error) {
				const taken = error instanceof MeshError && error.code === 'IM_TRANSPORT_BIND';
				if (!taken || tried === PORTS_TRIED_MAX) throw error;
			}
		}
	}

	/** A question whose connection falls silent is asked again over TLS, so that a peer may see it twice. */
	async exchange(to: Address, request: Uint8Array, options: ExchangeOptions): Promise<Answer> {
		const endMs = this.#clock.nowMs() + options.timeoutMs;
		const left = (): ExchangeOptions => ({ ...options, timeoutMs: Math.max(0, endMs - this.#clock.nowMs()) });
		const reachMs = Math.min(this.#reachMsMax, options.timeoutMs * REACH_SHARE);
		try {
			await this.#quic.reach(to, { ...options, timeoutMs: reachMs });
			return await this.#quic.exchange(to, request, left());
		} catch (error) {
			if (!(error instanceof MeshError) || !fallsBack.has(error.code)) throw error;
		}
		this.#counters.quic.fellBack++;
		return this.#tls.exchange(to, request, left());
	}

	async close(): Promise<void> {
		await Promise.all([this.#quic.close(), this.#tls.close()]);
	}
}

async function freeForUdp(host: string): Promise<Address> {
	const socket = await openUdpPort({ host, port: 0 }, () => undefined);
	const { port } = socket;
	await socket.close();
	return formatAddress(host, port);
}
