// Owns the gRPC channels to other nodes: one a pair of address and node UUID, shared by all who speak to that node, bounded, closed when nobody has
// used them for a while. A channel reconnects by itself with backoff and jitter, each time with the certificate of that moment.
import { Channel, type ChannelOptions, type Client, credentials as grpcCredentials } from '@grpc/grpc-js';
import { MeshError, type Timer } from '@infermesh/proto';
import type { Address } from '../effects/packets.js';
import { parseAddress } from './address.js';
import { transportErrors } from './errors.js';
import { nodeCredentials } from './grpc-credentials.js';
import type { TransportContext } from './peer.js';

export interface PeerChannelOptions {
	readonly channelsMax: number;
	/** A channel that nobody holds is closed after this. */
	readonly idleCloseMs: number;
	readonly handshakeTimeoutMs: number;
	readonly keepaliveMs: number;
	readonly keepaliveTimeoutMs: number;
	/** Bounds of the wait between attempts to connect; grpc-js multiplies by 1.6 and adds jitter of 20 %. */
	readonly backoffMinMs: number;
	readonly backoffMaxMs: number;
	readonly messageBytesMax: number;
	readonly windowBytes: number;
}

export const peerChannelDefaults: PeerChannelOptions = Object.freeze({
	channelsMax: 1024,
	idleCloseMs: 300_000,
	handshakeTimeoutMs: 5000,
	keepaliveMs: 10_000,
	keepaliveTimeoutMs: 5000,
	backoffMinMs: 100,
	backoffMaxMs: 5000,
	messageBytesMax: 4 * 1024 * 1024,
	windowBytes: 1024 * 1024,
});

/** A node and where it is thought to be. */
export interface Peer {
	readonly address: Address;
	readonly nodeUuid: string;
}

/** The constructor of a generated client. */
export type ClientConstructor<T extends Client> = new (
	address: string,
	credentials: ReturnType<typeof grpcCredentials.createInsecure>,
	options: { channelOverride: Channel },
) => T;

/** A share in a channel. Whoever holds one keeps the channel open. */
export interface PeerLease {
	readonly channel: Channel;
	/** A client over the shared channel. Closing the client is not needed, and would close the channel for all. */
	client<T extends Client>(constructor: ClientConstructor<T>): T;
	/** Gives the share back; once is enough. */
	release(): void;
}

interface Entry {
	readonly channel: Channel;
	holders: number;
	idle: Timer | undefined;
}

export class PeerChannels {
	readonly #context: TransportContext;
	readonly #options: PeerChannelOptions;
	readonly #entries = new Map<string, Entry>();
	#closed = false;

	constructor(context: TransportContext, options: Partial<PeerChannelOptions> = {}) {
		this.#context = context;
		this.#options = { ...peerChannelDefaults, ...options };
	}

	/** Channels open now. */
	get size(): number {
		return this.#entries.size;
	}

	/**
	 * Takes a share in the channel to a node; connects when it is first used. Throws IM_TRANSPORT_ADDRESS, IM_TRANSPORT_CLOSED, and
	 * IM_TRANSPORT_CHANNELS_MAX when every channel is held.
	 */
	acquire(peer: Peer): PeerLease {
		if (this.#closed) throw new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED');
		parseAddress(peer.address);
		const key = `${peer.nodeUuid} ${peer.address}`;
		const entry = this.#entries.get(key) ?? this.#open(key, peer);
		entry.holders++;
		entry.idle?.cancel();
		entry.idle = undefined;
		let held = true;
		return {
			channel: entry.channel,
			client: (constructor) =>
				new constructor(peer.address, grpcCredentials.createInsecure(), { channelOverride: entry.channel }),
			release: () => {
				if (held) this.#release(key, entry);
				held = false;
			},
		};
	}

	/** Closes all channels; calls under way may end. */
	close(): void {
		this.#closed = true;
		for (const [key, entry] of this.#entries) this.#drop(key, entry);
	}

	#open(key: string, peer: Peer): Entry {
		if (this.#entries.size >= this.#options.channelsMax && !this.#dropOneIdle())
			throw new MeshError(transportErrors, 'IM_TRANSPORT_CHANNELS_MAX');
		const credentials = nodeCredentials(this.#context, {
			expectedNode: peer.nodeUuid,
			timeoutMs: this.#options.handshakeTimeoutMs,
		});
		const entry: Entry = {
			channel: new Channel(peer.address, credentials, meshChannelOptions(this.#options)),
			holders: 0,
			idle: undefined,
		};
		this.#entries.set(key, entry);
		return entry;
	}

	#release(key: string, entry: Entry): void {
		entry.holders--;
		if (entry.holders > 0 || this.#entries.get(key) !== entry) return;
		// Newest at the end: the one dropped for room is the one idle longest.
		this.#entries.delete(key);
		this.#entries.set(key, entry);
		entry.idle = this.#context.clock.after(this.#options.idleCloseMs, () => this.#drop(key, entry), { unref: true });
	}

	#dropOneIdle(): boolean {
		for (const [key, entry] of this.#entries) {
			if (entry.holders > 0) continue;
			this.#drop(key, entry);
			return true;
		}
		return false;
	}

	#drop(key: string, entry: Entry): void {
		entry.idle?.cancel();
		this.#entries.delete(key);
		entry.channel.close();
	}
}

/**
 * What every channel of the mesh is set to: no proxy, no service config from DNS, bounded waits. What a server
 * refused before looking at it (a connection being replaced) gRPC sends again by itself; nothing else is retried here.
 */
export function meshChannelOptions(options: PeerChannelOptions = peerChannelDefaults): ChannelOptions {
	return {
		'grpc.enable_http_proxy': 0,
		'grpc.service_config_disable_resolution': 1,
		'grpc.enable_channelz': 0,
		'grpc.use_local_subchannel_pool': 1,
		'grpc.initial_reconnect_backoff_ms': options.backoffMinMs,
		'grpc.max_reconnect_backoff_ms': options.backoffMaxMs,
		'grpc.keepalive_time_ms': options.keepaliveMs,
		'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs,
		'grpc.max_receive_message_length': options.messageBytesMax,
		'grpc-node.flow_control_window': options.windowBytes,
	};
}
