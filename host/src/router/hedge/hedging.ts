// Owns what a worker keeps for hedging: per model its options, budget and adaptive delay. It says whether a request is to be hedged and after how
// long, and whether a target has room for a copy. The attempts themselves are the race's.
import type { Decision } from '../../strategy/runtime/decision.js';
import type { ModelPool, PrefixSource, RowStanding } from '../ports.js';
import type { RoutedRequest } from '../routed-request.js';
import { DelayWindow } from './delay-window.js';
import type { HedgeOptions, HedgingOptions } from './options.js';
import { TokenBudget } from './token-budget.js';

/** Where copies of a request may go, and when. The decision record itself is reused, so the rows are copied. */
export interface HedgePlan {
	readonly model: ModelHedging;
	readonly delayMs: number;
	copiesLeft: number;
	/** Ranked rows after the chosen one, best first. */
	readonly rows: readonly HedgeRow[];
}

/** A row, and what of the prompt it is expected to hold. */
export interface HedgeRow {
	readonly row: number;
	readonly cachedTokens: number;
	readonly cachedSource: PrefixSource;
}

/** Models with hedging state at once. */
const MODELS_MAX = 4096;

export class ModelHedging {
	readonly options: HedgeOptions;
	readonly budget: TokenBudget;
	/** Of what is streamed, and of what comes whole: they are not to be told by each other’s times. */
	readonly #streamed: DelayWindow;
	readonly #whole: DelayWindow;

	constructor(options: HedgeOptions) {
		this.options = options;
		this.budget = new TokenBudget(options.budgetRatio, options.budgetTokensMax);
		this.#streamed = new DelayWindow(options.delayQuantile);
		this.#whole = new DelayWindow(options.delayQuantile);
	}

	delays({ stream }: Pick<RoutedRequest, 'stream'>): DelayWindow {
		return stream ? this.#streamed : this.#whole;
	}

	/** An attempt at `request` has served so many tokens; 0 ms = it showed no first token. */
	served(request: RoutedRequest, tokens: number, ttftMs: number): void {
		this.budget.earn(Math.max(0, tokens));
		if (ttftMs > 0) this.delays(request).add(ttftMs);
	}

	/** Whether a copy can begin there within the delay: nothing waits, the KV cache has room, and the prompts before it are short. */
	hasRoom(standing: RowStanding, delayMs: number): boolean {
		const { queueMax, kvUsageMax } = this.options;
		return standing.queueDepth <= queueMax && standing.kvUsage <= kvUsageMax && standing.prefillWaitMs <= delayMs;
	}
}

export class Hedging {
	readonly #options: HedgingOptions;
	readonly #models = new Map<string, ModelHedging>();

	constructor(options: HedgingOptions) {
		this.#options = options;
	}

	/** What is kept for a model; undefined where hedging is off. */
	of(model: string): ModelHedging | undefined {
		const known = this.#models.get(model);
		if (known !== undefined) return known;
		const own = Object.hasOwn(this.#options.models, model) ? this.#options.models[model] : undefined;
		const options = { ...this.#options, ...own };
		if (options.copiesMax === 0 || this.#models.size >= MODELS_MAX) return undefined;
		const made = new ModelHedging(options);
		this.#models.set(model, made);
		return made;
	}

	/**
	 * The plan for the copies of a request just decided; undefined when there are to be none: nobody asks for them, there is nowhere else to go, the
	 * request may not be sent twice, or its first token cannot be seen (over HTTP an unstreamed generation shows itself only when it is whole).
	 */
	plan(
		request: RoutedRequest,
		pool: ModelPool,
		decision: Decision,
		expectedAt: (row: number) => HedgeRow,
	): HedgePlan | undefined {
		if (decision.hedgeCopies === 0 && !this.#asksItself(pool.model)) return undefined;
		if (!isHedgeable(request) || decision.count < 2) return undefined;
		const model = this.of(pool.model);
		if (model === undefined) return undefined;
		const { options } = model;
		const wanted = decision.hedgeCopies > 0 ? decision.hedgeCopies : options.copies;
		const copies = Math.min(wanted, options.copiesMax, decision.count - 1);
		const asked = decision.hedgeCopies > 0 && decision.hedgeDelayMs > 0 ? decision.hedgeDelayMs : options.delayMs;
		const delayMs = asked > 0 ? asked : model.delays(request).delayMs;
		if (copies === 0 || delayMs === undefined) return undefined;
		const rows = [...decision.rows.subarray(0, decision.count)].filter((_, at) => at !== decision.chosen);
		return {
			model,
			delayMs: Math.max(options.delayMsMin, delayMs),
			copiesLeft: copies,
			rows: rows.map(expectedAt),
		};
	}

	#asksItself(model: string): boolean {
		const own = Object.hasOwn(this.#options.models, model) ? this.#options.models[model] : undefined;
		return (own?.copies ?? this.#options.copies) > 0;
	}
}

/**
 * May be sent twice, and shows its first token. A unary call over gRPC may be of any kind of model, and does not say which: its whole answer counts, as an
 * embedding's does.
 */
function isHedgeable({ dialect, stream, grpcOnly, inSequence, wishes }: RoutedRequest): boolean {
	if (wishes.targetId !== undefined || !dialect.idempotent || inSequence) return false;
	return dialect.work === 'embedding' || (dialect.work === 'generation' && (stream || grpcOnly));
}
