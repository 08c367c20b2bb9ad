// Owns the shared in-flight counters: how much work the mesh's routers have at each target at this moment. Totals are shared and
// atomic; each worker also keeps a ledger of its own share, so that a dead worker's share can be taken back. What other routers have is one share
// more, the remote one, written by the agent. Each writer lists the rows it changed in a ring of its own (single producer), which all workers
// read. Which target a row belongs to is the registry's.

/** Counters kept per row. */
export const inflightCounters = ['requests', 'prefillTokens', 'decodeTokens', 'decodes', 'prefillPairs'] as const;
export const REQUESTS = 0;
export const PREFILL_TOKENS = 1;
export const DECODE_TOKENS = 2;
export const DECODES = 3;
/** In units of 2^20 pairs. */
export const PREFILL_PAIRS = 4;
const PAIRS_UNIT = 2 ** 20;

/** What a prompt adds to PREFILL_PAIRS: each of its uncached tokens with all before it. */
export function pairsOf(promptTokens: number, uncachedTokens: number): number {
	return Math.round((uncachedTokens * (promptTokens - uncachedTokens / 2)) / PAIRS_UNIT);
}
const COUNTERS = inflightCounters.length;

/** Changes remembered per worker; a reader further behind reads all rows. A power of two. */
export const CHANGE_RING_ENTRIES = 16_384;
export const WORKERS_MAX = 64;

export interface InflightShared {
	readonly rowsMax: number;
	/** Of this process. */
	readonly workers: number;
	readonly buffer: SharedArrayBuffer;
}

interface Views {
	readonly heads: Int32Array;
	readonly totals: Int32Array;
	/** Per row: connections that could not be made, as workers saw it. */
	readonly unreachable: Int32Array;
	/** Per row: mesh clock since when the first of what is pending is being prefilled, as this process knows. */
	readonly prefillAt: Int32Array;
	readonly ledgers: readonly Int32Array[];
	readonly rings: readonly Uint32Array[];
}

/** Who writes the share of other routers: it comes after the workers. */
export function remoteWriter(shared: InflightShared): number {
	return shared.workers;
}

function openViews(shared: InflightShared): Views {
	const { buffer, rowsMax } = shared;
	const writers = shared.workers + 1;
	const counterWords = rowsMax * COUNTERS;
	let at = 0;
	const take = (words: number): number => {
		const from = at;
		at += words * 4;
		return from;
	};
	const heads = new Int32Array(buffer, take(writers * 16), writers * 16);
	const totals = new Int32Array(buffer, take(counterWords), counterWords);
	const unreachable = new Int32Array(buffer, take(rowsMax), rowsMax);
	const prefillAt = new Int32Array(buffer, take(rowsMax), rowsMax);
	const ledgers: Int32Array[] = [];
	const rings: Uint32Array[] = [];
	for (let writer = 0; writer < writers; writer++) {
		ledgers.push(new Int32Array(buffer, take(counterWords), counterWords));
		rings.push(new Uint32Array(buffer, take(CHANGE_RING_ENTRIES), CHANGE_RING_ENTRIES));
	}
	return { heads, totals, unreachable, prefillAt, ledgers, rings };
}

export function createInflight(rowsMax: number, workers: number): InflightShared {
	if (!Number.isInteger(workers) || workers < 1 || workers > WORKERS_MAX)
		throw new RangeError(`workers ${workers} is not in 1 … ${WORKERS_MAX}`);
	const words = rowsMax * (COUNTERS + 2) + (workers + 1) * (16 + rowsMax * COUNTERS + CHANGE_RING_ENTRIES);
	return { rowsMax, workers, buffer: new SharedArrayBuffer(words * 4) };
}

/** Reads totals, and knows which rows changed since a reader's last look. */
export class InflightReader {
	/** The workers of this process, and after them the writer of the remote share. */
	readonly writers: number;
	readonly rowsMax: number;
	readonly #views: Views;

	constructor(shared: InflightShared) {
		this.writers = shared.workers + 1;
		this.rowsMax = shared.rowsMax;
		this.#views = openViews(shared);
	}

