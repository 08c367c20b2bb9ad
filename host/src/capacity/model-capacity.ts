// Owns the advice for one model: how many replicas its traffic needs so that requests meet their objectives. What one replica can sustain is learned from
// windows of real traffic; growth and shrinking wait until the need has lasted. Pure: windows in, advice out.

export interface CapacityOptions {
	/** Share of requests that must meet their objectives. */
	readonly goodRatio: number;
	/** A window with fewer requests teaches nothing. */
	readonly requestsMin: number;
	/** Share of the lowest rate seen failing that is planned with. */
	readonly headroomRatio: number;
	/** How far beyond the highest rate seen sustained the limit is thought to lie; what lets a fleet that is too large shrink. */
	readonly growthRatio: number;
	/** What was learned halves its weight in this time. */
	readonly halfLifeMs: number;
	/** A need for more must have lasted so long. */
	readonly outAfterMs: number;
	/** A need for fewer must have lasted so long; again before each further step. */
	readonly inAfterMs: number;
	/** Replicas fewer at a time. */
	readonly inStep: number;
	readonly replicasMin: number;
	readonly replicasMax: number;
}

/** What happened in a window of time, over the whole mesh. */
export interface CapacityWindow {
	readonly atMs: number;
	readonly durationMs: number;
	/** Replicas that served. */
	readonly ready: number;
	/** Requests that asked to be served, those refused for want of room included. */
	readonly requests: number;
	/** Those whose objectives were judged: they ended here. */
	readonly judged: number;
	/** Of these, those that met them, and those that met them with room to spare. */
	readonly good: number;
	readonly easy: number;
}

export const capacityReasons = [
	'unknown',
	'steady',
	'objectives missed',
	'demand grew',
	'demand fell',
	'waiting',
] as const;
export type CapacityReason = (typeof capacityReasons)[number];

export interface CapacityAdvice {
	readonly desired: number;
	/** What the last window alone would ask for. */
	readonly needed: number;
	readonly reason: CapacityReason;
	/** Requests a second over the mesh. */
	readonly demandPerS: number;
	/** Of one replica, with its objectives met; undefined = not learned yet. */
	readonly sustainablePerS: number | undefined;
	/** Of the last window that could be judged. */
	readonly goodRatio: number | undefined;
}

export class ModelCapacity {
	readonly #options: CapacityOptions;
	/** Highest rate of a replica seen with objectives met with room to spare; decays. */
	#sustained = 0;
	/** Lowest rate of a replica seen with objectives missed or barely met; decays upwards. */
	#failing = Number.POSITIVE_INFINITY;
	#learnedMs = 0;
	#desired = 0;
	#outSinceMs: number | undefined;
	#inSinceMs: number | undefined;
	/** Most that a window has needed while fewer were needed than there are. */
	#inNeeded = 0;
	#goodRatio: number | undefined;

	constructor(options: CapacityOptions) {
		this.#options = options;
	}

	/** Takes in one window, and advises. */
	step(window: CapacityWindow): CapacityAdvice {
		const { ready, requests, durationMs } = window;
		const demandPerS = (requests * 1000) / durationMs;
		const known = this.#desired > 0;
		if (!known) this.#desired = this.#bounded(ready);
		const verdict = ready === 0 ? 'none' : this.#learn(window, demandPerS / ready);
		const needed = this.#bounded(this.#need(ready, demandPerS, verdict));
		const reason = this.#follow(needed, verdict, window.atMs);
		return {
			desired: this.#desired,
			needed,
			reason: !known && verdict === 'none' ? 'unknown' : reason,
			demandPerS,
			sustainablePerS: this.#sustained === 0 ? undefined : this.#sustained,
			goodRatio: this.#goodRatio,
		};
	}

	/** How the window went, and what it teaches of one replica at `ratePerS`. */
	#learn(window: CapacityWindow, ratePerS: number): 'easy' | 'edge' | 'missed' | 'none' {
		const { goodRatio, requestsMin, halfLifeMs } = this.#options;
		const { atMs, judged, good, easy } = window;
		if (this.#learnedMs > 0) {
			const faded = 2 ** (-(atMs - this.#learnedMs) / halfLifeMs);
			this.#sustained *= faded;
			this.#failing /= faded;
		}
		this.#learnedMs = atMs;
		if (judged < requestsMin) return 'none';
		this.#goodRatio = good / judged;
		if (easy / judged >= goodRatio) {
			this.#sustained = Math.max(this.#sustained, ratePerS);
			// Seen to be possible: what failed there before had another cause.
			if (this.#failing <= ratePerS) this.#failing = Number.POSITIVE_INFINITY;
			return 'easy';
		}
		this.#failing = Math.min(this.#failing, ratePerS);
		// Not even this much is sustained now.
		this.#sustained = Math.min(this.#sustained === 0 ? ratePerS : this.#sustained, ratePerS * goodRatio);
		return good / judged >= goodRatio ? 'edge' : 'missed';
	}

	#need(ready: number, demandPerS: number, verdict: 'easy' | 'edge' | 'missed' | 'none'): number {
		const { headroomRatio, growthRatio } = this.#options;
		if (demandPerS === 0) return 0;
		if (this.#sustained === 0) return verdict === 'missed' ? ready + 1 : Math.max(ready, 1);
		// What was sustained had room to spare; the headroom is kept from where it is known to fail.
		const limit = Math.min(this.#sustained * growthRatio, this.#failing * headroomRatio);
		const byRate = Math.ceil(demandPerS / limit - 1e-9);
		if (verdict === 'missed') return Math.max(byRate, ready + 1);
		return verdict === 'edge' ? Math.max(byRate, ready) : byRate;
	}

	#follow(needed: number, verdict: string, atMs: number): CapacityReason {
		const { outAfterMs, inAfterMs, inStep } = this.#options;
		if (needed > this.#desired) {
			this.#inSinceMs = undefined;
			this.#outSinceMs ??= atMs;
			if (atMs - this.#outSinceMs < outAfterMs) return 'waiting';
			this.#outSinceMs = undefined;
			this.#desired = needed;
			return verdict === 'missed' ? 'objectives missed' : 'demand grew';
		}
		this.#outSinceMs = undefined;
		if (needed === this.#desired) {
			this.#inSinceMs = undefined;
			return 'steady';
		}
		if (this.#inSinceMs === undefined) {
			this.#inSinceMs = atMs;
			this.#inNeeded = 0;
		}
		this.#inNeeded = Math.max(this.#inNeeded, needed);
		if (atMs - this.#inSinceMs < inAfterMs) return 'waiting';
		this.#inSinceMs = undefined;
		this.#desired = Math.max(this.#inNeeded, this.#desired - inStep);
		return 'demand fell';
	}

	#bounded(replicas: number): number {
		return Math.min(this.#options.replicasMax, Math.max(this.#options.replicasMin, replicas));
	}
}
