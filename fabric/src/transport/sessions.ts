// Owns the list of open connections by the node at their other end, whichever side opened them. Its one duty: when a node is revoked, its
// connections close at once, streams and all.
import type { Duplex } from 'node:stream';
import type { RevocationView } from '../identity/revocation.js';
import { type IdentityMutations, noMutations } from '../identity/svid.js';
import type { TransportCounters } from './counters.js';

export class SessionRegistry {
	readonly #byNode = new Map<string, Set<Duplex>>();
	readonly #revocations: RevocationView;
	readonly #counters: TransportCounters;
	readonly #mutations: IdentityMutations;
	readonly #stop: () => void;

	constructor(revocations: RevocationView, counters: TransportCounters, mutations: IdentityMutations = noMutations) {
		this.#revocations = revocations;
		this.#counters = counters;
		this.#mutations = mutations;
		this.#stop = revocations.onChange(() => this.#closeRevoked());
	}

	/** Registers an open connection until it closes. */
	add(nodeUuid: string, socket: Duplex): void {
		const sockets = this.#byNode.get(nodeUuid) ?? new Set();
		this.#byNode.set(nodeUuid, sockets.add(socket));
		socket.once('close', () => {
			sockets.delete(socket);
			if (sockets.size === 0 && this.#byNode.get(nodeUuid) === sockets) this.#byNode.delete(nodeUuid);
		});
	}

	/** Open connections with a node. */
	count(nodeUuid: string): number {
		return this.#byNode.get(nodeUuid)?.size ?? 0;
	}

	/** Stops listening for revocations. Connections stay with their owners. */
	close(): void {
		this.#stop();
	}

	#closeRevoked(): void {
		if (this.#mutations.has('keep-revoked-connections')) return;
		for (const [nodeUuid, sockets] of this.#byNode) {
			if (!this.#revocations.isRevoked(nodeUuid)) continue;
			for (const socket of sockets) {
				this.#counters.revokedClosed++;
				socket.destroy();
			}
		}
	}
}
