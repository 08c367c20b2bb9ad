// Owns the quotas of this node in shared memory: what the agent has leased for each tenant, and what the workers spend of it by atomic subtraction. A
// balance never goes below zero by spending; settling may take it there (an answer was longer than expected), and what is owed is paid from the
// next lease. How leases are got is host/src/quota's. A dead worker's running requests are taken back from its own cells.

/** Quantities that are limited by rate. */
export const quotaDimensions = [
	'requestsPerSecond',
	'requestsPerMinute',
	'tokensInPerMinute',
	'tokensOutPerMinute',
	'tokensPerMinute',
] as const;
export type QuotaDimension = (typeof quotaDimensions)[number];
export const DIMENSIONS = quotaDimensions.length;
/** Stands for concurrency where dimensions are numbered. */
export const CONCURRENCY = DIMENSIONS;
const REQUESTS_PER_SECOND = 0;
const REQUESTS_PER_MINUTE = 1;
const TOKENS_IN = 2;
const TOKENS_OUT = 3;
const TOKENS = 4;

/** Words a tenant: which dimensions are limited, then per dimension balance, burst, spent and denied; then concurrency. */
const LIMITED = 0;
const BALANCE = 1;
const BURST = BALANCE + DIMENSIONS;
const SPENT = BURST + DIMENSIONS;
const DENIED = SPENT + DIMENSIONS;
const SLOTS = DENIED + DIMENSIONS;
const IN_USE = SLOTS + 1;
const SLOTS_DENIED = IN_USE + 1;
const BAND = SLOTS_DENIED + 1;
const WORDS = BAND + 1;
/** Cells a tenant: when each dimension has something again (wall clock), how fast it fills, then the weight. */
const READY_AT = 0;
const PER_MS = READY_AT + DIMENSIONS + 1;
const WEIGHT = PER_MS + DIMENSIONS;
const CELLS = WEIGHT + 1;
/** Words a tenant and worker. */
const OWN_IN_USE = 0;
const OWN_WAITING = 1;
const OWN_REFUSED = 2;
const OWN_WORDS = 3;

/** Most that a balance holds: far from where 32 bits turn over, with settling on top. */
export const BALANCE_MAX = 1_000_000_000;

export interface QuotaShared {
	readonly tenantsMax: number;
	readonly workers: number;
	readonly buffer: SharedArrayBuffer;
}

export function createQuotaBoard(tenantsMax: number, workers: number): QuotaShared {
	const rows = tenantsMax + 1;
	const bytes = rows * (CELLS * 8 + WORDS * 4 + workers * OWN_WORDS * 4);
	return { tenantsMax, workers, buffer: new SharedArrayBuffer(bytes) };
}

/** What a tenant asks for at once. */
export interface Charge {
	readonly tokensIn: number;
	readonly tokensOut: number;
}

export class QuotaBoard {
	readonly tenantsMax: number;
	readonly workers: number;
	readonly #words: Int32Array;
	readonly #cells: Float64Array;
	readonly #own: readonly Int32Array[];

