// Owns the attempts of a request that may have several at once. The first that brings something for the client wins: it leads from then on, and the
// others are stopped at once, which cuts their connections and so ends their engines' work. Invariants: an attempt that was stopped never wins;
// at most one wins; copies are sent only while nothing has come, within the model's budget, to targets with room. A request whose decision
// asks for no copies has no race.
import type { Timer } from '@infermesh/proto';
import type { RouterEnv } from '../env.js';
import { recallPrompt } from '../parse.js';
import type { HedgeResult, ModelPool, RowStanding } from '../ports.js';
import type { RoutedRequest, RunningAttempt } from '../routed-request.js';
import { startAttempt } from '../start-attempt.js';
import type { AttemptPlan } from '../upstream-response.js';
import type { HedgePlan, HedgeRow } from './hedging.js';

/** One attempt of the race. */
export interface Lane {
	readonly attempt: RunningAttempt;
	readonly role: 'first' | 'copy';
	/** Prompt tokens that its target is expected to compute; what a copy was charged when it was sent. */
	readonly uncachedTokens: number;
	/** Another attempt brought the answer. */
	lost: boolean;
	/** What a loser computed in vain, estimated from above. */
	wastedTokens: number;
	/** When it ended, the answer was still awaited of others, or had come from one of them. */
	awaitsOthers: boolean;
}

export class Race {
	readonly #env: RouterEnv;
	readonly #request: RoutedRequest;
	readonly #plan: AttemptPlan;
	readonly #hedge: HedgePlan;
	readonly #onEnd: (attempt: RunningAttempt) => void;
	/** Under way, in the order of their start. */
	readonly #lanes: Lane[] = [];
	readonly #standing: RowStanding = { queueDepth: 0, kvUsage: 0, prefillWaitMs: 0, prefillRate: 0 };
	#nextRow = 0;
	#timer: Timer | undefined;

	/** Begins with the attempt about to start. `onEnd` hears of the end of each copy, as of that of the first. */
	constructor(
		env: RouterEnv,
		request: RoutedRequest,
		first: RunningAttempt,
		uncachedTokens: number,
		plan: AttemptPlan,
		hedge: HedgePlan,
		onEnd: (attempt: RunningAttempt) => void,
	) {
		this.#env = env;
		this.#request = request;
		this.#plan = plan;
		this.#hedge = hedge;
		this.#onEnd = onEnd;
		this.#enter(first, 'first', uncachedTokens);
		this.#arm();
	}

	/** The attempts under way, as a list of its own. */
	live(): RunningAttempt[] {
		return this.#lanes.map(({ attempt }) => attempt);
	}

	/** `attempt` brings the answer: the others have lost. Called before anything of it goes to the client. */
	won(attempt: RunningAttempt): void {
		this.close();
		this.#request.attempt = attempt;
		for (const lane of this.#lanes.slice()) {
			if (lane.attempt === attempt) {
				if (lane.role === 'first') continue;
				this.#count('won');
				this.#hedge.model.budget.settle(lane.uncachedTokens, 0);
			} else {
				lane.lost = true;
				lane.attempt.stop('cancelled');
			}
		}
	}

	/** `attempt` has ended: it leaves the race. */
	left(attempt: RunningAttempt): Lane | undefined {
		const at = this.#lanes.findIndex((lane) => lane.attempt === attempt);
		const [lane] = at < 0 ? [] : this.#lanes.splice(at, 1);
		if (lane === undefined) return undefined;
		const [next] = this.#lanes;
		lane.awaitsOthers = lane.lost || next !== undefined;
		if (lane.lost) this.#settle(lane);
		else if (next === undefined) this.close();
		else {
			this.#request.tried.push({ pool: attempt.pool, row: attempt.poolRow });
			this.#request.attempt = next.attempt;
		}
		return lane;
	}

	/** No more copies. */
	close(): void {
		this.#timer?.cancel();
		this.#timer = undefined;
	}

