// Owns the gathering of windows of traffic for each model, and what the advice came to. What ends here is judged by its objectives; what the mesh as a whole is
// asked for follows from this router's share of what all have in flight.
import { type CapacityAdvice, type CapacityOptions, ModelCapacity } from './model-capacity.js';

/** What a request is to meet. */
export interface Objectives {
	readonly ttftMs: number;
	readonly tpotMs: number;
}

export interface AdvisorOptions extends CapacityOptions {
	readonly windowMs: number;
	readonly modelsMax: number;
}

/** An attempt that ended, as far as it is judged. `refused`: the engine had no room. */
export interface JudgedAttempt {
	readonly ok: boolean;
	readonly refused: boolean;
	readonly ttftMs: number;
	readonly tpotMs: number;
}

/** A model as it stands. */
export interface ModelStanding {
	readonly model: string;
	readonly ready: number;
	readonly objectives: Objectives;
	/** Requests in flight on its targets: of this router, and of all. */
	readonly ownInFlight: number;
	readonly inFlight: number;
	/** Requests this router refused for want of room, since it started. */
	readonly refusedTotal: number;
	/** Targets by what they have in flight, the least first. */
	readonly targets: readonly string[];
}

export interface CapacityView extends CapacityAdvice {
	readonly model: string;
	readonly ready: number;
	readonly objectives: Objectives;
	/** This router's part of the mesh's requests, 0 to 1. */
	readonly share: number;
	/** Targets to drain first, when fewer are needed. */
	readonly drainFirst: readonly string[];
	readonly atMs: number;
}

/** Met with room to spare: within this share of the objective. */
const EASY = 0.7;

interface Gathered {
	readonly capacity: ModelCapacity;
	objectives: Objectives;
	requests: number;
	judged: number;
	good: number;
	easy: number;
	ownInFlight: number;
	inFlight: number;
	refusedTotal: number;
	view: CapacityView | undefined;
}

export class CapacityAdvisor {
	readonly #options: AdvisorOptions;
	readonly #models = new Map<string, Gathered>();
	#windowFromMs: number;

	constructor(options: AdvisorOptions, nowMs: number) {
		this.#options = options;
		this.#windowFromMs = nowMs;
	}

	/** An attempt at a model ended. */
	ended(model: string, { ok, refused, ttftMs, tpotMs }: JudgedAttempt): void {
		const gathered = this.#models.get(model);
		if (gathered === undefined) return;
		gathered.requests++;
		gathered.judged++;
		if (!ok || refused) return;
		const { objectives } = gathered;
		const spent = Math.max(ttftMs / objectives.ttftMs, tpotMs / objectives.tpotMs);
		if (spent <= 1) gathered.good++;
		if (spent <= EASY) gathered.easy++;
	}

	/** Looks at how models stand, several times in a window; at its end advises. */
	look(standings: readonly ModelStanding[], nowMs: number): void {
		const served = new Set(standings.map(({ model }) => model));
		for (const model of this.#models.keys()) if (!served.has(model)) this.#models.delete(model);
		for (const standing of standings) this.#sample(standing);
		const durationMs = nowMs - this.#windowFromMs;
		if (durationMs < this.#options.windowMs) return;
		this.#windowFromMs = nowMs;
		for (const standing of standings) this.#advise(standing, nowMs, durationMs);
	}

	/** The advice as it stands, by model. */
	views(): CapacityView[] {
		return [...this.#models.values()].flatMap(({ view }) => (view === undefined ? [] : [view]));
	}

	#sample({ model, objectives, ownInFlight, inFlight, refusedTotal }: ModelStanding): void {
		const known = this.#models.get(model);
		if (known === undefined) {
			if (this.#models.size >= this.#options.modelsMax) return;
			this.#models.set(model, {
				capacity: new ModelCapacity(this.#options),
				objectives,
				requests: 0,
				judged: 0,
				good: 0,
				easy: 0,
				ownInFlight,
				inFlight,
				refusedTotal,
				view: undefined,
			});
			return;
		}
		known.objectives = objectives;
		known.ownInFlight += ownInFlight;
		known.inFlight += inFlight;
	}

	#advise({ model, ready, objectives, refusedTotal, targets }: ModelStanding, atMs: number, durationMs: number): void {
		const gathered = this.#models.get(model);
		if (gathered === undefined) return;
		const refused = Math.max(0, refusedTotal - gathered.refusedTotal);
		const share = gathered.inFlight === 0 ? 1 : gathered.ownInFlight / gathered.inFlight;
		// With nothing of its own a router knows nothing of the others' rate: what it has refused is all it can say.
		const requests = (gathered.requests + refused) / (share === 0 ? 1 : share);
		const advice = gathered.capacity.step({
			atMs,
			durationMs,
			ready,
			requests,
			judged: gathered.judged + refused,
			good: gathered.good,
			easy: gathered.easy,
		});
		const fewer = Math.max(0, ready - advice.desired);
		gathered.view = { ...advice, model, ready, objectives, share, atMs, drainFirst: targets.slice(0, fewer) };
		gathered.refusedTotal = refusedTotal;
		for (const field of ['requests', 'judged', 'good', 'easy', 'ownInFlight', 'inFlight'] as const) gathered[field] = 0;
	}
}
