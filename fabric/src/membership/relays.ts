// Owns the probes done for others: a ping passed on under a number of this node's own, its ack passed back, and a nack when none came in
// time, which tells the asker that at least the helper is reachable.
import type { Address } from '../effects/packets.js';
import { DeadlineQueue } from './deadlines.js';
import type { Ack, NodeId, PingRequest } from './messages.js';
import type { Self } from './self.js';
import { swimBounds } from './settings.js';
import type { SwimState } from './state.js';

interface Relay {
	readonly asker: Address;
	readonly askerId: NodeId;
	readonly request: PingRequest;
	nackSent: boolean;
	/** Acks that were not the target's. */
	doubtful: number;
}

/** A nack is sent at this part of the timeout (Lifeguard §IV-A), or it would come after the asker's verdict. A late ack is still passed on. */
const nackAt = 0.8;

export class Relays {
	readonly #state: SwimState;
	readonly #self: Self;
	readonly #nextSequence: () => number;
	readonly #relays = new Map<number, Relay>();
	readonly #ends = new DeadlineQueue<number>();

	constructor(state: SwimState, self: Self, nextSequence: () => number) {
		this.#state = state;
		this.#self = self;
		this.#nextSequence = nextSequence;
	}

	nextDeadlineMs(): number {
		return this.#ends.nextMs();
	}

	onRequest(request: PingRequest, from: Address): void {
		const state = this.#state;
		if (this.#relays.size >= swimBounds.relaysMax) {
			state.counters.relaysRefused++;
			return;
		}
		const sequence = this.#nextSequence();
		this.#relays.set(sequence, {
			asker: request.fromAddress === '' ? from : request.fromAddress,
			askerId: request.from,
			request,
			nackSent: false,
			doubtful: 0,
		});
		this.#ends.push(state.nowMs + state.settings.probeTimeoutMs * nackAt, sequence);
		this.#ends.push(state.nowMs + state.settings.probeTimeoutMs, sequence);
		const fromAddress = this.#self.claim.address;
		const { target, challenge } = request;
		const ping = { kind: 'ping', sequence, target, from: state.id, fromAddress } as const;
		state.send(request.targetAddress, target, [challenge === undefined ? ping : { ...ping, challenge }]);
	}

	/** Whether the ack answers a relayed ping. */
	onAck(ack: Ack): boolean {
		const relay = this.#relays.get(ack.sequence);
		if (relay === undefined) return false;
		const { target, challenge, sequence } = relay.request;
		if (relay.doubtful >= swimBounds.acksPerProbeMax) return true;
		if (!this.#state.isAnswerOf(target, challenge, ack)) {
			relay.doubtful++;
			return true;
		}
		this.#relays.delete(ack.sequence);
		this.#state.send(relay.asker, relay.askerId, [{ ...ack, sequence }]);
		return true;
	}

	tick(): void {
		for (;;) {
			const sequence = this.#ends.popDue(this.#state.nowMs);
			if (sequence === undefined) return;
			const relay = this.#relays.get(sequence);
			if (relay === undefined) continue;
			if (relay.nackSent) this.#relays.delete(sequence);
			else if (relay.request.wantNack)
				this.#state.send(relay.asker, relay.askerId, [{ kind: 'nack', sequence: relay.request.sequence }]);
			relay.nackSent = true;
		}
	}

	forgive(lagMs: number): void {
		this.#ends.shift(lagMs);
	}
}
