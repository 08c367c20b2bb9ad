// Owns memory of what was seen within a window of time, bounded: the same signed request does not count twice.

export class ReplayWindow {
	readonly #windowMs: number;
	readonly #entriesMax: number;
	/** By when they were seen, oldest first. */
	readonly #seen = new Map<string, number>();

	constructor(windowMs: number, entriesMax: number) {
		this.#windowMs = windowMs;
		this.#entriesMax = entriesMax;
	}

	/** Notes `key` at `nowMs`: new, seen before within the window, or not noted because the window is full. */
	note(key: string, nowMs: number): 'new' | 'seen' | 'full' {
		for (const [old, atMs] of this.#seen) {
			if (nowMs - atMs <= this.#windowMs) break;
			this.#seen.delete(old);
		}
		if (this.#seen.has(key)) return 'seen';
		if (this.#seen.size >= this.#entriesMax) return 'full';
		this.#seen.set(key, nowMs);
		return 'new';
	}
}
