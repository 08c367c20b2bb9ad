// Owns the counts of what connections did: how many were made, and how many refused for which reason. Read by metrics; reasons are error codes, so
// their number is bounded.
import type { IdentityErrorCode } from '../identity/errors.js';
import type { TransportErrorCode } from './errors.js';

export type RefusalReason = IdentityErrorCode | TransportErrorCode;

/** The counts at one moment, as plain data. */
export interface TransportCounts {
	readonly accepted: number;
	readonly connected: number;
	readonly anonymous: number;
	readonly revokedClosed: number;
	readonly expiredClosed: { readonly renewed: number; readonly lapsed: number };
	readonly quic: QuicCounts;
	readonly refused: Readonly<Partial<Record<RefusalReason, number>>>;
	readonly failed: Readonly<Partial<Record<RefusalReason, number>>>;
}

export interface QuicCounts {
	/** Exchanges answered, and answered to this node, over QUIC. */
	readonly answered: number;
	readonly asked: number;
	/** Exchanges of a node with QUIC that went over TLS. */
	readonly fellBack: number;
	/** Datagrams with the mark of QUIC that belong to no connection, or come from elsewhere than its peer. */
	readonly dropped: number;
}

export class TransportCounters {
	/** Handshakes that ended in a connection: of peers who came, and of those called. */
	accepted = 0;
	connected = 0;
	/** Connections without a certificate, for joining and renewing. */
	anonymous = 0;
	/** Open connections closed because their peer was revoked. */
	revokedClosed = 0;
	/** Open connections closed because the certificate their peer had shown expired: it was back with a newer one by then, or not. */
	readonly expiredClosed = { renewed: 0, lapsed: 0 };
	readonly quic: { -readonly [Name in keyof QuicCounts]: number } = { answered: 0, asked: 0, fellBack: 0, dropped: 0 };
	readonly #refused = new Map<RefusalReason, number>();
	readonly #failed = new Map<RefusalReason, number>();

	/** A peer who came was refused. */
	refuse(reason: RefusalReason): void {
		this.#refused.set(reason, this.refused(reason) + 1);
	}

	/** A peer who was called was refused, or could not be reached. */
	fail(reason: RefusalReason): void {
		this.#failed.set(reason, this.failed(reason) + 1);
	}

	refused(reason: RefusalReason): number {
		return this.#refused.get(reason) ?? 0;
	}

	failed(reason: RefusalReason): number {
		return this.#failed.get(reason) ?? 0;
	}

	snapshot(): TransportCounts {
		const { accepted, connected, anonymous, revokedClosed } = this;
		const expiredClosed = { ...this.expiredClosed };
		const quic = { ...this.quic };
		return {
			accepted,
			connected,
			anonymous,
			revokedClosed,
			expiredClosed,
			quic,
			refused: Object.fromEntries(this.#refused),
			failed: Object.fromEntries(this.#failed),
		};
	}
}
