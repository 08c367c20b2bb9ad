// Owns the list of open connections with what their other end showed, whichever side opened them. Two duties: when a node is revoked, its connections
// close at once, streams and all; and no connection outlives the certificate its peer showed. By then the peer has long been back with a newer one:
// nodes renew at half-life, and servers ask for connections to be replaced before that (secure-server.ts).
import type { Clock, Timer } from '@infermesh/proto';
import type { RevocationView } from '../identity/revocation.js';
import { type IdentityMutations, noMutations, type VerifiedSvid } from '../identity/svid.js';
import type { TransportCounters } from './counters.js';

/** Longest wait between two looks at the wall clock: a machine that slept closes what expired meanwhile. */
const LOOK_MS = 30_000;

/** A TLS socket, or a connection of QUIC. */
export interface OpenConnection {
	readonly destroyed: boolean;
	destroy(): unknown;
	once(event: 'close', listener: () => void): unknown;
}

interface Session {
	readonly peer: VerifiedSvid;
	readonly socket: OpenConnection;
}

export class SessionRegistry {
	/** By SPIFFE id. */
	readonly #byPeer = new Map<string, Set<Session>>();
	readonly #revocations: RevocationView;
	readonly #counters: TransportCounters;
	readonly #clock: Clock;
	readonly #mutations: IdentityMutations;
	readonly #stop: () => void;
	#timer: Timer | undefined;

	constructor(
		revocations: RevocationView,
		counters: TransportCounters,
		clock: Clock,
		mutations: IdentityMutations = noMutations,
	) {
		this.#revocations = revocations;
		this.#counters = counters;
		this.#clock = clock;
		this.#mutations = mutations;
		this.#stop = revocations.onChange(() => this.#closeRevoked());
	}

	/** Registers an open connection until it closes. */
	add(peer: VerifiedSvid, socket: OpenConnection): void {
		const key = peer.id.uri;
		const sessions = this.#byPeer.get(key) ?? new Set();
		const session = { peer, socket };
		this.#byPeer.set(key, sessions.add(session));
		socket.once('close', () => {
			sessions.delete(session);
			if (sessions.size === 0 && this.#byPeer.get(key) === sessions) this.#byPeer.delete(key);
		});
		this.#look();
	}

	/** Open connections with a node. */
	count(nodeUuid: string): number {
		return this.#all().filter(({ peer }) => peer.nodeUuid === nodeUuid).length;
	}

	/** Stops listening for revocations and looking at the clock. Connections stay with their owners. */
	close(): void {
		this.#stop();
		this.#timer?.cancel();
	}

	#all(): Session[] {
		const all: Session[] = [];
		for (const sessions of this.#byPeer.values()) all.push(...sessions);
		return all;
	}

	#closeRevoked(): void {
		if (this.#mutations.has('keep-revoked-connections')) return;
		for (const { peer, socket } of this.#all()) {
			if (peer.nodeUuid === undefined || !this.#revocations.isRevoked(peer.nodeUuid)) continue;
			this.#counters.revokedClosed++;
			socket.destroy();
		}
	}

	/** Closes what has expired, and comes back when the next one does. */
	#look(): void {
		this.#timer?.cancel();
		this.#timer = undefined;
		if (this.#mutations.has('keep-expired-connections') || this.#mutations.has('accept-expired')) return;
		const nowMs = this.#clock.wallMs();
		let nextMs = Number.POSITIVE_INFINITY;
		for (const { peer, socket } of this.#all()) {
			if (socket.destroyed) continue;
			if (peer.notAfterMs > nowMs) {
				nextMs = Math.min(nextMs, peer.notAfterMs);
				continue;
			}
			if (this.#isBack(peer)) this.#counters.expiredClosed.renewed++;
			else this.#counters.expiredClosed.lapsed++;
			socket.destroy();
		}
		if (nextMs === Number.POSITIVE_INFINITY) return;
		this.#timer = this.#clock.after(Math.min(nextMs - nowMs, LOOK_MS), () => this.#look(), { unref: true });
	}

	/** Whether the peer of an expired connection has another one, made with a newer certificate. */
	#isBack({ id, notAfterMs }: VerifiedSvid): boolean {
		return [...(this.#byPeer.get(id.uri) ?? [])].some(
			({ peer, socket }) => peer.notAfterMs > notAfterMs && !socket.destroyed,
		);
	}
}
