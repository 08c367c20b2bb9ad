// Owns the gRPC channels to the members of a cluster: one an address, opened when first wanted, and which is asked next. A call is only started
// on a channel that is connected, so a call that never had a connection is known to have had no effect.
import { Channel, type ChannelCredentials, type ChannelOptions, connectivityState } from '@grpc/grpc-js';
import type { Clock } from '@infermesh/proto';
import { consensusError } from '../errors.js';

export const addressesMax = 64;
/** One address is given this long to connect before the next is tried. */
const connectTimeoutMs = 1_500;
/** Between rounds in which no address could be reached. */
const roundPauseMs = 100;

const channelDefaults: ChannelOptions = {
	// etcd refuses pings more often than every 5 s.
	'grpc.keepalive_time_ms': 10_000,
	'grpc.keepalive_timeout_ms': 3_000,
	'grpc.initial_reconnect_backoff_ms': 100,
	'grpc.max_reconnect_backoff_ms': 1_000,
	'grpc.max_receive_message_length': 64 << 20,
	'grpc.max_send_message_length': 16 << 20,
	'grpc.enable_retries': 0,
	'grpc.use_local_subchannel_pool': 1,
};

export interface ChannelsOptions {
	/** `host:port`, at most `addressesMax`. */
	readonly addresses: readonly string[];
	readonly credentials: ChannelCredentials;
	readonly clock: Clock;
	readonly channelOptions?: ChannelOptions;
}

export interface Endpoint {
	readonly address: string;
	readonly channel: Channel;
}

export class Channels {
	readonly #options: ChannelsOptions;
	/** What holds unless the options say otherwise. */
	readonly #channelDefaults: ChannelOptions;
	readonly #endpoints = new Map<string, Endpoint>();
	#preferred = 0;
	#closed = false;

	constructor(options: ChannelsOptions, defaults: ChannelOptions = {}) {
		if (options.addresses.length === 0 || options.addresses.length > addressesMax)
			throw consensusError(
				'IM_CONSENSUS_UNAVAILABLE',
				`1 to ${addressesMax} addresses, not ${options.addresses.length}`,
			);
		this.#options = options;
		this.#channelDefaults = { ...channelDefaults, ...defaults };
	}

	get count(): number {
		return this.#options.addresses.length;
	}

	/** A connected endpoint: the preferred one, else the next that connects. IM_CONSENSUS_UNAVAILABLE when none does within `timeoutMs`. */
	async ready(timeoutMs: number): Promise<Endpoint> {
		const { clock, addresses } = this.#options;
		const deadlineMs = clock.nowMs() + timeoutMs;
		for (;;) {
			// Other calls may change the preference meanwhile; this one visits every address all the same.
			const first = this.#preferred;
			for (let step = 0; step < addresses.length; step++) {
				if (this.#closed) throw consensusError('IM_CONSENSUS_CLOSED');
				const at = (first + step) % addresses.length;
				const endpoint = this.#endpoint(at);
				const leftMs = deadlineMs - clock.nowMs();
				if (!(await this.#connected(endpoint.channel, Math.min(leftMs, connectTimeoutMs)))) continue;
				if (step > 0) this.#preferred = at;
				return endpoint;
			}
			if (clock.nowMs() + roundPauseMs >= deadlineMs)
				throw consensusError('IM_CONSENSUS_UNAVAILABLE', `none of ${addresses.join(', ')} could be reached`);
			await pause(clock, roundPauseMs);
		}
	}

	/** Prefers the next address, if `endpoint` is still the preferred one. */
	suspect(endpoint: Endpoint): void {
		const { addresses } = this.#options;
		if (addresses[this.#preferred] === endpoint.address) this.#preferred = (this.#preferred + 1) % addresses.length;
	}

	/** Every endpoint, connected or not. */
	all(): readonly Endpoint[] {
		return this.#options.addresses.map((_, at) => this.#endpoint(at));
	}

	close(): void {
		this.#closed = true;
		for (const { channel } of this.#endpoints.values()) channel.close();
	}

	#endpoint(at: number): Endpoint {
		const address = this.#options.addresses[at] as string;
		let endpoint = this.#endpoints.get(address);
		if (endpoint === undefined) {
			const { credentials, channelOptions } = this.#options;
			const channel = new Channel(address, credentials, { ...this.#channelDefaults, ...channelOptions });
			endpoint = { address, channel };
			this.#endpoints.set(address, endpoint);
		}
		return endpoint;
	}

	/**
	 * Waits for a channel that connects; false when it fails or `timeoutMs` is over. A channel in failure tries again by its own clock and is not waited
	 * for.
	 */
	async #connected(channel: Channel, timeoutMs: number): Promise<boolean> {
		const deadlineMs = this.#options.clock.wallMs() + timeoutMs;
		while (!this.#closed) {
			const state = channel.getConnectivityState(true);
			if (state === connectivityState.READY) return true;
			if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) return false;
			const changed = await new Promise<boolean>((resolve) => {
				channel.watchConnectivityState(state, deadlineMs, (error) => resolve(error === undefined));
			});
			if (!changed) return false;
		}
		return false;
	}
}

export function pause(clock: Clock, ms: number): Promise<void> {
	return new Promise((resolve) => void clock.after(ms, resolve));
}
