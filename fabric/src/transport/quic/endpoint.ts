// Owns the QUIC side of a UDP socket: which connection a datagram belongs to, who may open one, and the judgement of the peer at the end of each handshake. A
// caller proves its address before anything is kept for it; what belongs to nobody is dropped and counted.
import { randomBytes } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import type { DatagramGuest, DatagramPort, HostPort } from '../../effects/packets.js';
import { refusalError, type SvidVerdict, type VerifiedSvid, validateSvidChain } from '../../identity/svid.js';
import type { RefusalReason } from '../counters.js';
import { transportErrors } from '../errors.js';
import { checkStanding, ofNode, type TransportContext } from '../peer.js';
import type { Quiche, QuicheConnection, QuicheHeader } from './binding.js';
import { QuicConnection, quicCode } from './connection.js';
import { RetryTokens } from './retry-token.js';
import { type QuicLimits, QuicSettings } from './settings.js';

const ID_BYTES = 16;
/** Every datagram of QUIC version 1 has this bit in its first byte; no packet of gossip does. */
const QUIC_BIT = 0x40;
const LONG_HEADER_BIT = 0x80;
/** Where the caller's first datagram has its ids: after the first byte and the version. */
const LONG_ID_AT = 6;
/** A first datagram of a caller is at least this long, so that no answer is longer than the question. */
const INITIAL_BYTES_MIN = 1200;

/** TLS alerts, as QUIC carries them. */
const alertBase = 0x100;
const alerts: ReadonlyMap<number, RefusalReason> = new Map([
	[alertBase + 116, 'IM_IDENTITY_NO_CERTIFICATE'],
	[alertBase + 120, 'IM_TRANSPORT_PROTOCOL'],
]);

export type OnQuicPeer = (connection: QuicConnection, peer: VerifiedSvid & { readonly nodeUuid: string }) => void;

export interface QuicPeer {
	readonly connection: QuicConnection;
	readonly svid: VerifiedSvid & { readonly nodeUuid: string };
}

export class QuicEndpoint implements DatagramGuest {
	readonly #quiche: Quiche;
	readonly #context: TransportContext;
	readonly #limits: QuicLimits;
	readonly #settings: QuicSettings;
	readonly #tokens: RetryTokens;
	/** By the id that the peer writes on its datagrams. */
	readonly #connections = new Map<string, QuicConnection>();
	#port: DatagramPort | undefined;
	#onPeer: OnQuicPeer | undefined;
	#accepted = 0;
	#handshakes = 0;

	constructor(quiche: Quiche, context: TransportContext, limits: QuicLimits) {
		this.#quiche = quiche;
		this.#context = context;
		this.#limits = limits;
		this.#settings = new QuicSettings(quiche, limits);
		this.#tokens = new RetryTokens(context.clock);
	}

	attach(port: DatagramPort): void {
		this.#port = port;
	}

	get port(): DatagramPort | undefined {
		return this.#port;
	}

