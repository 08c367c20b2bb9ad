// Owns the gossip rounds: as long as something is queued, every interval a few random members are sent a packet full of it.
import type { GossipMessage } from './messages.js';
import type { SwimState } from './state.js';

export class Gossiper {
	readonly #state: SwimState;
	#phaseMs = 0;
	#lastMs = Number.NEGATIVE_INFINITY;
	/** When a round was last asked for there was nobody to hear of it. */
	#alone = false;

	constructor(state: SwimState) {
		this.#state = state;
	}

	start(): void {
		this.#phaseMs = this.#state.nowMs + this.#state.random.nextFloat() * this.#state.settings.gossipIntervalMs;
		this.#lastMs = this.#state.nowMs;
	}

	/** The next round of a fixed beat after something has been queued, or never while there is nothing to say or nobody to say it to. */
	nextDeadlineMs(): number {
		const { broadcasts, departed, table, nowMs } = this.#state;
		if (broadcasts.size === 0 || departed) return Number.POSITIVE_INFINITY;
		if (table.size === 0) {
			this.#alone = true;
			return Number.POSITIVE_INFINITY;
		}
		// What was not done while alone is not late.
		if (this.#alone) this.#lastMs = nowMs;
		this.#alone = false;
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
