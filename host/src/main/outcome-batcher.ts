// Owns the way of outcomes from a worker to the agent: gathered and posted a few times a second, bounded, oldest dropped first.
import type { Clock, Timer } from '@infermesh/proto';
import type { AttemptReport } from '../fleet/fusion.js';
import type { AttemptOutcome } from '../router/ports.js';
import type { ObservedOutcome } from '../strategy/registry/state-keeper.js';

export interface OutcomeBatcherOptions {
	readonly periodMs: number;
	/** A failure waits no longer than this: until a dead target is ejected, every request sent to it costs a retry. */
	readonly failureMs: number;
	/** Posted at once when this many have gathered. */
	readonly batchMax: number;
}

export const outcomeBatcherDefaults: OutcomeBatcherOptions = { periodMs: 50, failureMs: 2, batchMax: 256 };

const FLAG_FALLBACK = 1;
const FLAG_RETRIED = 4;

export class OutcomeBatcher {
	readonly #options: OutcomeBatcherOptions;
	readonly #clock: Clock;
	readonly #post: (attempts: readonly AttemptReport[], observed: readonly ObservedOutcome[]) => void;
	#attempts: AttemptReport[] = [];
	#observed: ObservedOutcome[] = [];
	#due: Timer | undefined;
	#dueAtMs = Number.POSITIVE_INFINITY;

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
		const failed = status === 'upstream_error' || status === 'timeout';
		this.#attempts.push({
			tableRow: target.tableRow,
			generation: target.generation,
			ok: status === 'ok',
			failed,
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
		else this.#flushWithin(failed ? this.#options.failureMs : this.#options.periodMs);
	}

	#flushWithin(delayMs: number): void {
		const atMs = this.#clock.nowMs() + delayMs;
		if (atMs >= this.#dueAtMs) return;
		this.#due?.cancel();
		this.#dueAtMs = atMs;
		this.#due = this.#clock.after(delayMs, () => this.flush(), { unref: true });
	}

	flush(): void {
		this.#due?.cancel();
		this.#due = undefined;
		this.#dueAtMs = Number.POSITIVE_INFINITY;
		if (this.#attempts.length === 0) return;
		this.#post(this.#attempts, this.#observed);
		this.#attempts = [];
		this.#observed = [];
	}
}
