// Owns the calling side of a connection as gRPC takes it: channel credentials that leave the handshake to the connector, so that every reconnect uses the
// certificate of that moment. Apart from the connector, which threads use that have no gRPC.
import type { Socket } from 'node:net';
import { createSecureContext, type TLSSocket } from 'node:tls';
import { CallCredentials, ChannelCredentials, type experimental } from '@grpc/grpc-js';
import { type Clock, MeshError } from '@infermesh/proto';
import type { SvidVerdict } from '../identity/svid.js';
import { connectAsNode, protocolNames, shakeHands } from './connector.js';
import type { TransportContext } from './peer.js';
import { anonymousContext } from './tls-options.js';

/** Channel credentials that connect as ourselves and accept one node only, or those that `acceptNode` accepts. */
export function nodeCredentials(
	context: TransportContext,
	options: {
		readonly expectedNode?: string;
		readonly acceptNode?: (nodeUuid: string) => boolean;
		readonly timeoutMs: number;
	},
): ChannelCredentials {
	return new SocketCredentials(async (socket) => {
		const { tls } = await connectAsNode(socket, context, { ...options, protocol: protocolNames.grpc });
		return tls;
	});
}

/** Channel credentials that show no certificate and accept whom `judge` accepts: for joining and renewing. */
export function anonymousCredentials(
	judge: (socket: TLSSocket) => SvidVerdict,
	options: { readonly clock: Clock; readonly timeoutMs: number },
): ChannelCredentials {
	const secureContext = createSecureContext(anonymousContext());
	return new SocketCredentials(async (socket) =>
		shakeHands(socket, { secureContext, protocol: protocolNames.grpc, judge, ...options }),
	);
}

/** gRPC's own TLS credentials verify names of hosts and fix the certificate; these leave the handshake to a function. */
class SocketCredentials extends ChannelCredentials {
	readonly #secure: (socket: Socket) => Promise<TLSSocket>;

	constructor(secure: (socket: Socket) => Promise<TLSSocket>) {
		super();
		this.#secure = secure;
	}

	override _isSecure(): boolean {
		return true;
	}

	override _equals(other: ChannelCredentials): boolean {
		return other === this;
	}

	override _createSecureConnector(
		_target: experimental.GrpcUri,
		_options: object,
		callCredentials?: CallCredentials,
	): experimental.SecureConnector {
		const credentials = callCredentials ?? CallCredentials.createEmpty();
		return {
			connect: async (socket) => {
				try {
					return { socket: await this.#secure(socket), secure: true };
				} catch (cause) {
					// gRPC passes on the text alone, so the code goes into it.
					const text = cause instanceof MeshError ? `${cause.code}: ${cause.message}` : 'the handshake failed';
					throw new Error(text, { cause });
				}
			},
			waitForReady: async () => {},
			getCallCredentials: () => credentials,
			destroy: () => {},
		};
	}
}
