// Owns replicated state where there is nobody to replicate it to: the store of one process, in memory, behind the same contract. For a lone
// development node and for tests of what lies above the contract.
import type { Clock, Random } from '@infermesh/proto';
import { encodeCommand } from '../store/command-codec.js';
import { Store } from '../store/store.js';
import { consensusError } from './errors.js';
import type { Replicator } from './replicator.js';
import { StoreEngine } from './store-engine.js';

const SELF = 'local';

class LocalReplicator implements Replicator {
	readonly #store: Store;
	#index: number;
	#applied: () => void = () => {};
	#closed = false;

	constructor(store: Store) {
		this.#store = store;
		this.#index = store.appliedIndex;
	}

	propose(command: Uint8Array): Promise<Uint8Array> {
		if (this.#closed) return Promise.reject(consensusError('IM_CONSENSUS_CLOSED'));
		const result = this.#store.apply(command, ++this.#index);
		this.#applied();
		return Promise.resolve(result);
	}

	readBarrier(): Promise<void> {
		return Promise.resolve();
	}

	leads(): boolean {
		return true;
	}

	status() {
		return { self: SELF, leader: SELF, term: 1, members: [], quorum: true };
	}

	onApplied(applied: () => void): void {
		this.#applied = applied;
	}

	close(): Promise<void> {
		this.#closed = true;
		return Promise.resolve();
	}
}

export interface LocalEngineOptions {
	readonly clock: Clock;
	readonly random: Random;
	/** Told of faults that no caller sees: a watch handler that throws. */
	readonly fault: (error: unknown) => void;
}

export function createLocalEngine({ clock, random, fault }: LocalEngineOptions): StoreEngine {
	const store = new Store();
	const replicator = new LocalReplicator(store);
	const engine = new StoreEngine({ store, replicator, clock, random, fault });
	void replicator.propose(encodeCommand({ kind: 'found', clusterId: SELF }));
	return engine;
}