	#arm(): void {
		this.#timer = this.#env.ports.clock.after(this.#hedge.delayMs, () => this.#fire(), { unref: true });
	}

	#enter(attempt: RunningAttempt, role: Lane['role'], uncachedTokens: number): void {
		this.#lanes.push({ attempt, role, uncachedTokens, lost: false, wastedTokens: 0, awaitsOthers: false });
	}

	/** Nothing has come: a copy goes to the next ranked target that has room. */
	#fire(): void {
		this.#timer = undefined;
		const hedge = this.#hedge;
		if (!this.#request.replayable) return this.#count('not_held');
		const to = this.#nextWithRoom();
		if (to === undefined) return this.#count('no_room');
		const uncached = Math.max(0, this.#request.tokensIn - to.cachedTokens);
		if (!hedge.model.budget.take(uncached)) return this.#count('no_budget');
		hedge.copiesLeft--;
		this.#count('sent');
		if (hedge.copiesLeft > 0) this.#arm();
		this.#send(to, uncached);
	}

	#nextWithRoom(): HedgeRow | undefined {
		const { pool } = this.#plan;
		const { rows, model, delayMs } = this.#hedge;
		const { decider } = this.#env.ports;
		while (this.#nextRow < rows.length) {
			const next = rows[this.#nextRow++] as HedgeRow;
			if (pool.targets[next.row] === undefined || this.#wasTried(pool, next.row)) continue;
			if (decider.standing(pool, next.row, this.#standing) && model.hasRoom(this.#standing, delayMs)) return next;
		}
		return undefined;
	}

	#wasTried(pool: ModelPool, row: number): boolean {
		return this.#request.tried.some((one) => one.pool === pool && one.row === row);
	}

	#send({ row, cachedTokens, cachedSource }: HedgeRow, uncached: number): void {
		const { pool } = this.#plan;
		const target = pool.targets[row];
		if (target === undefined) return;
		this.#rememberPrompt(pool, row);
		const plan = { ...this.#plan, poolRow: row, target, predictedTtftMs: 0, cachedTokens, cachedSource };
		startAttempt(this.#env, this.#request, plan, uncached, this.#onEnd, (copy) => this.#enter(copy, 'copy', uncached));
	}

	/** The copy's target will hold the prompt too. Copies are few, so laying the prompt out again costs little. */
	#rememberPrompt(pool: ModelPool, row: number): void {
		const { ports, prompt } = this.#env;
		const { lora } = this.#request;
		recallPrompt(this.#env, this.#request);
		ports.prefixes.hashPrompt(pool.modelId, lora === '' ? 0 : ports.interner.lora(lora), prompt.bytes);
		ports.prefixes.insert(pool, row);
	}

	/** What a loser has cost: its uncached prompt, as far as its target can have got with it, and what it had decoded. */
	#settle(lane: Lane): void {
		const { model } = this.#hedge;
		const { attempt, uncachedTokens } = lane;
		const waitedMs = this.#env.ports.clock.nowMs() - attempt.startedMs;
		this.#env.ports.decider.standing(attempt.pool, attempt.poolRow, this.#standing);
		const { prefillRate } = this.#standing;
		const reached = prefillRate > 0 ? (waitedMs * prefillRate) / 1000 : uncachedTokens;
		const prefilled = Math.round(attempt.firstTokenMs > 0 ? uncachedTokens : Math.min(uncachedTokens, reached));
		lane.wastedTokens = prefilled + attempt.events;
		model.budget.settle(lane.role === 'copy' ? uncachedTokens : 0, lane.wastedTokens);
		if (lane.role === 'first') model.delays(this.#request).add(waitedMs);
		this.#env.ports.metrics.hedgeWaste(attempt.pool, prefilled, attempt.events);
	}

	#count(result: HedgeResult): void {
		this.#env.ports.metrics.hedge(this.#plan.pool, result);
	}
}