	constructor({ tenantsMax, workers, buffer }: QuotaShared) {
		this.tenantsMax = tenantsMax;
		this.workers = workers;
		const rows = tenantsMax + 1;
		this.#cells = new Float64Array(buffer, 0, rows * CELLS);
		this.#words = new Int32Array(buffer, rows * CELLS * 8, rows * WORDS);
		const from = rows * (CELLS * 8 + WORDS * 4);
		this.#own = Array.from(
			{ length: workers },
			(_, worker) => new Int32Array(buffer, from + worker * rows * OWN_WORDS * 4, rows * OWN_WORDS),
		);
	}

	/** What is limited for the tenant, one bit a dimension: one read, all that a request of an unlimited tenant costs. */
	limited(tenant: number): number {
		return tenant <= this.tenantsMax ? (this.#words[tenant * WORDS + LIMITED] as number) : 0;
	}

	/** Share against others; 1 where nothing is said. */
	weight(tenant: number): number {
		return tenant <= this.tenantsMax ? (this.#cells[tenant * CELLS + WEIGHT] as number) || 1 : 1;
	}

	/** Priority of the tenant's requests that name none. */
	priority(tenant: number): number {
		return tenant <= this.tenantsMax ? (this.#words[tenant * WORDS + BAND] as number) : 0;
	}

	/**
	 * Spends what a request needs in every limited dimension, or nothing. Answers -1, or the dimension that falls short (CONCURRENCY among them).
	 * `worker` is who runs it: its share is taken back when it dies.
	 */
	take(worker: number, tenant: number, charge: Charge): number {
		const at = tenant * WORDS;
		const limited = this.#words[at + LIMITED] as number;
		if ((limited & (1 << CONCURRENCY)) !== 0) {
			if (Atomics.add(this.#words, at + IN_USE, 1) >= Atomics.load(this.#words, at + SLOTS)) {
				Atomics.sub(this.#words, at + IN_USE, 1);
				Atomics.add(this.#words, at + SLOTS_DENIED, 1);
				this.#deny(at, limited, charge, CONCURRENCY);
				return CONCURRENCY;
			}
		} else Atomics.add(this.#words, at + IN_USE, 1);
		for (let dimension = 0; dimension < DIMENSIONS; dimension++) {
			if ((limited & (1 << dimension)) === 0) continue;
			const amount = amountOf(charge, dimension);
			if (amount === 0) continue;
			if (Atomics.sub(this.#words, at + BALANCE + dimension, amount) >= amount) continue;
			for (let taken = dimension; taken >= 0; taken--)
				if ((limited & (1 << taken)) !== 0) Atomics.add(this.#words, at + BALANCE + taken, amountOf(charge, taken));
			Atomics.sub(this.#words, at + IN_USE, 1);
			this.#deny(at, limited, charge, dimension);
			return dimension;
		}
		for (let dimension = 0; dimension < DIMENSIONS; dimension++)
			Atomics.add(this.#words, at + SPENT + dimension, amountOf(charge, dimension));
		this.#add(worker, tenant, OWN_IN_USE, 1);
		return -1;
	}

	/**
	 * The request has ended: its place is free, and what it took more or less than `charged` is put right. `requests`: 0 when it was never sent;
	 * `limitedThen`: what was limited when it was charged.
	 */
	settle(worker: number, tenant: number, limitedThen: number, charged: Charge, actual: Charge, requests: 0 | 1): void {
		const at = tenant * WORDS;
		Atomics.sub(this.#words, at + IN_USE, 1);
		this.#add(worker, tenant, OWN_IN_USE, -1);
		const limited = limitedThen & (this.#words[at + LIMITED] as number);
		for (let dimension = 0; dimension < DIMENSIONS; dimension++) {
			const back =
				dimension <= REQUESTS_PER_MINUTE ? 1 - requests : amountOf(charged, dimension) - amountOf(actual, dimension);
			if (back === 0) continue;
			Atomics.sub(this.#words, at + SPENT + dimension, back);
			if ((limited & (1 << dimension)) !== 0) Atomics.add(this.#words, at + BALANCE + dimension, back);
		}
	}

	/** Tokens a request takes beyond those it was charged: what is not there is owed, and those who come after wait for it. `limitedThen` as for `settle`. */
	spend(tenant: number, limitedThen: number, charge: Charge): void {
		const at = tenant * WORDS;
		const limited = limitedThen & (this.#words[at + LIMITED] as number);
		for (let dimension = REQUESTS_PER_MINUTE + 1; dimension < DIMENSIONS; dimension++) {
			const amount = amountOf(charge, dimension);
			Atomics.add(this.#words, at + SPENT + dimension, amount);
			if ((limited & (1 << dimension)) !== 0) Atomics.sub(this.#words, at + BALANCE + dimension, amount);
		}
	}

	/** Whether a request could never be taken, however long it waits: the dimension in whose burst it does not fit, or -1. */
	tooLarge(tenant: number, charge: Charge): number {
		const at = tenant * WORDS;
		const limited = this.#words[at + LIMITED] as number;
		for (const dimension of [TOKENS_IN, TOKENS] as const)
			if ((limited & (1 << dimension)) !== 0 && charge.tokensIn > (this.#words[at + BURST + dimension] as number))
				return dimension;
		return -1;
	}

	/** Most output tokens that are charged beforehand: what fits beside the prompt. The rest is owed once it is known. */
	outputCeiling(tenant: number, tokensIn: number): number {
		const at = tenant * WORDS;
		const limited = this.#words[at + LIMITED] as number;
		let most = BALANCE_MAX;
		if ((limited & (1 << TOKENS_OUT)) !== 0) most = this.#words[at + BURST + TOKENS_OUT] as number;
		if ((limited & (1 << TOKENS)) !== 0) most = Math.min(most, (this.#words[at + BURST + TOKENS] as number) - tokensIn);
		return Math.max(0, most);
	}

	/** When a dimension is expected to have what a request needs, on the wall clock; 0 = not known. */
	readyAtMs(tenant: number, dimension: number, charge: Charge): number {
		const at = tenant * CELLS;
		const oneAtMs = this.#cells[at + READY_AT + dimension] as number;
		if (oneAtMs === 0 || dimension === CONCURRENCY) return oneAtMs;
		const perMs = this.#cells[at + PER_MS + dimension] as number;
		return oneAtMs + Math.max(0, amountOf(charge, dimension) - 1) / perMs;
	}

	/** Requests of the tenant that wait in this worker, and those it has refused. */
	waits(worker: number, tenant: number, change: 1 | -1): void {
		if (tenant <= this.tenantsMax) this.#add(worker, tenant, OWN_WAITING, change);
	}

	refused(worker: number, tenant: number): void {
		if (tenant <= this.tenantsMax) this.#add(worker, tenant, OWN_REFUSED, 1);
	}

	waiting(tenant: number): number {
		return this.#sum(tenant, OWN_WAITING);
	}

	refusals(tenant: number): number {
		return this.#sum(tenant, OWN_REFUSED);
	}

	inUse(tenant: number): number {
		return Math.max(0, Atomics.load(this.#words, tenant * WORDS + IN_USE));
	}

	slots(tenant: number): number {
		return Atomics.load(this.#words, tenant * WORDS + SLOTS);
	}

	slotsDenied(tenant: number): number {
		return Atomics.load(this.#words, tenant * WORDS + SLOTS_DENIED);
	}

	balance(tenant: number, dimension: number): number {
		return Atomics.load(this.#words, tenant * WORDS + BALANCE + dimension);
	}

	/** Counts up for ever and turns over at 32 bits: differences are what is meant. */
	spent(tenant: number, dimension: number): number {
		return Atomics.load(this.#words, tenant * WORDS + SPENT + dimension);
	}

	denied(tenant: number, dimension: number): number {
		return Atomics.load(this.#words, tenant * WORDS + DENIED + dimension);
	}

	/** By the agent: which dimensions are limited (bits; CONCURRENCY too) and how much each holds at most. A dimension new to it begins empty. */
	limit(
		tenant: number,
		limited: number,
		rates: readonly ({ readonly burst: number; readonly perMs: number } | undefined)[],
		weight: number,
		priority: number,
	): void {
		const at = tenant * WORDS;
		const before = this.#words[at + LIMITED] as number;
		for (let dimension = 0; dimension < DIMENSIONS; dimension++) {
			this.#words[at + BURST + dimension] = Math.min(BALANCE_MAX, rates[dimension]?.burst ?? 0);
			this.#cells[tenant * CELLS + PER_MS + dimension] = rates[dimension]?.perMs ?? 0;
			if ((before & (1 << dimension)) === 0) Atomics.store(this.#words, at + BALANCE + dimension, 0);
		}
		if ((before & (1 << CONCURRENCY)) === 0) Atomics.store(this.#words, at + SLOTS, 0);
		this.#cells[tenant * CELLS + WEIGHT] = weight;
		this.#words[at + BAND] = priority;
		Atomics.store(this.#words, at + LIMITED, limited);
	}

	/** By the agent: more to spend, or less. */
	grant(tenant: number, dimension: number, amount: number): void {
		if (amount !== 0) Atomics.add(this.#words, tenant * WORDS + BALANCE + dimension, amount);
	}

	/** By the agent: takes back up to `most` of what is unspent; answers how much it was. */
	takeBack(tenant: number, dimension: number, most: number): number {
		const at = tenant * WORDS + BALANCE + dimension;
		const back = Math.min(most, Math.max(0, Atomics.load(this.#words, at)));
		if (back === 0) return 0;
		const before = Atomics.sub(this.#words, at, back);
		// A worker was faster: what it has taken is not there to give back.
		const short = Math.max(0, Math.min(back, back - before));
		if (short > 0) Atomics.add(this.#words, at, short);
		return back - short;
	}

	grantSlots(tenant: number, slots: number): void {
		Atomics.store(this.#words, tenant * WORDS + SLOTS, slots);
	}

	readyAgain(tenant: number, dimension: number, atMs: number): void {
		this.#cells[tenant * CELLS + READY_AT + dimension] = atMs;
	}

	/** Takes back what a dead worker had running and waiting. Only after its thread has ended. */
	reclaim(worker: number): void {
		const own = this.#own[worker];
		if (own === undefined) return;
		for (let tenant = 0; tenant <= this.tenantsMax; tenant++) {
			const running = own[tenant * OWN_WORDS + OWN_IN_USE] as number;
			if (running !== 0) Atomics.sub(this.#words, tenant * WORDS + IN_USE, running);
			own[tenant * OWN_WORDS + OWN_IN_USE] = 0;
			own[tenant * OWN_WORDS + OWN_WAITING] = 0;
		}
	}

	/** Counts all that falls short, and not only what fell short first: what is leased for a request is to be enough when it looks again. */
	#deny(at: number, limited: number, charge: Charge, first: number): void {
		for (let dimension = 0; dimension < DIMENSIONS; dimension++) {
			if ((limited & (1 << dimension)) === 0) continue;
			const amount = amountOf(charge, dimension);
			if (dimension === first || Atomics.load(this.#words, at + BALANCE + dimension) < amount)
				Atomics.add(this.#words, at + DENIED + dimension, amount);
		}
	}

	#add(worker: number, tenant: number, word: number, amount: number): void {
		const own = this.#own[worker] as Int32Array;
		const at = tenant * OWN_WORDS + word;
		own[at] = (own[at] as number) + amount;
	}

	#sum(tenant: number, word: number): number {
		let sum = 0;
		for (const own of this.#own) sum += own[tenant * OWN_WORDS + word] as number;
		return sum;
	}
}

function amountOf({ tokensIn, tokensOut }: Charge, dimension: number): number {
	switch (dimension) {
		case REQUESTS_PER_SECOND:
		case REQUESTS_PER_MINUTE:
			return 1;
		case TOKENS_IN:
			return tokensIn;
		case TOKENS_OUT:
			return tokensOut;
		default:
			return tokensIn + tokensOut;
	}
}