	/** Connections of callers, and of these the ones in their handshake. */
	get load(): { readonly connections: number; readonly handshakes: number } {
		return { connections: this.#accepted, handshakes: this.#handshakes };
	}

	/** Accepts callers from now on. */
	accept(onPeer: OnQuicPeer): void {
		this.#onPeer = onPeer;
	}

	take(from: HostPort, datagram: Uint8Array): boolean {
		const first = datagram[0] ?? 0;
		if ((first & QUIC_BIT) === 0) return false;
		const idAt = (first & LONG_HEADER_BIT) === 0 ? 1 : LONG_ID_AT;
		const connection = this.#connections.get(keyOf(datagram.subarray(idAt, idAt + ID_BYTES)));
		if (connection === undefined) this.#greet(from, datagram);
		else if (isAt(connection.remote, from)) connection.receive(from, datagram);
		// A connection stays where it was made: who copies its ids from elsewhere reaches nothing.
		else this.#drop();
		return true;
	}

	/**
	 * Opens a connection to whichever node of the trust domain answers at `to`. Rejects with IM_TRANSPORT_UNREACHABLE when nobody does in time,
	 * IM_TRANSPORT_HANDSHAKE, IM_TRANSPORT_PROTOCOL or the IM_IDENTITY_* refusal of the peer.
	 */
	async connect(to: HostPort, timeoutMs: number): Promise<QuicPeer> {
		try {
			return await this.#connect(to, timeoutMs);
		} catch (error) {
			if (error instanceof MeshError) this.#context.counters.fail(error.code as RefusalReason);
			throw error;
		}
	}

	/** Ends every connection. */
	close(): void {
		this.#onPeer = undefined;
		for (const connection of this.#connections.values()) connection.abandon();
	}

	async #connect(to: HostPort, timeoutMs: number): Promise<QuicPeer> {
		const port = this.#port;
		if (port === undefined) throw new MeshError(transportErrors, 'IM_TRANSPORT_CLOSED');
		const id = randomBytes(ID_BYTES);
		let native: QuicheConnection;
		try {
			const config = this.#settings.of(this.#context.identity.current());
			native = this.#quiche.Connection.connect(null, id, localOf(port), to, config);
		} catch (cause) {
			if (cause instanceof MeshError) throw cause;
			// An address or a certificate that quiche does not take: TLS may.
			throw new MeshError(transportErrors, 'IM_TRANSPORT_UNREACHABLE', String(cause), { cause });
		}
		const connection = this.#add(id, native, to, port);
		const { promise, resolve, reject } = Promise.withResolvers<QuicPeer>();
		const timer = this.#context.clock.after(timeoutMs, () => {
			reject(new MeshError(transportErrors, 'IM_TRANSPORT_UNREACHABLE', `no answer over QUIC within ${timeoutMs} ms`));
			connection.destroy();
		});
		connection.once('established', () => {
			const verdict = ofNode(this.#judge(connection));
			if (verdict.ok) {
				this.#context.sessions.add(verdict.svid, connection);
				this.#context.counters.connected++;
				resolve({ connection, svid: verdict.svid as QuicPeer['svid'] });
				return;
			}
			reject(refusalError(verdict.refusal));
			connection.destroy(quicCode.refused);
		});
		connection.once('close', () => {
			const code = alerts.get(connection.ending?.errorCode ?? 0);
			const protocol = code === 'IM_TRANSPORT_PROTOCOL';
			reject(new MeshError(transportErrors, protocol ? code : 'IM_TRANSPORT_HANDSHAKE', 'the QUIC handshake failed'));
		});
		connection.start();
		return promise.finally(() => timer.cancel());
	}

	/** A datagram of no connection: the first of a caller, the second that proves its address, or nothing of ours. */
	#greet(from: HostPort, datagram: Uint8Array): void {
		const port = this.#port;
		const header = port !== undefined && this.#onPeer !== undefined ? this.#initialHeader(datagram) : undefined;
		if (port === undefined || header === undefined) return this.#drop();
		if ((header.token?.length ?? 0) === 0) return this.#askForProof(port, from, header);
		const original = this.#tokens.open(header.token ?? new Uint8Array(0), from, header.dcid);
		if (original === undefined) return this.#drop();
		if (this.#accepted >= this.#limits.connectionsMax || this.#handshakes >= this.#limits.handshakesMax)
			return this.#context.counters.refuse('IM_TRANSPORT_CONNECTIONS_MAX');
		return this.#accept(port, from, header.dcid, original, datagram);
	}

