// Owns one index of what targets hold as far as this worker has sent it there: holders are rows of the fleet table under a generation, each
// with room for as many blocks as its engine's cache has. A row that goes to another target loses what the one before held. With a
// lifetime, what was not sent again within it is forgotten. Memory and the cost of a request are bounded by options.
import type { HashChain } from './chain.js';
import type { DepthView, HitCollector } from './hits.js';
import { HolderTable } from './holder-table.js';

/** Pairs of departed holders, and of ones past their lifetime, given back at each insert. */
const RELEASED_PER_INSERT = 256;

export interface HolderIndexOptions {
	/** Pairs of a block and a target remembered in all. */
	readonly pairsMax: number;
	/** 0 = for ever. */
	readonly lifetimeMs: number;
	/** Blocks a target's cache has room for. */
	readonly capacityOf: (tableRow: number) => number;
}

interface Holder {
	readonly tableRow: number;
	readonly generation: number;
	live: boolean;
}

export class HolderIndex implements DepthView {
	depths = 0;
	readonly table: HolderTable;
	readonly #options: HolderIndexOptions;
	readonly #holders: Holder[] = [];
	/** Holder of each row of the fleet table, -1 for none. */
	#holderOf = new Int32Array(64).fill(-1);
	readonly #departed: number[] = [];
	readonly #free: number[] = [];
	#chain: HashChain | undefined;
	#cutoffMs = 0;

	constructor(options: HolderIndexOptions) {
		this.#options = options;
		this.table = new HolderTable(options.pairsMax);
	}

	/** Sets the prompt that is looked up. */
	view(chain: HashChain, nowMs: number): this {
		this.#chain = chain;
		this.depths = chain.blocks;
		this.#cutoffMs = (nowMs - this.#options.lifetimeMs) >>> 0;
		return this;
	}

	countAt(depth: number): number {
		const chain = this.#chain as HashChain;
		return this.table.holdersOf(this.table.find(chain.lows[depth - 1] as number, chain.highs[depth - 1] as number));
	}

	offerAt(depth: number, most: number, to: HitCollector): number {
		const chain = this.#chain as HashChain;
		const { table } = this;
		const block = table.find(chain.lows[depth - 1] as number, chain.highs[depth - 1] as number);
		let looked = 0;
		for (let pair = table.firstOf(block); pair >= 0 && looked < most; pair = table.nextOf(pair)) {
			looked++;
			if (this.#options.lifetimeMs > 0 && table.isBefore(pair, this.#cutoffMs)) continue;
			const holder = this.#holders[table.holderOf(pair)] as Holder;
			if (holder.live) to.offer(holder.tableRow, holder.generation, 0);
		}
		return looked;
	}

	/** Notes that a target has just been sent the prompt of this chain. */
	insert(tableRow: number, generation: number, chain: HashChain, nowMs: number): void {
		this.#releaseDeparted();
		const holder = this.#seat(tableRow, generation);
		if (this.#options.lifetimeMs > 0)
			this.table.expire(holder, (nowMs - this.#options.lifetimeMs) >>> 0, RELEASED_PER_INSERT);
		const capacity = Math.max(1, this.#options.capacityOf(tableRow));
		this.table.use(holder, chain.lows, chain.highs, Math.min(chain.blocks, capacity), capacity, nowMs >>> 0);
	}

	#seat(tableRow: number, generation: number): number {
		if (tableRow >= this.#holderOf.length) {
			const wider = new Int32Array(Math.max(tableRow + 1, this.#holderOf.length * 2)).fill(-1);
			wider.set(this.#holderOf);
			this.#holderOf = wider;
		}
		const known = this.#holderOf[tableRow] as number;
		if (known >= 0) {
			const holder = this.#holders[known] as Holder;
			if (holder.generation === generation) return known;
			holder.live = false;
			this.#departed.push(known);
		}
		const seat = this.#free.pop() ?? this.#holders.length;
		this.#holders[seat] = { tableRow, generation, live: true };
		this.#holderOf[tableRow] = seat;
		return seat;
	}

	/** Rows that are gone from the directory hold nothing any more. `present`: generation of each row of the fleet table that has a target. */
	retain(present: ReadonlyMap<number, number>): void {
		for (const [seat, holder] of this.#holders.entries()) {
			if (!holder.live || present.get(holder.tableRow) === holder.generation) continue;
			holder.live = false;
			this.#holderOf[holder.tableRow] = -1;
			this.#departed.push(seat);
		}
	}

	#releaseDeparted(): void {
		const seat = this.#departed.at(-1);
		if (seat === undefined || !this.table.release(seat, RELEASED_PER_INSERT)) return;
		this.#departed.pop();
		this.#free.push(seat);
	}
}
