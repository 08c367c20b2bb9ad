// Owns exchanges over mTLS: one connection, one question, one answer: gossip's push/pull, its joins and its fallback probe. Both ends know the node at the
// other by its certificate.
import type { TLSSocket } from 'node:tls';
import { MeshError } from '@infermesh/proto';
import type { Address, Answer, ExchangeOptions, ExchangePort, OnExchange } from '../effects/packets.js';
import type { VerifiedSvid } from '../identity/svid.js';
import { formatAddress, parseAddress } from './address.js';
import { connectAsNode, openTcp, protocolNames } from './connector.js';
import { transportErrors } from './errors.js';
import { frame, readFrame } from './frames.js';
import { type ListenerLimits, SecureListener } from './listener.js';
import type { TransportContext } from './peer.js';

export interface TlsExchangeOptions {
	readonly requestBytesMax: number;
	/** From the end of the handshake to the last byte of the answer, at the answering side. */
	readonly answerTimeoutMs: number;
	/** Exchanges answered at once. */
	readonly answersMax: number;
	readonly limits: Partial<ListenerLimits>;
}

export const tlsExchangeDefaults: TlsExchangeOptions = Object.freeze({
	requestBytesMax: 16 * 1024 * 1024,
	answerTimeoutMs: 10_000,
	answersMax: 64,
	limits: { connectionsMax: 512, handshakesMax: 128 },
});

export class TlsExchange implements ExchangePort {
	readonly #context: TransportContext;
	readonly #options: TlsExchangeOptions;
	readonly #calls = new Set<{ destroy(): void }>();
	#listener: SecureListener | undefined;
	#answering = 0;
	#closed = false;

	constructor(context: TransportContext, options: Partial<TlsExchangeOptions> = {}) {
		this.#context = context;
		this.#options = { ...tlsExchangeDefaults, ...options };
	}

	/** Opens the port; resolves with the bound address. Throws IM_IDENTITY_NOT_READY without a certificate to show. */
	async listen(at: Address, onExchange: OnExchange): Promise<Address> {
		const { limits } = this.#options;
		const onPeer = (socket: TLSSocket, peer: VerifiedSvid): void => void this.#answer(socket, peer, onExchange);
		const listener = new SecureListener(this.#context, { protocols: [protocolNames.exchange], onPeer }, limits);
		try {
			const address = await listener.listen(parseAddress(at));
			this.#listener = listener;
			return address;
		} catch (error) {
			listener.close();
			throw error;
		}
	}

	/**
	 * Asks the node at `to`, whichever node of the trust domain that is, or `expectedNode` alone. `timeoutMs` covers everything from the connection to
	 * the last byte. Rejects with IM_TRANSPORT_* or the IM_IDENTITY_* refusal of the peer.
	 */
	async exchange(to: Address, request: Uint8Array, options: ExchangeOptions): Promise<Answer> {
		if (this.#closed) throw new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED');
		const { clock } = this.#context;
		const startMs = clock.nowMs();
		const leftMs = (): number => Math.max(0, options.timeoutMs - (clock.nowMs() - startMs));
		const tcp = this.#tracked(await openTcp(parseAddress(to), options.timeoutMs, clock));
		const { tls, nodeUuid: node } = await connectAsNode(tcp, this.#context, {
			protocol: protocolNames.exchange,
			timeoutMs: leftMs(),
			expectedNode: options.expectedNode,
		});
		let late = false;
		const timer = clock.after(leftMs(), () => {
			late = true;
			tls.destroy();
		});
		try {
			tls.write(frame(request));
			return { bytes: await readFrame(tls, options.answerMaxBytes), node };
		} catch (error) {
			if (late)
				throw new MeshError(transportErrors, 'IM_TRANSPORT_TIMEOUT', `no answer within ${options.timeoutMs} ms`);
			throw error;
		} finally {
			timer.cancel();
			tls.destroy();
		}
	}

	/** Closes the port and every exchange under way. */
	close(): Promise<void> {
		this.#closed = true;
		this.#listener?.close();
		for (const socket of this.#calls) socket.destroy();
		return Promise.resolve();
	}

	async #answer(socket: TLSSocket, peer: VerifiedSvid, onExchange: OnExchange): Promise<void> {
		const full = this.#answering >= this.#options.answersMax;
		if (full || peer.nodeUuid === undefined) {
			this.#context.counters.refuse(full ? 'IM_TRANSPORT_CONNECTIONS_MAX' : 'IM_TRANSPORT_NOT_A_NODE');
			socket.destroy();
			return;
		}
		this.#answering++;
		const timer = this.#context.clock.after(this.#options.answerTimeoutMs, () => {
			this.#context.counters.refuse('IM_TRANSPORT_TIMEOUT');
			socket.destroy();
		});
		socket.once('close', () => {
			timer.cancel();
			this.#answering--;
		});
		try {
			const request = await readFrame(socket, this.#options.requestBytesMax);
			const from = formatAddress(socket.remoteAddress ?? '', socket.remotePort ?? 0);
			// `end` waits until the answer has gone out; the timer above ends a peer that does not read it.
			socket.end(frame(await onExchange(from, request, peer.nodeUuid)));
		} catch (error) {
			if (error instanceof MeshError && error.code === 'IM_TRANSPORT_MESSAGE_TOO_LARGE')
				this.#context.counters.refuse('IM_TRANSPORT_MESSAGE_TOO_LARGE');
			socket.destroy();
		}
	}

	#tracked<T extends { destroy(): void; once(event: 'close', listener: () => void): unknown }>(socket: T): T {
		this.#calls.add(socket);
		socket.once('close', () => this.#calls.delete(socket));
		return socket;
	}
}
