// Owns shadow decisions: a second strategy on the frame of a live decision, after it, without influence. At most one is waiting at a
// time, so a shadow can use no more than one call per turn of the event loop; the rest are skipped, which the counters show.
import { Decision, type DecisionMetrics, type FallbackCause, type StrikeReport, strikeCauses } from './decision.js';
import type { StrategyInstance } from './instance.js';
import type { InstanceSet, PoolRuntime } from './pool-runtime.js';
import { readOutput } from './read-output.js';

export class ShadowRunner {
	readonly #defer: (task: () => void) => void;
	readonly #metrics: DecisionMetrics;
	readonly #out = new Decision();
	readonly #waiting = new WeakSet<StrategyInstance>();

	constructor(defer: (task: () => void) => void, metrics: DecisionMetrics) {
		this.#defer = defer;
		this.#metrics = metrics;
	}

	/** False while a decision of this instance is waiting to run: its frame must not be touched. */
	ready(instance: StrategyInstance): boolean {
		return !this.#waiting.has(instance);
	}

	/** The instance's frame holds the snapshot and the request; it runs soon and is compared with `chosenRow`. */
	schedule(
		runtime: PoolRuntime,
		set: InstanceSet,
		instance: StrategyInstance,
		excluded: readonly number[],
		chosenRow: number,
		onStrike: (strike: Omit<StrikeReport, 'model'>) => void,
	): void {
		this.#waiting.add(instance);
		const tried = [...excluded];
		this.#defer(() => {
			this.#waiting.delete(instance);
			const ran = instance.rank();
			const cause: FallbackCause = ran === 'none' ? readOutput(instance, tried, this.#out) : ran;
			for (const row of tried) if (instance.view.isEligible(row)) instance.mask(row, true);
			const { versionId, label } = set.strategy;
			this.#metrics.shadowed(versionId, cause === 'none' && this.#out.rows[0] === chosenRow, cause, instance.lastFuel);
			if (instance.poisoned) {
				set.replacePrimary();
				runtime.refill(set);
			}
			if (strikeCauses.has(cause)) onStrike({ versionId, label, cause, trap: '', fuel: instance.lastFuel });
		});
	}
}
