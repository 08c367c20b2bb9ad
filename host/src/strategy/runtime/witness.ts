// Owns the witness: a decision now and then is run again on a fresh instance and must come out the same, or the strategy keeps something
// between calls that it may not. It decides nothing, and a frame that has changed in between is no evidence.
import type { DecisionMetrics, PrefixHits, RequestFeatures } from './decision.js';
import type { StrategyInstance } from './instance.js';
import type { InstanceSet, PoolRuntime } from './pool-runtime.js';
import { sameAnswer } from './same-answer.js';
import { type DecisionPlace, unmask, writeFrame } from './write-request.js';

export interface WitnessPorts {
	readonly metrics: DecisionMetrics;
	readonly defer: (task: () => void) => void;
}

export class Witness {
	readonly #every: number;
	readonly #place: DecisionPlace;
	readonly #ports: WitnessPorts;
	#decisions = 0;

	/** `every`: one decision in so many is run again; a power of two, 0 = none. */
	constructor(every: number, place: DecisionPlace, ports: WitnessPorts) {
		this.#every = every;
		this.#place = place;
		this.#ports = ports;
	}

	/** Called after each decision of a strategy, in the same tick. Throws what a torn read throws. */
	decided(
		runtime: PoolRuntime,
		set: InstanceSet,
		instance: StrategyInstance,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		ticket: number,
	): void {
		this.#decisions = (this.#decisions + 1) >>> 0;
		if (this.#every === 0 || (this.#decisions & (this.#every - 1)) !== 0) return;
		const witness = set.witness();
		if (witness === undefined || witness.settle() !== 'none') return;
		witness.sync();
		// A publish, a dispatch elsewhere or a new state block since the decision: another frame may rightly give another answer.
		if (!witness.seesWhat(instance)) return;
		const masked = writeFrame(witness, features, hits, excluded, this.#place, ticket);
		const cause = witness.rank();
		if (masked > 0) unmask(witness, excluded);
		this.#ports.metrics.witnessed(set.strategy.versionId, cause === 'none' && sameAnswer(instance, witness));
		if (witness.poisoned) {
			set.dropWitness();
			this.#ports.defer(() => runtime.refill(set));
		}
	}
}
