// Owns what happens to the messages of a packet: each goes to the part that it concerns, pings are answered.
import type { Address } from '../effects/packets.js';
import type { ClaimKeeper } from './claim-keeper.js';
import type { GossipMessage, NodeId, Ping } from './messages.js';
import type { Prober } from './prober.js';
import { RateLimit } from './rate-limit.js';
import type { Relays } from './relays.js';
import { swimBounds } from './settings.js';
import type { SwimState } from './state.js';
import type { UserMessages } from './user-messages.js';

export class Receiver {
	readonly #state: SwimState;
	readonly #keeper: ClaimKeeper;
	readonly #prober: Prober;
	readonly #relays: Relays;
	readonly #users: UserMessages;
	readonly #answers = new RateLimit(swimBounds.answersPerSecondMax, swimBounds.answersBurst);

	constructor(state: SwimState, keeper: ClaimKeeper, prober: Prober, relays: Relays, users: UserMessages) {
		this.#state = state;
		this.#keeper = keeper;
		this.#prober = prober;
		this.#relays = relays;
		this.#users = users;
	}

	/** Alive claims first, the last one first: what a packet tells of life counts before what it tells of death (memberlist's order). */
	receive(messages: readonly GossipMessage[], from: Address, sender?: NodeId, asNewcomer = false): void {
		for (let i = messages.length - 1; i >= 0; i--) {
			const message = messages[i] as GossipMessage;
			if (message.kind === 'alive') this.#keeper.apply(message, from, asNewcomer);
		}
		for (const message of messages) this.#receiveOne(message, from, sender);
	}

	#receiveOne(message: GossipMessage, from: Address, sender: NodeId | undefined): void {
		switch (message.kind) {
			case 'alive':
				break;
			case 'suspect':
			case 'dead':
			case 'left':
				this.#keeper.apply(message, from);
				break;
			case 'user':
				this.#users.receive(message, from);
				break;
			case 'ping':
				this.#onPing(message, from);
				break;
			case 'pingRequest':
				this.#relays.onRequest(message, from);
				break;
			case 'ack':
				if (!this.#prober.onAck(message, from, sender)) this.#misdirectedUnless(this.#relays.onAck(message));
				break;
			case 'nack':
				this.#misdirectedUnless(this.#prober.onNack(message.sequence));
				break;
		}
	}

	#onPing(ping: Ping, from: Address): void {
		const state = this.#state;
		if (ping.target !== '' && ping.target !== state.id) {
			state.counters.misdirected++;
			return;
		}
		if (ping.challenge !== undefined && !this.#answers.take(state.nowMs)) {
			state.counters.pingsDropped++;
			return;
		}
		const messages: GossipMessage[] = [state.ack(ping.sequence, ping.challenge)];
		// Whoever asks while this node holds it suspect or dead hears so, and can refute.
		if (!state.plain) messages.push(...this.#keeper.marksAgainst(ping.from));
		state.piggyback(messages);
		state.send(ping.fromAddress === '' ? from : ping.fromAddress, ping.from, messages);
	}

	#misdirectedUnless(expected: boolean): void {
		if (!expected) this.#state.counters.misdirected++;
	}
}
