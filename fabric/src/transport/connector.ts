// Owns the calling side of a connection: TCP, TLS with the current certificate, and the check that the node expected is the node that answered.
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { type Clock, MeshError } from '@infermesh/proto';
import type { HostPort } from '../effects/packets.js';
import type { Identity } from '../identity/source.js';
import { refusalError, type SvidVerdict } from '../identity/svid.js';
import type { RefusalReason, TransportCounters } from './counters.js';
import { transportErrors } from './errors.js';
import { checkPeer, ofNode, type TransportContext } from './peer.js';
import { ownContext } from './tls-options.js';

/** ALPN names. */
export const protocolNames = Object.freeze({ grpc: 'h2', exchange: 'infermesh-exchange/1' });

export interface HandshakeOptions {
	readonly secureContext: SecureContext;
	readonly protocol: string;
	readonly timeoutMs: number;
	readonly clock: Clock;
	/** The last word on who answered, after the handshake and before a byte is sent. */
	readonly judge: (socket: TLSSocket) => SvidVerdict;
}

/** Opens a TCP connection. Rejects with IM_TRANSPORT_UNREACHABLE or IM_TRANSPORT_TIMEOUT. */
export async function openTcp(to: HostPort, timeoutMs: number, clock: Clock): Promise<Socket> {
	return new Promise((resolve, reject) => {
		const socket = connectTcp({ host: to.host, port: to.port, noDelay: true });
		const timer = clock.after(timeoutMs, () => {
			socket.destroy();
			reject(new MeshError(transportErrors, 'IM_TRANSPORT_TIMEOUT', `no connection within ${timeoutMs} ms`));
		});
		socket.once('connect', () => {
			timer.cancel();
			socket.removeAllListeners('error');
			resolve(socket);
		});
		socket.once('error', (cause) => {
			timer.cancel();
			reject(new MeshError(transportErrors, 'IM_TRANSPORT_UNREACHABLE', cause.message, { cause }));
		});
	});
}

/**
 * Shakes hands over `socket`, which is destroyed on failure. Rejects with the IM_IDENTITY_* refusal of the peer, IM_TRANSPORT_TIMEOUT,
 * IM_TRANSPORT_HANDSHAKE or IM_TRANSPORT_PROTOCOL.
 */
export async function shakeHands(socket: Socket, options: HandshakeOptions): Promise<TLSSocket> {
	return new Promise((resolve, reject) => {
		const tls = connectTls({
			socket,
			secureContext: options.secureContext,
			ALPNProtocols: [options.protocol],
			// Names of hosts mean nothing here; `judge` reads the URI of the certificate and wants `authorized` where there are roots.
			checkServerIdentity: () => undefined,
			rejectUnauthorized: false,
		});
		const fail = (error: MeshError): void => {
			timer.cancel();
			tls.destroy();
			socket.destroy();
			reject(error);
		};
		const timer = options.clock.after(options.timeoutMs, () =>
			fail(new MeshError(transportErrors, 'IM_TRANSPORT_TIMEOUT', `no handshake within ${options.timeoutMs} ms`)),
		);
		tls.once('error', (cause) =>
			fail(new MeshError(transportErrors, 'IM_TRANSPORT_HANDSHAKE', cause.message, { cause })),
		);
		tls.once('close', () => fail(new MeshError(transportErrors, 'IM_TRANSPORT_HANDSHAKE', 'closed by the other side')));
		tls.once('secureConnect', () => {
			const verdict = options.judge(tls);
			if (!verdict.ok) return fail(refusalError(verdict.refusal));
			if (tls.alpnProtocol !== options.protocol) return fail(new MeshError(transportErrors, 'IM_TRANSPORT_PROTOCOL'));
			timer.cancel();
			tls.removeAllListeners('error');
			tls.removeAllListeners('close');
			tls.on('error', () => tls.destroy());
			return resolve(tls);
		});
	});
}

const contexts = new WeakMap<Identity, SecureContext>();

function contextOf(identity: Identity): SecureContext {
	const known = contexts.get(identity);
	if (known !== undefined) return known;
	const made = createSecureContext(ownContext(identity));
	contexts.set(identity, made);
	return made;
}

/** Connects as ourselves to `expectedNode`, or to any node of the trust domain, and tells which. Registers the connection for revocation. */
export async function connectAsNode(
	socket: Socket,
	context: TransportContext,
	options: {
		readonly protocol: string;
		readonly timeoutMs: number;
		readonly expectedNode?: string | undefined;
		readonly acceptNode?: (nodeUuid: string) => boolean;
	},
): Promise<{ readonly tls: TLSSocket; readonly nodeUuid: string }> {
	return counted(context.counters, async () => {
		let nodeUuid = '';
		const tls = await shakeHands(socket, {
			secureContext: contextOf(context.identity.current()),
			protocol: options.protocol,
			timeoutMs: options.timeoutMs,
			clock: context.clock,
			judge: (peer) => {
				const verdict = ofNode(checkPeer(peer, context, options.expectedNode));
				if (verdict.ok && options.acceptNode?.(verdict.svid.nodeUuid ?? '') === false)
					return { ok: false, refusal: { code: 'IM_IDENTITY_UNEXPECTED_PEER', message: verdict.svid.id.uri } };
				if (verdict.ok) {
					nodeUuid = verdict.svid.nodeUuid ?? '';
					context.sessions.add(verdict.svid, peer);
				}
				return verdict;
			},
		});
		context.counters.connected++;
		return { tls, nodeUuid };
	});
}

async function counted<T>(counters: TransportCounters, work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		if (error instanceof MeshError) counters.fail(error.code as RefusalReason);
		throw error;
	}
}
