// Owns the reading of which rows this process's workers changed, from the rings they write, for those who tell other routers of it.
import { CHANGE_RING_ENTRIES, type InflightReader } from '../fleet/inflight.js';

export interface RowChanges {
	readonly changed: (row: number) => void;
	/** The rings were overrun: any row may have changed. */
	readonly allChanged: () => void;
}

export class OwnChanges {
	readonly #counters: InflightReader;
	readonly #tails: Float64Array;

	constructor(counters: InflightReader) {
		this.#counters = counters;
		this.#tails = new Float64Array(counters.writers - 1);
	}

	/** Tells what changed since the last call; the share of other routers is not this process's to tell. */
	drain({ changed, allChanged }: RowChanges): void {
		for (let worker = 0; worker < this.#tails.length; worker++) {
			const head = this.#counters.head(worker);
			let tail = this.#tails[worker] as number;
			// Half the ring: the worker goes on writing while its entries are read here.
			if ((head - tail) >>> 0 >= CHANGE_RING_ENTRIES / 2) allChanged();
			else for (; tail !== head; tail = (tail + 1) >>> 0) changed(this.#counters.changedRow(worker, tail));
			this.#tails[worker] = head;
		}
	}
}
