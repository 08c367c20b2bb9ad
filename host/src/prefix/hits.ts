// Owns how holders of blocks become the sparse list that strategies get: the longest prefix of each row, the best of what does not fit, in
// order of rows; rows that have the request's LoRA adapter are marked, and among them whatever they hold. One collector a worker; what several indexes know of one request is merged here.
import { HitFlag } from '@infermesh/sdk';
import { type ModelPool, type PrefixSource, prefixSources } from '../router/ports.js';
import type { PrefixHits } from '../strategy/runtime/decision.js';

/** Hits a decision is given. More would cost every strategy time for targets that hold no more than these. */
export const HITS_GIVEN_MAX = 64;
/** Holders looked at for one request and index, those already known included. */
const HOLDERS_VISITED_MAX = 4 * HITS_GIVEN_MAX;
const GENERATION_MASK = 0x7fff;

/** `capacity` is the most hits one decision is given; the longest are kept. */
export function createPrefixHits(capacity: number): PrefixHits {
	return {
		count: 0,
		rows: new Uint32Array(capacity),
		tokens: new Uint32Array(capacity),
		tiers: new Uint8Array(capacity),
		flags: new Uint8Array(capacity),
	};
}

/** How the rows of one pool are found from rows of the fleet table. */
class PoolRows {
	readonly #rows: Int32Array;
	readonly #generations: readonly number[];

	constructor({ targets }: ModelPool) {
		const last = targets.reduce((most, target) => Math.max(most, target?.tableRow ?? -1), -1);
		this.#rows = new Int32Array(last + 1).fill(-1);
		for (const [row, target] of targets.entries()) if (target !== undefined) this.#rows[target.tableRow] = row;
		this.#generations = targets.map((target) => (target?.generation ?? -1) & GENERATION_MASK);
	}

	/** Pool row of a holder, or -1 when its row has gone to another target or to another pool. */
	find(tableRow: number, generation: number): number {
		const row = this.#rows[tableRow] ?? -1;
		return row >= 0 && this.#generations[row] === (generation & GENERATION_MASK) ? row : -1;
	}
}

/** What an index knows of the prompt at hand. Holders of a depth are among those of every smaller one. */
export interface DepthView {
	/** Depths run from 1 to this. */
	readonly depths: number;
	/** Holders known at a depth. */
	countAt(depth: number): number;
	/** Offers the holders of a depth to the collector, `most` of them; returns how many it has looked at. */
	offerAt(depth: number, most: number, to: HitCollector): number;
}

export class HitCollector {
	readonly #limit: number;
	/** Pools are immutable, so what is derived from one never goes stale. */
	readonly #pools = new WeakMap<ModelPool, PoolRows>();
	#rows: PoolRows | undefined;
	/** Tokens and tiers of the rows seen, by pool row; cleared after use. */
	#tokens = new Uint32Array(64);
	#tiers = new Uint8Array(64);
	#sources = new Uint8Array(64);
	#flags = new Uint8Array(64);
	readonly #seen: number[] = [];
	#source = 0;
	#depthTokens = 0;
	#skipped: ((poolRow: number) => boolean) | undefined;

	constructor(limit: number) {
		this.#limit = limit;
	}

	begin(pool: ModelPool): void {
		let rows = this.#pools.get(pool);
		if (rows === undefined) this.#pools.set(pool, (rows = new PoolRows(pool)));
		this.#rows = rows;
		if (this.#tokens.length < pool.targets.length) {
			this.#tokens = new Uint32Array(pool.targets.length * 2);
			this.#tiers = new Uint8Array(pool.targets.length * 2);
			this.#sources = new Uint8Array(pool.targets.length * 2);
			this.#flags = new Uint8Array(pool.targets.length * 2);
		}
	}

	/**
	 * Takes what one index knows, deepest first. Holders of a depth are among those of every smaller one, so the depths at which more appear are found by
	 * halving: the cost grows with the holders found and the logarithm of the prompt, never with the fleet. Rows that `skipped` names are passed over.
	 */
	collect(source: PrefixSource, view: DepthView, tokensPerDepth: number, skipped?: (poolRow: number) => boolean): void {
		this.#skipped = skipped;
		this.#source = prefixSources.indexOf(source);
		let known = 0;
		let visits = HOLDERS_VISITED_MAX;
		const before = this.#seen.length;
		for (let depth = deepest(view, view.depths, 0); depth > 0 && visits > 0; depth = deepest(view, depth - 1, known)) {
			known = view.countAt(depth);
			this.#depthTokens = depth * tokensPerDepth;
			visits -= Math.max(1, view.offerAt(depth, visits, this));
			if (this.#seen.length - before >= this.#limit) return;
		}
	}

	/** One holder at the depth being looked at. */
	offer(tableRow: number, generation: number, tier: number): void {
		const row = this.#rows?.find(tableRow, generation) ?? -1;
		if (row < 0 || this.#skipped?.(row) === true) return;
		const tokens = this.#tokens[row] as number;
		if (tokens === 0) this.#seen.push(row);
		if (this.#depthTokens < tokens || (this.#depthTokens === tokens && tier >= (this.#tiers[row] as number))) return;
		this.#tokens[row] = this.#depthTokens;
		this.#tiers[row] = tier;
		this.#sources[row] = this.#source;
	}

	/** A row that has the request's LoRA adapter. Offered after all that hold a prefix. */
	offerLora(tableRow: number, generation: number): void {
		const row = this.#rows?.find(tableRow, generation) ?? -1;
		if (row < 0 || this.#flags[row] !== 0) return;
		if (this.#tokens[row] === 0) {
			this.#seen.push(row);
			this.#tiers[row] = 0;
		}
		this.#flags[row] = HitFlag.lora;
	}

	/** What said so of a row that was among the hits last filled. */
	sourceOf(poolRow: number): PrefixSource {
		return prefixSources[this.#sources[poolRow] ?? 0] ?? 'none';
	}

	/** Fills `hits` with what was collected and forgets it. */
	fill(hits: PrefixHits): void {
		const seen = this.#seen;
		const most = Math.min(this.#limit, hits.rows.length);
		if (seen.length > most) {
			seen.sort((a, b) => (this.#tokens[b] as number) - (this.#tokens[a] as number) || a - b);
			for (let at = most; at < seen.length; at++) this.#forget(seen[at] as number);
			seen.length = most;
		}
		if (seen.length > 1) seen.sort((a, b) => a - b);
		for (let at = 0; at < seen.length; at++) {
			const row = seen[at] as number;
			hits.rows[at] = row;
			hits.tokens[at] = this.#tokens[row] as number;
			hits.tiers[at] = this.#tiers[row] as number;
			hits.flags[at] = this.#flags[row] as number;
			this.#forget(row);
		}
		hits.count = seen.length;
		seen.length = 0;
	}

	#forget(row: number): void {
		this.#tokens[row] = 0;
		this.#flags[row] = 0;
	}
}

/** Deepest of 1 … `to` with more than `known` holders, or 0. */
function deepest(view: DepthView, to: number, known: number): number {
	let low = 0;
	let high = to;
	while (low < high) {
		const middle = (low + high + 1) >> 1;
		if (view.countAt(middle) > known) low = middle;
		else high = middle - 1;
	}
	return low;
}
