// Owns a gRPC server on a TLS port of the mesh. Peers that proved who they are reach the services of nodes; peers without a certificate reach a second
// server that holds only what joining and renewing need, under bounds of its own. grpc-js sees sockets whose handshake is over.
import {
	Server,
	ServerCredentials,
	type ServerOptions,
	type ServiceDefinition,
	type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { type Clock, MeshError } from '@infermesh/proto';
import type { Address } from '../effects/packets.js';
import { identityErrors } from '../identity/errors.js';
import type { VerifiedSvid } from '../identity/svid.js';
import { parseAddress } from './address.js';
import { protocolNames } from './connector.js';
import { transportErrors } from './errors.js';
import { type CallWithPeer, guardService } from './guard.js';
import { type ListenerLimits, SecureListener } from './listener.js';
import type { TransportContext } from './peer.js';

export interface SecureServerOptions {
	/** Bytes of one message received. */
	readonly messageBytesMax: number;
	/** Streams at once on one connection. */
	readonly streamsMax: number;
	/** Bytes a peer may send before a stream must be read (HTTP/2 window). */
	readonly windowBytes: number;
	readonly keepaliveMs: number;
	readonly keepaliveTimeoutMs: number;
	/**
	 * Age at which a connection is asked to be replaced (GOAWAY), or a third of the life of our own certificate if that is less: streams on it go on, new
	 * ones come over a new handshake with the certificates of that time. Peers renew at half-life, so whoever is open longest has another connection
	 * before the certificate it was opened with expires.
	 */
	readonly connectionAgeMs: number;
	readonly limits: Partial<ListenerLimits>;
}

export const secureServerDefaults: SecureServerOptions = Object.freeze({
	messageBytesMax: 4 * 1024 * 1024,
	streamsMax: 256,
	windowBytes: 1024 * 1024,
	keepaliveMs: 20_000,
	keepaliveTimeoutMs: 10_000,
	connectionAgeMs: 43_200_000,
	limits: {},
});

/** Bounds of connections without a certificate. */
export const anonymousBounds = Object.freeze({
	messageBytesMax: 64 * 1024,
	connectionsMax: 64,
	streamsMax: 4,
	ageMs: 30_000,
	ageGraceMs: 5000,
});

export class SecureServer {
	readonly #clock: Clock;
	readonly #listener: SecureListener;
	readonly #nodes: Server;
	readonly #strangers: Server | undefined;
	/** By remote address and port, all that a call says of its connection: while one is open from there, no other is taken. */
	readonly #peers = new Map<string, VerifiedSvid>();
	readonly #services = new Set<string>();

	/** `joining` opens the server to peers without a certificate, for the services added by `addJoinService`. */
	constructor(context: TransportContext, options: Partial<SecureServerOptions> & { readonly joining?: boolean } = {}) {
		const given = { ...secureServerDefaults, ...options };
		const all = { ...given, connectionAgeMs: Math.min(given.connectionAgeMs, replaceAfterMs(context)) };
		this.#clock = context.clock;
		this.#nodes = new Server(serverOptions(all));
		const nodes = this.#nodes.createConnectionInjector(ServerCredentials.createInsecure());
		this.#strangers = options.joining === true ? new Server(strangerOptions(all)) : undefined;
		const strangers = this.#strangers?.createConnectionInjector(ServerCredentials.createInsecure());
		let strangersOpen = 0;
		this.#listener = new SecureListener(
			context,
			{
				protocols: [protocolNames.grpc],
				onPeer: (socket, peer) => {
					const key = `${socket.remoteAddress}:${socket.remotePort}`;
					// To another address of this node, behind a NAT: calls of both would be taken for calls of one.
					if (this.#peers.has(key)) {
						context.counters.refuse('IM_TRANSPORT_ADDRESS_TAKEN');
						socket.destroy();
						return;
					}
					this.#peers.set(key, peer);
					socket.once('close', () => this.#peers.delete(key));
					nodes.injectConnection(socket);
				},
				...(strangers === undefined
					? {}
					: {
							onAnonymous: (socket) => {
								if (strangersOpen >= anonymousBounds.connectionsMax) {
									context.counters.refuse('IM_TRANSPORT_CONNECTIONS_MAX');
									socket.destroy();
									return;
								}
								strangersOpen++;
								socket.once('close', () => strangersOpen--);
								strangers.injectConnection(socket);
							},
						}),
			},
			all.limits,
		);
	}

	/** A service for nodes of the mesh. Others with a certificate are refused with IM_TRANSPORT_NOT_A_NODE. */
	addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation): void {
		this.#add(
			definition,
			guardService(definition, handlers, (call) => this.nodeOf(call)),
		);
	}

	/**
	 * A service for all with a certificate of this mesh, nodes and clients; what each may do is for the handlers to say. Without a certificate it is
	 * refused with IM_IDENTITY_NO_CERTIFICATE.
	 */
	addClientService(definition: ServiceDefinition, handlers: UntypedServiceImplementation): void {
		this.#add(definition, handlers);
		const refuse = (): never => {
			throw new MeshError(identityErrors, 'IM_IDENTITY_NO_CERTIFICATE');
		};
		this.#strangers?.addService(definition, guardService(definition, handlers, refuse));
	}

	/** Full names of the services for peers with a certificate. */
	get services(): readonly string[] {
		return [...this.#services].sort();
	}

	/** A service for peers without a certificate. Throws IM_TRANSPORT_PROTOCOL when the server is not open to them. */
	addJoinService(definition: ServiceDefinition, handlers: UntypedServiceImplementation): void {
		if (this.#strangers === undefined)
			throw new MeshError(
				transportErrors,
				'IM_TRANSPORT_PROTOCOL',
				'this port is not open to peers without a certificate',
			);
		this.#strangers.addService(definition, handlers);
	}

	#add(definition: ServiceDefinition, handlers: UntypedServiceImplementation): void {
		this.#nodes.addService(definition, handlers);
		for (const { path } of Object.values(definition)) this.#services.add(path.split('/')[1] ?? path);
	}

	/** Opens the port; resolves with the bound address. */
	async listen(at: Address): Promise<Address> {
		return this.#listener.listen(parseAddress(at));
	}

	/** Open connections, and handshakes under way. */
	get load(): { readonly open: number; readonly handshakes: number } {
		return this.#listener.load;
	}

	/** Who makes this call; undefined once the connection is gone. */
	peerOf(call: CallWithPeer): VerifiedSvid | undefined {
		return this.#peers.get(call.getPeer());
	}

	/** The UUID of the node that makes this call. Throws IM_TRANSPORT_NOT_A_NODE. */
	nodeOf(call: CallWithPeer): string {
		const nodeUuid = this.peerOf(call)?.nodeUuid;
		if (nodeUuid === undefined) throw new MeshError(transportErrors, 'IM_TRANSPORT_NOT_A_NODE');
		return nodeUuid;
	}

	/** Accepts nobody, lets calls end for at most `graceMs`, then closes every connection. */
	async close(graceMs = 0): Promise<void> {
		this.#listener.stopAccepting();
		const servers = [this.#nodes, this.#strangers].filter((server) => server !== undefined);
		// Asks each connection to end after its streams. When that is so is told by the sockets: the callback may come before (Node 24 closes the
		// sessions itself, and grpc-js takes those for closed).
		for (const server of servers) server.tryShutdown(() => {});
		const waited = Promise.withResolvers<void>();
		const timer = this.#clock.after(graceMs, waited.resolve);
		await Promise.race([this.#listener.drained(), waited.promise]);
		timer.cancel();
		for (const server of servers) server.forceShutdown();
		// What ends the connections: with channelz off, grpc-js 1.14 does not know its sessions.
		this.#listener.close();
	}
}

const RENEWALS_SHARE = 1 / 3;

function replaceAfterMs({ identity }: TransportContext): number {
	const { leaf } = identity.current().svid;
	return Math.max(1000, Math.floor((leaf.notAfterMs - leaf.notBeforeMs) * RENEWALS_SHARE));
}

function serverOptions(options: SecureServerOptions): ServerOptions {
	return {
		'grpc.max_receive_message_length': options.messageBytesMax,
		'grpc.max_concurrent_streams': options.streamsMax,
		'grpc.keepalive_time_ms': options.keepaliveMs,
		'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs,
		'grpc.max_connection_age_ms': options.connectionAgeMs,
		'grpc-node.flow_control_window': options.windowBytes,
		'grpc.enable_channelz': 0,
	};
}

function strangerOptions(options: SecureServerOptions): ServerOptions {
	return {
		...serverOptions(options),
		'grpc.max_receive_message_length': anonymousBounds.messageBytesMax,
		'grpc.max_concurrent_streams': anonymousBounds.streamsMax,
		'grpc.max_connection_age_ms': anonymousBounds.ageMs,
		'grpc.max_connection_age_grace_ms': anonymousBounds.ageGraceMs,
	};
}
