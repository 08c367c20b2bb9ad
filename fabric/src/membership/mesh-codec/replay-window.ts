// Owns the memory of which packets of one sender have been seen: counters of the newest session, the last 1,024 as bits. Sessions only rise, so a
// restarted sender is told from a replay of its former life.

/** Counters below the highest by this much or more are refused unseen. */
export const replayWindowSize = 1_024;

export class ReplayWindow {
	readonly #bits = new Uint32Array(replayWindowSize / 32);
	#session = -1;
	#highest = -1;

	/** Whether the packet is new; remembers it. To be asked only for packets that are authentic. */
	accept(session: number, counter: number): boolean {
		if (session < this.#session) return false;
		if (session > this.#session) {
			this.#session = session;
			this.#highest = -1;
			this.#bits.fill(0);
		}
		if (counter > this.#highest) {
			this.#advance(counter);
			this.#set(counter);
			return true;
		}
		if (this.#highest - counter >= replayWindowSize || this.#isSet(counter)) return false;
		this.#set(counter);
		return true;
	}

	#advance(to: number): void {
		if (to - this.#highest >= replayWindowSize) this.#bits.fill(0);
		else for (let counter = this.#highest + 1; counter < to; counter++) this.#clear(counter);
		this.#highest = to;
	}

	#set(counter: number): void {
		const place = counter % replayWindowSize;
		this.#bits[place >> 5] = (this.#bits[place >> 5] as number) | (1 << (place & 31));
	}

	#clear(counter: number): void {
		const place = counter % replayWindowSize;
		this.#bits[place >> 5] = (this.#bits[place >> 5] as number) & ~(1 << (place & 31));
	}

	#isSet(counter: number): boolean {
		const place = counter % replayWindowSize;
		return ((this.#bits[place >> 5] as number) & (1 << (place & 31))) !== 0;
	}
}
