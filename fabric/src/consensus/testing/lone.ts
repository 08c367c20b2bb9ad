// Owns a member without others, for tests: commands are applied as they come, on a real clock. What a group does (loss, leaders, terms) it does
// not; the quorum can be taken from it by hand.
import type { Clock, Timer } from '@infermesh/proto';
import { SeededRandom } from '@infermesh/proto';
import { encodeCommand } from '../../store/command-codec.js';
import { Store } from '../../store/store.js';
import { consensusError } from '../errors.js';
import type { Replicator, ReplicatorStatus } from '../replicator.js';
import { StoreEngine } from '../store-engine.js';

export class RealClock implements Clock {
	nowMs(): number {
		return performance.now();
	}

	wallMs(): number {
		return Date.now();
	}

	after(delayMs: number, fn: () => void, options: { readonly unref?: boolean } = {}): Timer {
		const timer = setTimeout(fn, delayMs);
		if (options.unref === true) timer.unref();
		return { cancel: () => clearTimeout(timer) };
	}

	every(periodMs: number, fn: () => void, options: { readonly unref?: boolean } = {}): Timer {
		const timer = setInterval(fn, periodMs);
		if (options.unref === true) timer.unref();
		return { cancel: () => clearInterval(timer) };
	}
}

export class LoneReplicator implements Replicator {
	readonly #store: Store;
	#applied: () => void = () => undefined;
	quorum = true;

	constructor(store: Store) {
		this.#store = store;
	}

	async propose(command: Uint8Array): Promise<Uint8Array> {
		await this.readBarrier();
		const result = this.#store.apply(command, this.#store.appliedIndex + 1);
		this.#applied();
		return result;
	}

	async readBarrier(): Promise<void> {
		if (!this.quorum) throw consensusError('IM_CONSENSUS_NO_QUORUM');
	}

	leads(): boolean {
		return this.quorum;
	}

	status(): ReplicatorStatus {
		const members = [
			{ id: 'lone', address: '127.0.0.1:1', role: 'voter' as const, matchIndex: this.#store.appliedIndex },
		];
		return { self: 'lone', leader: this.quorum ? 'lone' : undefined, term: 1, members, quorum: this.quorum };
	}

	onApplied(applied: () => void): void {
		this.#applied = applied;
	}

	async close(): Promise<void> {
		this.quorum = false;
	}
}

export interface LoneEngine {
	readonly store: Store;
	readonly replicator: LoneReplicator;
	readonly engine: StoreEngine;
}

let started = 0;

export function loneEngine(): LoneEngine {
	const store = new Store();
	store.apply(encodeCommand({ kind: 'found', clusterId: `lone-${++started}` }), 1);
	const replicator = new LoneReplicator(store);
	const fault = (error: unknown) => {
		throw error;
	};
	const engine = new StoreEngine({
		store,
		replicator,
		clock: new RealClock(),
		random: new SeededRandom(started),
		fault,
	});
	return { store, replicator, engine };
}
