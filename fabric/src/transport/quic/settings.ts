// Owns the settings of QUIC connections: bounds of what one may hold, and how an identity becomes keys and certificates of quiche.
import { pemOfCertificate } from '../../identity/certificate.js';
import type { Identity } from '../../identity/source.js';
import { protocolNames } from '../connector.js';
import type { Quiche, QuicheConfig } from './binding.js';

export interface QuicLimits {
	/** Largest datagram sent and taken. */
	readonly datagramBytesMax: number;
	/** Unread bytes of one stream, and of all streams of a connection. */
	readonly streamWindowBytes: number;
	readonly connectionWindowBytes: number;
	/** Streams of a connection at once. */
	readonly streamsMax: number;
	/** A connection over which nothing comes for this long is given up. */
	readonly idleTimeoutMs: number;
	/** A handshake takes no longer. */
	readonly handshakeTimeoutMs: number;
	/** Connections of peers who came, those in their handshake included. */
	readonly connectionsMax: number;
	/** Of these, in their handshake. */
	readonly handshakesMax: number;
}

export const quicLimits: QuicLimits = Object.freeze({
	datagramBytesMax: 1350,
	streamWindowBytes: 1024 * 1024,
	connectionWindowBytes: 2 * 1024 * 1024,
	streamsMax: 64,
	idleTimeoutMs: 30_000,
	handshakeTimeoutMs: 5000,
	connectionsMax: 512,
	handshakesMax: 128,
});

/** Makes the configuration of an identity once, and keeps it as long as the identity. */
export class QuicSettings {
	readonly #quiche: Quiche;
	readonly #limits: QuicLimits;
	readonly #configs = new WeakMap<Identity, QuicheConfig>();

	constructor(quiche: Quiche, limits: QuicLimits) {
		this.#quiche = quiche;
		this.#limits = limits;
	}

	of(identity: Identity): QuicheConfig {
		const known = this.#configs.get(identity);
		if (known !== undefined) return known;
		const made = this.#make(identity);
		this.#configs.set(identity, made);
		return made;
	}

	#make({ chain, privateKey }: Identity): QuicheConfig {
		const key = Buffer.from(privateKey.export({ format: 'pem', type: 'pkcs8' }));
		const certificates = Buffer.from(chain.map(pemOfCertificate).join(''));
		// A certificate is asked for on both sides and its key proven; whose it is is judged after the handshake, by the rules of SVIDs (peer.ts).
		const config = this.#quiche.Config.withBoringSslCtx(true, true, null, [key], [certificates], null);
		const { datagramBytesMax, streamWindowBytes, connectionWindowBytes, streamsMax, idleTimeoutMs } = this.#limits;
		config.setApplicationProtos([protocolNames.exchange]);
		config.grease(false);
		config.enablePacing(false);
		config.setMaxIdleTimeout(idleTimeoutMs);
		config.setMaxRecvUdpPayloadSize(datagramBytesMax);
		config.setMaxSendUdpPayloadSize(datagramBytesMax);
		config.setInitialMaxData(connectionWindowBytes);
		config.setMaxConnectionWindow(connectionWindowBytes);
		config.setInitialMaxStreamDataBidiLocal(streamWindowBytes);
		config.setInitialMaxStreamDataBidiRemote(streamWindowBytes);
		config.setMaxStreamWindow(streamWindowBytes);
		config.setInitialMaxStreamsBidi(streamsMax);
		config.setInitialMaxStreamsUni(0);
		// A connection stays on the addresses it was made between.
		config.setDisableActiveMigration(true);
		return config;
	}
}
