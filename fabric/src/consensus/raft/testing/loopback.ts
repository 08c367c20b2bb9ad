// Owns gRPC transports of test nodes over loopback without TLS: who is calling is told in the metadata, which only a test may believe.
import {
	ChannelCredentials,
	InterceptingCall,
	type Interceptor,
	type Metadata,
	Server,
	ServerCredentials,
} from '@grpc/grpc-js';
import { SeededRandom } from '@infermesh/proto';
import { RaftTransportClient } from '@infermesh/proto/grpc/raft/v1/raft-client';
import type { PeerId } from '../../../raft/messages.js';
import type { GrpcRaftBounds } from '../grpc/options.js';
import { GrpcRaftTransport } from '../grpc/transport.js';
import { realClock } from './real-clock.js';

function saysItIs(id: PeerId): Interceptor {
	return (options, next) =>
		new InterceptingCall(next(options), {
			start: (metadata, listener, begin) => {
				metadata.set('peer', id);
				begin(metadata, listener);
			},
		});
}

export class LoopbackNode {
	readonly transport: GrpcRaftTransport;
	readonly server = new Server();
	readonly #addresses: Map<PeerId, string>;
	readonly #clients = new Map<PeerId, RaftTransportClient>();
	readonly id: PeerId;
	/** Of its state; none by default. */
	clusterId = '';
	/** Peers that refused it as a member of another cluster, and with what. */
	readonly foreign: string[] = [];
	/** Where it listens. */
	port = 0;

	/** `addresses` is shared by all nodes of a test; `claims` is who the node says it is. */
	constructor(
		id: PeerId,
		addresses: Map<PeerId, string>,
		bounds: Partial<GrpcRaftBounds> = {},
		claims: PeerId | undefined = id,
	) {
		this.id = id;
		this.#addresses = addresses;
		this.transport = new GrpcRaftTransport({
			id,
			clock: realClock,
			random: new SeededRandom(1),
			bounds,
			connect: (peer) => {
				const address = this.#addresses.get(peer);
				if (address === undefined) return undefined;
				const client = this.#clients.get(peer) ?? this.#client(peer, address, claims);
				return { client, release: () => {} };
			},
			clusterId: () => this.clusterId,
			onForeign: (peer, { code }) => void this.foreign.push(`${peer}: ${code}`),
			peerOf: (call) => {
				const { metadata } = call as unknown as { readonly metadata: Metadata };
				const [peer] = metadata.get('peer');
				return typeof peer === 'string' ? peer : undefined;
			},
		});
		this.transport.addTo(this.server);
	}

	#client(peer: PeerId, address: string, claims: PeerId): RaftTransportClient {
		const options = { interceptors: [saysItIs(claims)], 'grpc.initial_reconnect_backoff_ms': 50 };
		const client = new RaftTransportClient(address, ChannelCredentials.createInsecure(), options);
		this.#clients.set(peer, client);
		return client;
	}

	listen(port = 0): Promise<number> {
		return new Promise((resolve, reject) => {
			this.server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
				if (error !== null) {
					reject(error);
					return;
				}
				this.#addresses.set(this.id, `127.0.0.1:${bound}`);
				this.port = bound;
				resolve(bound);
			});
		});
	}

	close(): void {
		this.transport.close();
		for (const client of this.#clients.values()) client.close();
		this.server.forceShutdown();
	}
}
