// Owns the check of the state machines: members that have applied up to one index hold the same state, whether by commands or by a snapshot, and a plain
// replay of all committed commands gives the same.
import {
	decodeCommand,
	type LeaseId,
	type StateMachine,
	type StateRestore,
	Store,
	type StoreMutation,
} from '@infermesh/fabric';
import { Violation } from '../world/sim-world.js';

/** What was applied anywhere, over all members of a group. */
export class AppliedBook {
	readonly #hashes = new Map<number, string>();
	readonly #commands = new Map<number, Uint8Array>();
	readonly #mutations: ReadonlySet<StoreMutation>;

	/** A replay has the known bugs that members have: what it must show is that they agree. */
	constructor(mutations: ReadonlySet<StoreMutation>) {
		this.#mutations = mutations;
	}

	get commands(): number {
		return this.#commands.size;
	}

	agree(who: string, index: number, hash: string, how: string): void {
		const before = this.#hashes.get(index);
		if (before === undefined) this.#hashes.set(index, hash);
		else if (before !== hash)
			throw new Violation(`state machine safety: ${who} holds another state at ${index} than others (${how})`);
	}

	keep(index: number, command: Uint8Array): void {
		if (!this.#commands.has(index)) this.#commands.set(index, command.slice());
	}

	/** Applies everything to a new store; it must get to the state that members had at the last index, and end no lease that was renewed. */
	replay(): Store {
		const store = new Store({ mutations: this.#mutations });
		const leases = new LeaseBook(store);
		for (const [index, command] of [...this.#commands].sort(([a], [b]) => a - b)) {
			leases.check(command, () => store.apply(command, index));
			this.agree('a replay', index, store.appliedHash, 'by replay');
		}
		return store;
	}
}

/** Counts renewals as they are applied: whoever decides that a lease is over says how many it has seen, and a later one keeps the lease. */
class LeaseBook {
	readonly #store: Store;
	readonly #renewals = new Map<LeaseId, number>();

	constructor(store: Store) {
		this.#store = store;
	}

	check(bytes: Uint8Array, apply: () => void): void {
		const { command } = decodeCommand(bytes);
		const kept =
			command.kind === 'expire'
				? command.leases.filter(({ id, renewals }) => this.#held(id) && (this.#renewals.get(id) ?? 0) > renewals)
				: [];
		if (command.kind === 'renew')
			for (const id of command.ids) if (this.#held(id)) this.#renewals.set(id, (this.#renewals.get(id) ?? 0) + 1);
		apply();
		for (const { id } of kept)
			if (!this.#held(id)) throw new Violation(`lease ${id} is ended although it was renewed since that was decided`);
	}

	#held(id: LeaseId): boolean {
		return this.#store.lease(id) !== undefined;
	}
}

/** One member's store, compared at every step. */
export class CheckedMachine implements StateMachine {
	readonly store: Store;
	readonly #who: string;
	readonly #book: AppliedBook;

	constructor(who: string, store: Store, book: AppliedBook) {
		this.#who = who;
		this.store = store;
		this.#book = book;
	}

	get appliedIndex(): number {
		return this.store.appliedIndex;
	}

	get appliedHash(): string {
		return this.store.appliedHash;
	}

	apply(command: Uint8Array, index: number): Uint8Array {
		const result = this.store.apply(command, index);
		this.#book.keep(index, command);
		this.#book.agree(this.#who, index, this.store.appliedHash, 'by command');
		return result;
	}

	snapshot(): Iterable<Uint8Array> {
		return this.store.snapshot();
	}

	beginRestore(): StateRestore {
		const restore = this.store.beginRestore();
		return {
			push: (bytes) => restore.push(bytes),
			finish: () => {
				restore.finish();
				const { appliedIndex, appliedHash } = this.store;
				if (appliedIndex > 0) this.#book.agree(this.#who, appliedIndex, appliedHash, 'by snapshot');
			},
		};
	}
}
