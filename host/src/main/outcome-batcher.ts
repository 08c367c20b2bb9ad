// Owns when outcomes leave a worker for the agent: gathered and posted a few times a second, because each post wakes a thread, and a publish
// follows it; bounded by count.
import type { Clock, Timer } from '@infermesh/proto';
import type { LoadReport } from '../fleet/fusion.js';
import type { AttemptOutcome, UpstreamTarget } from '../router/ports.js';
import { isFailure, OUTCOME_CELLS, type OutcomeBatch, writeOutcome } from './outcome-wire.js';

export interface OutcomeBatcherOptions {
	/** What good outcomes teach is smoothed over seconds; what is in flight is shared without them. */
	readonly periodMs: number;
	/** A failure waits no longer than this: until a dead target is ejected, every request sent to it costs a retry. */
	readonly failureMs: number;
	/** An engine's load report waits no longer than this: it is fresher than the last scrape. */
	readonly loadMs: number;
	/** Posted at once when this many have gathered. */
	readonly batchMax: number;
}

export const outcomeBatcherDefaults: OutcomeBatcherOptions = { periodMs: 200, failureMs: 2, loadMs: 40, batchMax: 256 };

export class OutcomeBatcher {
	readonly #options: OutcomeBatcherOptions;
	readonly #clock: Clock;
	readonly #post: (batch: OutcomeBatch) => void;
	/** Records gathered; what is posted is a copy of the part in use. */
	readonly #cells: Float64Array;
	/** By table row: the newest of each target. */
	readonly #loads = new Map<number, LoadReport>();
	#count = 0;
	#due: Timer | undefined;
	#dueMs = 0;

	constructor(options: OutcomeBatcherOptions, clock: Clock, post: (batch: OutcomeBatch) => void) {
		this.#options = options;
		this.#clock = clock;
		this.#post = post;
		this.#cells = new Float64Array(options.batchMax * OUTCOME_CELLS);
	}

	add(outcome: AttemptOutcome): void {
		writeOutcome(this.#cells, this.#count, outcome);
		this.#count++;
		if (this.#count >= this.#options.batchMax) this.flush();
		else this.#within(isFailure(outcome.status) ? this.#options.failureMs : this.#options.periodMs);
	}

	/** What an engine said of its load in the head of a response, when the mesh had `inFlight` requests there. */
	load({ tableRow, generation }: UpstreamTarget, orca: string, inFlight: number): void {
		this.#loads.set(tableRow, { tableRow, generation, orca, inFlight, atMs: this.#clock.wallMs() });
		this.#within(this.#options.loadMs);
	}

	/** What has gathered is posted within so long. */
	#within(waitMs: number): void {
		const dueMs = this.#clock.nowMs() + waitMs;
		if (this.#due !== undefined && this.#dueMs <= dueMs) return;
		this.#due?.cancel();
		this.#dueMs = dueMs;
		this.#due = this.#clock.after(waitMs, () => this.flush(), { unref: true });
	}

	flush(): void {
		this.#due?.cancel();
		this.#due = undefined;
		if (this.#count === 0 && this.#loads.size === 0) return;
		this.#post({ cells: this.#cells.slice(0, this.#count * OUTCOME_CELLS), loads: [...this.#loads.values()] });
		this.#count = 0;
		this.#loads.clear();
	}
}
