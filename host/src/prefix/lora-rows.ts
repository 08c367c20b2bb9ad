// Owns which rows of the fleet table have a LoRA adapter loaded, by its name: a request asks for its own and looks at those rows only. Leaves what engines say to the
// agent (fleet/lora-sets.ts), and the merging with what rows hold of the prompt to the collector.
import type { LoraSet } from '../fleet/lora-sets.js';
import { HITS_GIVEN_MAX, type HitCollector } from './hits.js';

export class LoraRows {
	readonly #namesMax: number;
	readonly #sets = new Map<number, LoraSet>();
	readonly #rows = new Map<string, number[]>();
	/** Where the next look begins, so that of an adapter that is everywhere not always the same rows are told. */
	#turn = 0;

	/** `namesMax`: adapters it knows; further ones are loaded nowhere as far as it says. */
	constructor(namesMax: number) {
		this.#namesMax = namesMax;
	}

	/** Takes what changed. */
	update(changed: readonly LoraSet[]): void {
		for (const set of changed) {
			for (const name of this.#sets.get(set.row)?.names ?? []) this.#remove(name, set.row);
			this.#sets.delete(set.row);
			if (set.names.length === 0) continue;
			this.#sets.set(set.row, set);
			for (const name of set.names) this.#add(name, set.row);
		}
	}

	/** Offers the rows that have `name` to the collector, as many as a decision is given. */
	offer(name: string, to: HitCollector): void {
		const rows = this.#rows.get(name);
		if (rows === undefined) return;
		const most = Math.min(rows.length, HITS_GIVEN_MAX);
		if (rows.length > most) this.#turn = (this.#turn + most) % rows.length;
		else this.#turn = 0;
		for (let at = 0; at < most; at++) {
			const row = rows[(this.#turn + at) % rows.length] as number;
			to.offerLora(row, this.#sets.get(row)?.generation ?? -1);
		}
	}

	#add(name: string, row: number): void {
		const rows = this.#rows.get(name);
		if (rows !== undefined) rows.push(row);
		else if (this.#rows.size < this.#namesMax) this.#rows.set(name, [row]);
	}

	#remove(name: string, row: number): void {
		const rows = this.#rows.get(name);
		const at = rows?.indexOf(row) ?? -1;
		if (rows === undefined || at < 0) return;
		const last = rows.pop() as number;
		if (at < rows.length) rows[at] = last;
		if (rows.length === 0) this.#rows.delete(name);
	}
}