	#initialHeader(datagram: Uint8Array): QuicheHeader | undefined {
		if (datagram.length < INITIAL_BYTES_MIN || ((datagram[0] ?? 0) & LONG_HEADER_BIT) === 0) return undefined;
		try {
			const header = this.#quiche.Header.fromSlice(datagram, ID_BYTES);
			const known = header.ty === this.#quiche.Type.Initial && header.version === this.#quiche.PROTOCOL_VERSION;
			return known ? header : undefined;
		} catch {
			return undefined;
		}
	}

	#askForProof(port: DatagramPort, from: HostPort, { scid, dcid, version }: QuicheHeader): void {
		const newId = randomBytes(ID_BYTES);
		const into = Buffer.alloc(this.#limits.datagramBytesMax);
		try {
			const token = this.#tokens.issue(from, dcid, newId);
			const length = this.#quiche.retry(scid, dcid, newId, token, version, into);
			port.send(from, into.subarray(0, length));
		} catch {
			this.#drop();
		}
	}

	#accept(port: DatagramPort, from: HostPort, id: Uint8Array, original: Uint8Array, datagram: Uint8Array): void {
		const { counters, clock, identity, sessions } = this.#context;
		let native: QuicheConnection;
		try {
			const config = this.#settings.of(identity.current());
			native = this.#quiche.Connection.accept(id, original, localOf(port), from, config);
		} catch {
			// An address that quiche cannot read, such as one with a zone, or a certificate it does not take.
			return this.#drop();
		}
		const connection = this.#add(id, native, from, port);
		this.#accepted++;
		this.#handshakes++;
		let late = false;
		const timer = clock.after(this.#limits.handshakeTimeoutMs, () => {
			late = true;
			connection.destroy();
		});
		connection.once('established', () => {
			this.#handshakes--;
			timer.cancel();
			// A resumed session skips the proof of the certificate's key; nobody here asks for one.
			if (connection.resumed) {
				counters.refuse('IM_TRANSPORT_HANDSHAKE');
				return connection.destroy(quicCode.refused);
			}
			const verdict = this.#judge(connection);
			if (!verdict.ok || verdict.svid.nodeUuid === undefined) {
				counters.refuse(verdict.ok ? 'IM_TRANSPORT_NOT_A_NODE' : verdict.refusal.code);
				return connection.destroy(quicCode.refused);
			}
			sessions.add(verdict.svid, connection);
			counters.accepted++;
			return this.#onPeer?.(connection, verdict.svid as QuicPeer['svid']);
		});
		connection.once('close', () => {
			this.#accepted--;
			if (connection.established) return;
			this.#handshakes--;
			timer.cancel();
			const { errorCode = 0, isApp = false } = connection.ending ?? {};
			const left = isApp ? 'IM_TRANSPORT_CLOSED' : 'IM_TRANSPORT_HANDSHAKE';
			counters.refuse(late ? 'IM_TRANSPORT_TIMEOUT' : (alerts.get(errorCode) ?? left));
		});
		connection.receive(from, datagram);
	}

	#add(id: Uint8Array, native: QuicheConnection, remote: HostPort, port: DatagramPort): QuicConnection {
		const { datagramBytesMax } = this.#limits;
		const { clock } = this.#context;
		const connection = new QuicConnection({ native, quiche: this.#quiche, port, remote, clock, datagramBytesMax });
		const key = keyOf(id);
		this.#connections.set(key, connection);
		connection.once('gone', () => this.#connections.delete(key));
		return connection;
	}

	/** quiche has checked that the peer holds the key of its certificate; the rest is judged here. */
	#judge(connection: QuicConnection): SvidVerdict {
		const { identity, clock, mutations, revocations } = this.#context;
		const { chain } = connection;
		if (chain.length === 0)
			return { ok: false, refusal: { code: 'IM_IDENTITY_NO_CERTIFICATE', message: 'no certificate' } };
		const verdict = validateSvidChain(chain, identity.current().bundle, clock.wallMs(), mutations);
		return verdict.ok ? checkStanding(verdict, revocations) : verdict;
	}

	#drop(): void {
		this.#context.counters.quic.dropped++;
	}
}

function keyOf(id: Uint8Array): string {
	return Buffer.from(id.buffer, id.byteOffset, id.length).toString('latin1');
}

function isAt(one: HostPort, other: HostPort): boolean {
	return one.port === other.port && one.host === other.host;
}

function localOf({ host, port }: DatagramPort): HostPort {
	return { host, port };
}
