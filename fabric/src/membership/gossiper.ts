// Owns the gossip rounds: as long as something is queued, every interval a few random members are sent a packet full of it.
import type { GossipMessage } from './messages.js';
import type { SwimState } from './state.js';

export class Gossiper {
	readonly #state: SwimState;
	#phaseMs = 0;
	#lastMs = Number.NEGATIVE_INFINITY;

	constructor(state: SwimState) {
		this.#state = state;
	}

	start(): void {
		this.#phaseMs = this.#state.nowMs + this.#state.random.nextFloat() * this.#state.settings.gossipIntervalMs;
		this.#lastMs = this.#state.nowMs;
	}

	/** The next round of a fixed beat after something has been queued, or never while there is nothing to say. */
	nextDeadlineMs(): number {
		if (this.#state.broadcasts.size === 0 || this.#state.departed) return Number.POSITIVE_INFINITY;
		return this.#beatAfter(Math.max(this.#lastMs, this.#state.queuedSinceMs));
	}

	tick(): void {
		if (this.nextDeadlineMs() > this.#state.nowMs) return;
		this.#lastMs = this.#state.nowMs;
		this.#round();
	}

	#beatAfter(timeMs: number): number {
		const { gossipIntervalMs } = this.#state.settings;
		return this.#phaseMs + (Math.floor((timeMs - this.#phaseMs) / gossipIntervalMs) + 1) * gossipIntervalMs;
	}

	#round(): void {
		const { table, random, settings, nowMs } = this.#state;
		const targets = table.pick(settings.gossipNodes, random, (slot) => {
			const trouble = table.troubleOf(slot);
			if (trouble === undefined || trouble.state === 'suspect') return true;
			// The dead may be wrongly so: for a while they hear what is said of them.
			return trouble.state === 'dead' && nowMs - trouble.sinceMs <= settings.gossipToTheDeadMs;
		});
		for (const slot of targets) {
			const messages: GossipMessage[] = [];
			this.#state.piggyback(messages);
			if (messages.length === 0) return;
			const { id, address } = table.aliveOf(slot);
			this.#state.send(address, id, messages);
		}
	}
}
