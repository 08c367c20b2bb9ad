// Owns what is kept of a live decision until its shadow is run: the request, the answer, and the router's columns as they were, since the request itself is dispatched
// before. Made once for each instance; it follows the view by the rows that have changed, so that keeping a decision costs the same in a large pool.
import { HITS_MAX, RANKED_ROWS_MAX } from '@infermesh/sdk';
import type { PoolRows } from '../../fleet/pool-rows.js';
import { CHANGE_LOG_ENTRIES } from '../../fleet/pool-view.js';
import type { Decision, PrefixHits, RequestFeatures, VerdictName } from '../runtime/decision.js';

export class Waiting {
	waits = false;
	excluded: readonly number[] = [];
	verdict: VerdictName = 'route';
	/** Ranked rows; those beyond are of an older decision. */
	count = 0;
	readonly rows = new Uint32Array(RANKED_ROWS_MAX);
	chosen = -1;
	tokensIn = 0;
	tokensOut = 0;
	/** Live decisions that this one stands for. */
	weight = 1;
	seed = 0;
	atMs = 0;
	hits = 0;
	readonly hitRows = new Uint32Array(HITS_MAX);
	readonly hitTokens = new Uint32Array(HITS_MAX);
	readonly pending: Float32Array;
	readonly load: Float32Array;
	readonly inflight: Float32Array;
	/** Which rows could be chosen then. */
	readonly open: Uint32Array;
	openCount = 0;
	#changeTail = 0;
	#fullVersion = -1;

	constructor(rows: number) {
		this.pending = new Float32Array(rows);
		this.load = new Float32Array(rows);
		this.inflight = new Float32Array(rows);
		this.open = new Uint32Array(Math.max(1, Math.ceil(rows / 32)));
	}

	/** Takes a decision over as it stands. All decisions of one object are of one view, which has been brought up to date. */
	keep(
		view: PoolRows,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		live: Pick<Decision, 'verdict' | 'count' | 'rows' | 'chosen'>,
	): void {
		this.waits = true;
		this.excluded = excluded.length === 0 ? none : [...excluded];
		this.verdict = live.verdict;
		this.count = live.count;
		for (let i = 0; i < live.count; i++) this.rows[i] = live.rows[i] as number;
		this.chosen = live.count === 0 ? -1 : (live.rows[live.chosen] as number);
		this.tokensIn = features.tokensIn;
		this.tokensOut = features.tokensOut;
		this.seed = features.seedLow;
		this.hits = hits.count;
		for (let i = 0; i < hits.count; i++) {
			this.hitRows[i] = hits.rows[i] as number;
			this.hitTokens[i] = hits.tokens[i] as number;
		}
		this.#follow(view);
		this.openCount = view.eligibleCount;
	}

	cached(row: number): number {
		for (let i = 0; i < this.hits; i++) if (this.hitRows[i] === row) return this.hitTokens[i] as number;
		return 0;
	}

	uncached(row: number): number {
		return Math.max(0, this.tokensIn - this.cached(row));
	}

	#follow(view: PoolRows): void {
		const behind = view.changeHead - this.#changeTail;
		if (this.#fullVersion !== view.fullVersion || behind >= CHANGE_LOG_ENTRIES || behind >= view.rowCount) {
			this.pending.set(view.pendingPrefillTokens);
			this.load.set(view.load);
			this.inflight.set(view.inflight);
			this.open.set(view.eligible);
		} else
			for (let at = this.#changeTail; at < view.changeHead; at++) {
				const row = view.changedRow(at);
				this.pending[row] = view.pendingPrefillTokens[row] as number;
				this.load[row] = view.load[row] as number;
				this.inflight[row] = view.inflight[row] as number;
				this.open[row >>> 5] = view.eligible[row >>> 5] as number;
			}
		this.#changeTail = view.changeHead;
		this.#fullVersion = view.fullVersion;
	}
}

const none: readonly number[] = [];
