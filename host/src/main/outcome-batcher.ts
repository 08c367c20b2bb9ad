// Owns the way of outcomes from a worker to the agent: gathered and posted a few times a second, bounded, oldest dropped first.
import type { Clock } from '@infermesh/proto';
import type { AttemptReport } from '../fleet/fusion.js';
import type { AttemptOutcome } from '../router/ports.js';
import type { ObservedOutcome } from '../strategy/registry/state-keeper.js';

export interface OutcomeBatcherOptions {
	readonly periodMs: number;
	/** Posted at once when this many have gathered. */
	readonly batchMax: number;
}

export const outcomeBatcherDefaults: OutcomeBatcherOptions = { periodMs: 50, batchMax: 256 };

const FLAG_FALLBACK = 1;
const FLAG_RETRIED = 4;

export class OutcomeBatcher {
	readonly #options: OutcomeBatcherOptions;
	readonly #clock: Clock;
	readonly #post: (attempts: readonly AttemptReport[], observed: readonly ObservedOutcome[]) => void;
	#attempts: AttemptReport[] = [];
	#observed: ObservedOutcome[] = [];
	#waiting = false;

	constructor(
		options: OutcomeBatcherOptions,
		clock: Clock,
		post: (attempts: readonly AttemptReport[], observed: readonly ObservedOutcome[]) => void,
	) {
		this.#options = options;
		this.#clock = clock;
		this.#post = post;
	}

	add(outcome: AttemptOutcome): void {
		const { target, status, ttftMs, tpotMs, tokensIn, tokensCached } = outcome;
		this.#attempts.push({
			tableRow: target.tableRow,
			generation: target.generation,
			ok: status === 'ok',
			failed: status === 'upstream_error' || status === 'timeout',
			ttftMs,
			tpotMs,
			uncachedTokens: Math.max(0, tokensIn - tokensCached),
			orca: outcome.orca,
		});
		this.#observed.push({
			poolIndex: outcome.poolIndex,
			poolRow: outcome.poolRow,
			tableRow: target.tableRow,
			status,
			tokensIn,
			tokensOut: outcome.tokensOut,
			tokensCached,
			ttftMs,
			tpotMs,
			e2eMs: outcome.e2eMs,
			predictedTtftMs: outcome.predictedTtftMs,
			tenant: outcome.tenant,
			flags: (outcome.fallbackDecided ? FLAG_FALLBACK : 0) | (outcome.retried ? FLAG_RETRIED : 0),
		});
		if (this.#attempts.length >= this.#options.batchMax) this.flush();
		else if (!this.#waiting) {
			this.#waiting = true;
			this.#clock.after(this.#options.periodMs, () => this.flush(), { unref: true });
		}
	}

	flush(): void {
		this.#waiting = false;
		if (this.#attempts.length === 0) return;
		this.#post(this.#attempts, this.#observed);
		this.#attempts = [];
		this.#observed = [];
	}
}
