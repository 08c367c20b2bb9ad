// Owns how routers share room at a target that is set by hand and is exact, so that there is none to give way with: who has made room leaves it to those who wait elsewhere for a
// while, and who is not next takes what nobody has taken for as long. So no router keeps what it once had, and none that is cut off, or cannot use its turn, keeps a target idle for
// longer than that. A few words a row; no allocation.

/** Some times what it takes until all have heard of room, and have taken it: looks, tellings and frames are some ten milliseconds each. */
export const LEFT_MS = 40;

export class HandRoom {
	/** Time is cut into stretches of `LEFT_MS`; in which one each row was last looked at. */
	readonly #stretch: Float64Array;
	/** Requests of ours that ended in this stretch, and in the one before. */
	readonly #freed: Int32Array;
	readonly #freedBefore: Int32Array;
	/** Least room that was seen in this stretch, and in the one before. */
	readonly #least: Int32Array;
	readonly #leastBefore: Int32Array;

	constructor(rowsMax: number) {
		this.#stretch = new Float64Array(rowsMax);
		this.#freed = new Int32Array(rowsMax);
		this.#freedBefore = new Int32Array(rowsMax);
		this.#least = new Int32Array(rowsMax);
		this.#leastBefore = new Int32Array(rowsMax);
	}

	/** A request of ours has ended. */
	freed(row: number, nowMs: number): void {
		this.#turn(row, nowMs);
		this.#freed[row] = (this.#freed[row] as number) + 1;
	}

	/** Room that is left to others, for we have made it. */
	leftToOthers(row: number, nowMs: number): number {
		this.#turn(row, nowMs);
		return (this.#freed[row] as number) + (this.#freedBefore[row] as number);
	}

	/** So much room is seen, perhaps none. */
	seen(row: number, room: number, nowMs: number): void {
		this.#turn(row, nowMs);
		if (room < (this.#least[row] as number)) this.#least[row] = room;
	}

	/** Takes room that has been there for so long that whoever waits may; false when there is none. Others do the same now: of what is there only the half is taken by one. */
	takeLeft(row: number): boolean {
		const least = this.#least[row] as number;
		const before = this.#leastBefore[row] as number;
		if (least <= 0 || before <= 0) return false;
		this.#least[row] = least >> 1;
		this.#leastBefore[row] = before >> 1;
		return true;
	}

	#turn(row: number, nowMs: number): void {
		const stretch = Math.floor(nowMs / LEFT_MS);
		const before = this.#stretch[row] as number;
		if (stretch === before) return;
		const next = stretch === before + 1;
		this.#freedBefore[row] = next ? (this.#freed[row] as number) : 0;
		this.#freed[row] = 0;
		// Of a stretch without a look nothing is known.
		this.#leastBefore[row] = next && this.#least[row] !== UNSEEN ? (this.#least[row] as number) : 0;
		this.#least[row] = UNSEEN;
		this.#stretch[row] = stretch;
	}
}

const UNSEEN = 0x7fff_ffff;