	/** Current total of a counter at a row; never negative, whatever order racing updates arrive in. */
	total(counter: number, row: number): number {
		const value = Atomics.load(this.#views.totals, counter * this.rowsMax + row);
		return value > 0 ? value : 0;
	}

	/** Connections to the row that could not be made, ever (modulo 2^32). */
	unreachable(row: number): number {
		return Atomics.load(this.#views.unreachable, row) >>> 0;
	}

	/** Mesh clock since when the first of what is pending at the row is being prefilled (modulo 2^32). */
	prefillAtMs(row: number): number {
		return Atomics.load(this.#views.prefillAt, row) >>> 0;
	}

	/** The part of it that other routers have. */
	remote(counter: number, row: number): number {
		return (this.#views.ledgers[this.writers - 1] as Int32Array)[counter * this.rowsMax + row] as number;
	}

	/** Other routers that share the fleet and are heard. */
	peers(): number {
		return Atomics.load(this.#views.heads, (this.writers - 1) * 16 + 1);
	}

	/** The part of it that this process has. */
	own(counter: number, row: number): number {
		return Math.max(0, this.total(counter, row) - this.remote(counter, row));
	}

	head(writer: number): number {
		return Atomics.load(this.#views.heads, writer * 16) >>> 0;
	}

	changedRow(writer: number, index: number): number {
		return (this.#views.rings[writer] as Uint32Array)[index & (CHANGE_RING_ENTRIES - 1)] as number;
	}
}

/** The write side of one worker, or of the remote share. */
export class InflightWriter {
	readonly #views: Views;
	readonly #rowsMax: number;
	readonly #worker: number;
	readonly #ledger: Int32Array;
	readonly #ring: Uint32Array;

	constructor(shared: InflightShared, worker: number) {
		this.#views = openViews(shared);
		this.#rowsMax = shared.rowsMax;
		this.#worker = worker;
		const ledger = this.#views.ledgers[worker];
		const ring = this.#views.rings[worker];
		if (ledger === undefined || ring === undefined)
			throw new RangeError(`worker ${worker} is not in 0 … ${shared.workers}`);
		this.#ledger = ledger;
		this.#ring = ring;
	}

	/** Adds to one counter of a row, in the totals and in this worker's ledger. Call `changed` once after a group of adds. */
	add(counter: number, row: number, amount: number): void {
		if (amount === 0) return;
		const at = counter * this.#rowsMax + row;
		Atomics.add(this.#views.totals, at, amount);
		this.#ledger[at] = (this.#ledger[at] as number) + amount;
	}

	/** Current total of a counter at a row, over all writers. */
	total(counter: number, row: number): number {
		return Math.max(0, Atomics.load(this.#views.totals, counter * this.#rowsMax + row));
	}

	/** The target begins with the first, or the next, of what is pending at the row. Call `changed` after it. */
	beginPrefill(row: number, nowMs: number): void {
		Atomics.store(this.#views.prefillAt, row, nowMs | 0);
	}

	/** A connection to the row could not be made: every reader avoids it from its next look on, until the agent has judged. */
	markUnreachable(row: number): void {
		Atomics.add(this.#views.unreachable, row, 1);
		this.changed(row);
	}

	/** Of the remote share's writer: so many routers have it. */
	setPeers(count: number): void {
		Atomics.store(this.#views.heads, this.#worker * 16 + 1, count);
	}

	/** Tells all readers that `row` changed. */
	changed(row: number): void {
		const at = this.#worker * 16;
		const head = Atomics.load(this.#views.heads, at);
		this.#ring[head & (CHANGE_RING_ENTRIES - 1)] = row;
		Atomics.store(this.#views.heads, at, head + 1);
	}
}

/**
 * Takes back what a dead worker had in flight. Only after its thread has ended: the ledger then has no writer.
 * Returns the rows that changed.
 */
export function reclaimLedger(shared: InflightShared, worker: number): number {
	const views = openViews(shared);
	const ledger = views.ledgers[worker];
	if (ledger === undefined) return 0;
	const writer = new InflightWriter(shared, worker);
	let rows = 0;
	for (let row = 0; row < shared.rowsMax; row++) {
		let touched = false;
		for (let counter = 0; counter < COUNTERS; counter++) {
			const held = ledger[counter * shared.rowsMax + row] as number;
			if (held === 0) continue;
			writer.add(counter, row, -held);
			touched = true;
		}
		if (!touched) continue;
		writer.changed(row);
		rows++;
	}
	return rows;
}
