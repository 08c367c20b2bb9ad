// Owns user broadcasts: what others of this mesh want all to hear. The newest of each origin and key is delivered once and passed on; older
// ones are dropped. Those too big for a packet travel by stream from node to node, best effort.
import { MeshError } from '@infermesh/proto';
import type { Address } from '../effects/packets.js';
import { membershipErrors } from './errors.js';
import type { Exchanges } from './exchanges.js';
import type { UserMessage } from './messages.js';
import { swimBounds } from './settings.js';
import type { SwimState } from './state.js';

/** Sequences of one life of a node: its incarnation at the start takes the upper digits, so that a restart goes on above. */
const sequencesPerIncarnation = 2 ** 20;
/** Members an oversized message is passed to by each that hears it first: reaches all but e^-6 of them on average. */
const streamFanout = 6;

export class UserMessages {
	readonly #state: SwimState;
	readonly #exchanges: Exchanges;
	/** Newest sequence by origin and key, in order of last change. */
	readonly #newest = new Map<string, number>();
	#sequence: number;

	constructor(state: SwimState, exchanges: Exchanges, incarnation: number) {
		this.#state = state;
		this.#exchanges = exchanges;
		this.#sequence = incarnation * sequencesPerIncarnation;
	}

	/** Throws MeshError IM_MEMBERSHIP_OVERSIZED. */
	broadcast(key: string, payload: Uint8Array): void {
		const { id, signer } = this.#state;
		checkBroadcast(key, payload);
		const unsigned = { kind: 'user', origin: id, key, sequence: ++this.#sequence, payload } as const;
		const message: UserMessage = { ...unsigned, proof: signer.sign(unsigned) };
		this.#remember(nameOf(message), message.sequence);
		this.#pass(message);
	}

	receive(message: UserMessage, from: Address): void {
		const state = this.#state;
		if (message.origin === state.id) return;
		if (message.origin === '') {
			this.#deliver(message);
			return;
		}
		const name = nameOf(message);
		if (message.sequence <= (this.#newest.get(name) ?? -1)) {
			state.counters.userDuplicates++;
			return;
		}
		if (!state.believes(message, from)) return;
		this.#remember(name, message.sequence);
		this.#deliver(message);
		this.#pass(message);
	}

	#deliver(message: UserMessage): void {
		this.#state.counters.userMessages++;
		this.#state.tell({ kind: 'user', origin: message.origin, key: message.key, payload: message.payload });
	}

	#pass(message: UserMessage): void {
		const state = this.#state;
		if (state.spread(nameOf(message), message) === 'queued') return;
		const slots = state.table.pick(streamFanout, state.random, (slot) => state.table.stateOf(slot) === 'alive');
		for (const slot of slots) {
			const { address, id } = state.table.aliveOf(slot);
			this.#exchanges.ask(address, id, { kind: 'deliver', from: state.id, messages: [message] }, { kind: 'tell' });
		}
	}

	#remember(name: string, sequence: number): void {
		this.#newest.delete(name);
		this.#newest.set(name, sequence);
		if (this.#newest.size <= swimBounds.userKeysMax) return;
		const [oldest] = this.#newest.keys();
		if (oldest !== undefined) this.#newest.delete(oldest);
	}
}

/** Throws MeshError IM_MEMBERSHIP_OVERSIZED. */
export function checkBroadcast(key: string, payload: Uint8Array): void {
	const { userKeyMaxBytes, userStreamMaxBytes } = swimBounds;
	const keyBytes = Buffer.byteLength(key);
	if (keyBytes <= userKeyMaxBytes && payload.length <= userStreamMaxBytes) return;
	const message = `broadcast of ${payload.length} bytes under a key of ${keyBytes}; at most ${userStreamMaxBytes} and ${userKeyMaxBytes}`;
	throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_OVERSIZED', message);
}

/** Unlike any node id, which are the keys of claims. */
function nameOf(message: UserMessage): string {
	return `user ${message.origin} ${message.key}`;
}
