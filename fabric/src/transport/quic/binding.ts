// Owns the way to quiche, Cloudflare's QUIC, as `@infisical/quic` carries it: loading the native part of that package, and the few of its calls that
// are used here. The package's own sockets, streams and locks in JavaScript are left alone: they turn every packet into events and errors.
import { createRequire } from 'node:module';
import { MeshError } from '@infermesh/proto';
import type { HostPort } from '../../effects/packets.js';
import { transportErrors } from '../errors.js';

/** Settings of connections. Uint8Arrays of key and certificates are PEM. */
export interface QuicheConfig {
	grease(on: boolean): void;
	setMaxIdleTimeout(ms: number): void;
	setMaxRecvUdpPayloadSize(bytes: number): void;
	setMaxSendUdpPayloadSize(bytes: number): void;
	setInitialMaxData(bytes: number): void;
	setInitialMaxStreamDataBidiLocal(bytes: number): void;
	setInitialMaxStreamDataBidiRemote(bytes: number): void;
	setInitialMaxStreamsBidi(count: number): void;
	setInitialMaxStreamsUni(count: number): void;
	setMaxStreamWindow(bytes: number): void;
	setMaxConnectionWindow(bytes: number): void;
	setDisableActiveMigration(on: boolean): void;
	setApplicationProtos(names: readonly string[]): void;
	enablePacing(on: boolean): void;
}

export interface QuicheError {
	readonly isApp: boolean;
	readonly errorCode: number;
}

/** One connection, without a socket or a clock: datagrams go in and out, and it says when it wants to be woken. */
export interface QuicheConnection {
	/** Throws when the connection ends by what came. */
	recv(datagram: Uint8Array, path: { readonly from: HostPort; readonly to: HostPort }): number;
	/** Writes the next datagram; null when there is none. */
	send(into: Uint8Array): readonly [bytes: number, info: unknown] | null;
	/** Milliseconds until `onTimeout` is wanted. */
	timeout(): number | null;
	onTimeout(): void;
	readable(): Iterable<number>;
	writable(): Iterable<number>;
	/** Null when nothing is there to read. Throws when the peer reset the stream. */
	streamRecv(id: number, into: Uint8Array): readonly [bytes: number, end: boolean] | null;
	/** How many bytes were taken; null when none can be. Throws when the peer wants no more of the stream. */
	streamSend(id: number, bytes: Uint8Array, end: boolean): number | null;
	streamShutdown(id: number, direction: number, code: number): void;
	peerStreamsLeftBidi(): number;
	close(app: boolean, code: number, reason: Uint8Array): void;
	sendAckEliciting(): void;
	/** DER, leaf first. */
	peerCertChain(): readonly Uint8Array[] | null;
	isEstablished(): boolean;
	isResumed(): boolean;
	isDraining(): boolean;
	isClosed(): boolean;
	peerError(): QuicheError | null;
	localError(): QuicheError | null;
	stats(): { readonly recv: number };
}

export interface QuicheHeader {
	readonly ty: number;
	readonly version: number;
	readonly dcid: Uint8Array;
	readonly scid: Uint8Array;
	readonly token?: Uint8Array | null;
}

export interface Quiche {
	readonly PROTOCOL_VERSION: number;
	readonly Type: { readonly Initial: number };
	readonly Shutdown: { readonly Read: number; readonly Write: number };
	readonly Config: {
		withBoringSslCtx(
			verifyPeer: boolean,
			acceptUnverified: boolean,
			roots: Uint8Array | null,
			keys: readonly Uint8Array[] | null,
			chains: readonly Uint8Array[] | null,
			algorithms: string | null,
		): QuicheConfig;
	};
	readonly Connection: {
		connect(
			serverName: string | null,
			id: Uint8Array,
			local: HostPort,
			remote: HostPort,
			config: QuicheConfig,
		): QuicheConnection;
		accept(
			id: Uint8Array,
			originalId: Uint8Array | null,
			local: HostPort,
			remote: HostPort,
			config: QuicheConfig,
		): QuicheConnection;
	};
	readonly Header: {
		/** Throws when the datagram is none. */
		fromSlice(datagram: Uint8Array, idBytes: number): QuicheHeader;
	};
	/** Writes a datagram that asks a caller to prove its address; answers its length. */
	retry(
		callerId: Uint8Array,
		originalId: Uint8Array,
		newId: Uint8Array,
		token: Uint8Array,
		version: number,
		into: Uint8Array,
	): number;
}

const MODULE = '@infisical/quic/dist/native/quiche.js';

/** Loads the native library, `from` where it is installed. Throws IM_TRANSPORT_QUIC_MISSING. */
export function loadQuiche(from: string = import.meta.url): Quiche {
	try {
		const loaded = createRequire(from)(MODULE) as { readonly default?: Partial<Quiche> };
		const { Config, Connection, retry } = loaded.default ?? {};
		if (Config === undefined || Connection === undefined || retry === undefined)
			throw new TypeError('the module has not what is expected');
		return loaded.default as Quiche;
	} catch (cause) {
		const why = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
		throw new MeshError(transportErrors, 'IM_TRANSPORT_QUIC_MISSING', `QUIC cannot be loaded: ${why}`, { cause });
	}
}
