// Owns what is known of how fast a pool's queue drains, in weighted tokens a second: an exponentially forgotten count over the time in which something
// waited. Time without a queue says nothing of the pool's speed and is left out. Pure.

/** Service counts for about so long. */
const MEMORY_MS = 5000;
/** Before so much time with a queue, nothing is claimed. */
const KNOWN_AFTER_MS = 500;

export class DrainRate {
	#served = 0;
	#observedMs = 0;
	#atMs = 0;
	#queued = false;

	/** To be called when the queue goes from empty to not, and back. */
	queued(queued: boolean, nowMs: number): void {
		this.#pass(nowMs);
		this.#queued = queued;
	}

	served(service: number, nowMs: number): void {
		this.#pass(nowMs);
		this.#served += service;
	}

	/** Service a millisecond; 0 = not known. */
	perMs(nowMs: number): number {
		this.#pass(nowMs);
		return this.#observedMs < KNOWN_AFTER_MS ? 0 : this.#served / this.#observedMs;
	}

	/** Both counts fade at one rate: what is left is a weighted mean, right from the first second on. */
	#pass(nowMs: number): void {
		const passedMs = Math.max(0, nowMs - this.#atMs);
		this.#atMs = nowMs;
		if (!this.#queued || passedMs === 0) return;
		const kept = Math.exp(-passedMs / MEMORY_MS);
		this.#served *= kept;
		this.#observedMs = this.#observedMs * kept + MEMORY_MS * (1 - kept);
	}
}
