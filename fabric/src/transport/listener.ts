// Owns a TLS port of the mesh: accepting, the handshake with its bounds, the check of the peer, rotation of the certificate under way. Whoever passes
// is handed on by protocol; nothing of what a refused peer sends is ever read.
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { MeshError } from '@infermesh/proto';
import type { Address, HostPort } from '../effects/packets.js';
import type { VerifiedSvid } from '../identity/svid.js';
import { boundAddress } from './address.js';
import type { RefusalReason } from './counters.js';
import { transportErrors } from './errors.js';
import { checkPeer, type TransportContext } from './peer.js';
import { ownContext } from './tls-options.js';

export interface ListenerLimits {
	/** Open connections, those in their handshake included. */
	readonly connectionsMax: number;
	/** Handshakes under way at once. */
	readonly handshakesMax: number;
	readonly handshakeTimeoutMs: number;
}

export const listenerLimitDefaults: ListenerLimits = Object.freeze({
	connectionsMax: 4096,
	handshakesMax: 512,
	handshakeTimeoutMs: 5000,
});

export interface ListenerHandlers {
	/** ALPN names served, in order of preference. */
	readonly protocols: readonly string[];
	/** A peer that proved who it is. */
	readonly onPeer: (socket: TLSSocket, peer: VerifiedSvid) => void;
	/** A peer without a certificate. Without this it is refused. */
	readonly onAnonymous?: (socket: TLSSocket) => void;
}

export class SecureListener {
	readonly #context: TransportContext;
	readonly #handlers: ListenerHandlers;
	readonly #limits: ListenerLimits;
	readonly #server: Server;
	/** Accepted TCP connections, and of these the ones past their handshake. */
	readonly #accepted = new Set<Socket>();
	readonly #open = new Set<TLSSocket>();
	readonly #stopRotation: () => void;

	/** Throws IM_IDENTITY_NOT_READY: a port opens when there is a certificate to show. */
	constructor(context: TransportContext, handlers: ListenerHandlers, limits: Partial<ListenerLimits> = {}) {
		this.#context = context;
		this.#handlers = handlers;
		this.#limits = { ...listenerLimitDefaults, ...limits };
		const sendRoots = handlers.onAnonymous !== undefined;
		this.#server = createServer({
			...ownContext(context.identity.current(), sendRoots),
			requestCert: true,
			// The check after the handshake tells reasons apart and knows the rules of SVIDs; it wants `authorized` as well.
			rejectUnauthorized: false,
			ALPNProtocols: [...handlers.protocols],
			handshakeTimeout: this.#limits.handshakeTimeoutMs,
			noDelay: true,
		});
		this.#server.maxConnections = this.#limits.connectionsMax;
		this.#server.on('drop', () => this.#refuse('IM_TRANSPORT_CONNECTIONS_MAX'));
		this.#server.prependListener('connection', (socket) => this.#admit(socket));
		this.#server.on('secureConnection', (socket) => this.#judge(socket));
		// After a timeout of the handshake Node leaves the socket open.
		this.#server.on('tlsClientError', (error, socket) => this.#turnAway(socket, reasonOf(error)));
		// A new certificate is for new connections; the open ones go on under the keys they agreed on.
		this.#stopRotation = context.identity.onChange((identity) =>
			this.#server.setSecureContext(ownContext(identity, sendRoots)),
		);
	}

	/** Resolves with the bound address; port 0 takes a free one. Rejects with IM_TRANSPORT_BIND when it cannot be bound. */
	async listen(at: HostPort): Promise<Address> {
		return new Promise((resolve, reject) => {
			const failed = (cause: Error): void =>
				reject(new MeshError(transportErrors, 'IM_TRANSPORT_BIND', cause.message, { cause }));
			this.#server.once('error', failed);
			this.#server.listen(at.port, at.host, () => {
				this.#server.off('error', failed);
				// Errors of accept itself, such as too many open files: the connection is lost, the port goes on.
				this.#server.on('error', () => this.#refuse('IM_TRANSPORT_UNREACHABLE'));
				resolve(boundAddress(this.#server.address()));
			});
		});
	}

	/** Open connections, and handshakes under way. */
	get load(): { readonly open: number; readonly handshakes: number } {
		return { open: this.#open.size, handshakes: this.#accepted.size - this.#open.size };
	}

	/** Accepts nobody from now on. Open connections stay. */
	stopAccepting(): void {
		this.#stopRotation();
		if (this.#server.listening) this.#server.close();
	}

	/** Resolves when no connection is open; more may come unless the port accepts nobody. */
	async drained(): Promise<void> {
		while (this.#open.size > 0) {
			await Promise.all([...this.#open].map(async (socket) => new Promise((resolve) => socket.once('close', resolve))));
		}
	}

	/** Closes the port and every connection. */
	close(): void {
		this.stopAccepting();
		for (const socket of [...this.#open, ...this.#accepted]) socket.destroy();
	}

	#admit(socket: Socket): void {
		if (this.#accepted.size - this.#open.size >= this.#limits.handshakesMax) {
			this.#refuse('IM_TRANSPORT_CONNECTIONS_MAX');
			socket.destroy();
			return;
		}
		this.#accepted.add(socket);
		socket.once('close', () => this.#accepted.delete(socket));
	}

	#judge(socket: TLSSocket): void {
		// Resets and broken records of an open connection come here; its owner sees the close.
		socket.on('error', () => socket.destroy());
		this.#open.add(socket);
		socket.once('close', () => this.#open.delete(socket));
		const verdict = checkPeer(socket, this.#context);
		if (typeof socket.alpnProtocol !== 'string') return this.#turnAway(socket, 'IM_TRANSPORT_PROTOCOL');
		if (verdict.ok) {
			this.#context.sessions.add(verdict.svid, socket);
			this.#context.counters.accepted++;
			return this.#handlers.onPeer(socket, verdict.svid);
		}
		if (verdict.refusal.code === 'IM_IDENTITY_NO_CERTIFICATE' && this.#handlers.onAnonymous !== undefined) {
			this.#context.counters.anonymous++;
			return this.#handlers.onAnonymous(socket);
		}
		return this.#turnAway(socket, verdict.refusal.code);
	}

	#turnAway(socket: TLSSocket, reason: RefusalReason): void {
		this.#refuse(reason);
		socket.destroy();
	}

	#refuse(reason: RefusalReason): void {
		this.#context.counters.refuse(reason);
	}
}

/** OpenSSL's codes for a handshake that failed, sorted by what an operator would look for. */
function reasonOf(error: Error & { readonly code?: string }): RefusalReason {
	const code = error.code ?? '';
	if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'IM_TRANSPORT_TIMEOUT';
	if (code === 'ECONNRESET' || code === 'EPIPE') return 'IM_TRANSPORT_CLOSED';
	if (/HTTP_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH|UNEXPECTED_MESSAGE/.test(code)) return 'IM_TRANSPORT_PLAINTEXT';
	if (code.includes('APPLICATION_PROTOCOL')) return 'IM_TRANSPORT_PROTOCOL';
	return 'IM_TRANSPORT_HANDSHAKE';
}
