// Owns the generated clients of one etcd member over one channel, and the metadata of calls: a leader is required, and the token of a login.
import { type ChannelCredentials, Metadata } from '@grpc/grpc-js';
import type { Clock } from '@infermesh/proto';
import {
	AuthClient,
	ClusterClient,
	KVClient,
	LeaseClient,
	MaintenanceClient,
	WatchClient,
} from '@infermesh/proto/etcd/etcdserverpb/rpc-client';
import type { Endpoint } from '../client/channels.js';
import { unary } from '../client/unary.js';
import { tokenRefused } from './judge.js';

export interface EtcdLogin {
	readonly user: string;
	readonly password: string;
}

export interface EtcdMember {
	readonly kv: KVClient;
	readonly lease: LeaseClient;
	readonly watch: WatchClient;
	readonly cluster: ClusterClient;
	readonly maintenance: MaintenanceClient;
	readonly auth: AuthClient;
}

export class EtcdMembers {
	readonly #credentials: ChannelCredentials;
	readonly #clock: Clock;
	readonly #login: EtcdLogin | undefined;
	readonly #members = new WeakMap<Endpoint, EtcdMember>();
	#token: string | undefined;

	constructor(credentials: ChannelCredentials, clock: Clock, login: EtcdLogin | undefined) {
		this.#credentials = credentials;
		this.#clock = clock;
		this.#login = login;
	}

	at(endpoint: Endpoint): EtcdMember {
		let member = this.#members.get(endpoint);
		if (member === undefined) {
			const { address, channel } = endpoint;
			const options = { channelOverride: channel };
			member = {
				kv: new KVClient(address, this.#credentials, options),
				lease: new LeaseClient(address, this.#credentials, options),
				watch: new WatchClient(address, this.#credentials, options),
				cluster: new ClusterClient(address, this.#credentials, options),
				maintenance: new MaintenanceClient(address, this.#credentials, options),
				auth: new AuthClient(address, this.#credentials, options),
			};
			this.#members.set(endpoint, member);
		}
		return member;
	}

	/** `requireLeader` makes a member that sees no leader refuse at once, and end streams when it loses it. */
	async metadata(endpoint: Endpoint, timeoutMs: number, requireLeader: boolean): Promise<Metadata> {
		const metadata = new Metadata();
		if (requireLeader) metadata.set('hasleader', 'true');
		if (this.#login !== undefined) metadata.set('token', await this.#tokenOf(endpoint, this.#login, timeoutMs));
		return metadata;
	}

	/** Forgets the token when `error` says that it is no good, so that the next call logs in anew. */
	note(error: unknown): void {
		if (tokenRefused(error)) this.#token = undefined;
	}

	async #tokenOf(endpoint: Endpoint, login: EtcdLogin, timeoutMs: number): Promise<string> {
		if (this.#token !== undefined) return this.#token;
		const { auth } = this.at(endpoint);
		const request = { name: login.user, password: login.password };
		const reply = await unary(auth.authenticate.bind(auth), request, new Metadata(), this.#clock, timeoutMs);
		this.#token = reply.token;
		return reply.token;
	}
}
