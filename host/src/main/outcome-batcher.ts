// Owns when outcomes leave a worker for the agent: gathered and posted a few times a second, because each post wakes a thread, and a publish
// follows it; bounded by count.
import type { Clock, Timer } from '@infermesh/proto';
import type { AttemptOutcome, UpstreamTarget } from '../router/ports.js';
import { isFailure, OUTCOME_CELLS, type OutcomeBatch, writeOutcome } from './outcome-wire.js';

export interface OutcomeBatcherOptions {
	/** What good outcomes teach is smoothed over seconds; what is in flight is shared without them. */
	readonly periodMs: number;
	/** A failure waits no longer than this: until a dead target is ejected, every request sent to it costs a retry. */
	readonly failureMs: number;
	/** Posted at once when this many have gathered. */
	readonly batchMax: number;
}

export const outcomeBatcherDefaults: OutcomeBatcherOptions = { periodMs: 200, failureMs: 2, batchMax: 256 };

export class OutcomeBatcher {
	readonly #options: OutcomeBatcherOptions;
	readonly #clock: Clock;
	readonly #post: (batch: OutcomeBatch) => void;
	/** Records gathered; what is posted is a copy of the part in use. */
	readonly #cells: Float64Array;
	readonly #loads = new Map<UpstreamTarget, OutcomeBatch['loads'][number]>();
	#count = 0;
	#due: Timer | undefined;
	/** The post that is due is a failure's. */
	#urgent = false;

	constructor(options: OutcomeBatcherOptions, clock: Clock, post: (batch: OutcomeBatch) => void) {
		this.#options = options;
		this.#clock = clock;
		this.#post = post;
		this.#cells = new Float64Array(options.batchMax * OUTCOME_CELLS);
	}

	add(outcome: AttemptOutcome): void {
		const { target, orca } = outcome;
		if (orca !== undefined) this.#loads.set(target, { index: this.#count, orca });
		writeOutcome(this.#cells, this.#count, outcome);
		this.#count++;
		if (this.#count >= this.#options.batchMax) this.flush();
		else if (isFailure(outcome.status)) this.#hurry();
		else this.#due ??= this.#clock.after(this.#options.periodMs, () => this.flush(), { unref: true });
	}

	#hurry(): void {
		if (this.#urgent) return;
		this.#urgent = true;
		this.#due?.cancel();
		this.#due = this.#clock.after(this.#options.failureMs, () => this.flush(), { unref: true });
	}

	flush(): void {
		this.#due?.cancel();
		this.#due = undefined;
		this.#urgent = false;
		if (this.#count === 0) return;
		this.#post({ cells: this.#cells.slice(0, this.#count * OUTCOME_CELLS), loads: [...this.#loads.values()] });
		this.#count = 0;
		this.#loads.clear();
	}
}
