// Owns hybrid_mesh in plain TypeScript: the yardstick of the WebAssembly one, for speed (a ratio within one run) and for correctness
// (the same bits on every frame). It reads the same frame. Every operation is rounded to 32 bits, in the order of the strategy's lanes.
import {
	CacheTier,
	COLUMN_BANDWIDTH_MBPS,
	COLUMN_ERROR_RATIO,
	COLUMN_FETCHES_PREFIXES,
	COLUMN_HEALTH,
	COLUMN_KV_BLOCK_TOKENS,
	COLUMN_KV_FREE_BLOCKS,
	COLUMN_KV_USAGE,
	COLUMN_LOAD,
	COLUMN_PENDING_PREFILL_PAIRS,
	COLUMN_PENDING_PREFILL_TOKENS,
	COLUMN_PREFILL_AT_MS,
	COLUMN_PREFILL_RATE,
	COLUMN_RTT_MS,
	COLUMN_SLOW_START,
	COLUMN_TELEMETRY_AT_MS,
	COLUMN_WEIGHT,
	type FrameLayout,
	HitFlag,
	PREFIX_HIT_BYTES,
	PREFIX_HIT_FLAGS_WORD,
	PREFIX_HIT_ROW_WORD,
	PREFIX_HIT_TIER_WORD,
	PREFIX_HIT_TOKENS_WORD,
	REQUEST_ELIGIBLE_COUNT_WORD,
	REQUEST_HIT_COUNT_WORD,
	REQUEST_NOW_MS_WORD,
	REQUEST_SEED_WORD,
	REQUEST_TOKENS_IN_WORD,
	REQUEST_TOKENS_OUT_WORD,
	REQUEST_TOP_K_WORD,
} from '@infermesh/sdk';

const f = Math.fround;
const BLOCK_ROWS = 64;
const NEVER = Number.POSITIVE_INFINITY;
const SHARE_MIN = f(0.02);
const HALF = 0.5;
const FETCH_TOKENS_MIN = 64;
const TOP_K = 4;

/** Where the share of busy rows is taken and where the next one holds from, in service times; rows looked at in larger pools. */
const POINTS = [f(0.32), f(1.6), f(6.4), f(25.6)] as const;
const STEPS = [f(0.8), f(3.2), f(12.8)] as const;
const SAMPLE_ROWS = 1024;
/** Share of own prefill that counts as before it. */
const CROWD_OWN = 0.125;

/** Configuration slots, in manifest order. */
const slots = {
	requestTokens: 0,
	outputShare: 1,
	ownWeight: 2,
	crowdWeight: 3,
	crowdMs: 4,
	busyWeight: 5,
	serviceMs: 6,
	kvPressureMs: 7,
	shortageWeight: 8,
	rttWeight: 9,
	errorMs: 10,
	staleAfterMs: 11,
	staleWeight: 12,
	staleMaxMs: 13,
	hostShare: 14,
	diskShare: 15,
	loraLoadMs: 17,
	attentionPerToken: 18,
	queueFloor: 19,
	fetch: 20,
	fetchMs: 21,
	kvKibPerToken: 22,
	transferMbps: 23,
} as const;

function mix32(value: number): number {
	let mixed = value ^ (value >>> 16);
	mixed = Math.imul(mixed, 0x85ebca6b);
	mixed ^= mixed >>> 13;
	mixed = Math.imul(mixed, 0xc2b2ae35);
	return mixed ^ (mixed >>> 16);
}

export class HybridMeshReference {
	readonly rows = new Uint32Array(TOP_K);
	readonly scores = new Float32Array(TOP_K);
	count = 0;
	/** -1 = none. */
	fetchFromRow = -1;
	readonly #u32: Uint32Array;
	readonly #f32: Float32Array;
	readonly #capacity: number;
	readonly #base: Float32Array;
	readonly #queued: Float32Array;
	readonly #pace: Float32Array;
	readonly #cost: Float32Array;
	readonly #minima: Float32Array;
	readonly #request: number;
	readonly #config: number;
	readonly #eligibility: number;
	readonly #hits: number;
	readonly #columns: readonly Float32Array[];
	readonly #telemetryAt: Int32Array;
	readonly #prefillAt: Int32Array;
	readonly #fetches: Int32Array;
	#draws = 0;
	/** Prices of a millisecond before each step beyond that after it, and after the last. */
	readonly #drops = new Float32Array(3);
	#last = 0;
	#prompt = 1;
	#holder = -1;
	#leftAfter = 1;
	#workAfter = 1;

	/** `words` and `floats` are two views of one frame. */
	constructor(layout: FrameLayout, words: Uint32Array, floats: Float32Array) {
		this.#u32 = words;
		this.#f32 = floats;
		this.#capacity = layout.rowCapacity;
		this.#base = new Float32Array(layout.rowCapacity);
		this.#queued = new Float32Array(layout.rowCapacity);
		this.#pace = new Float32Array(layout.rowCapacity);
		this.#cost = new Float32Array(layout.rowCapacity);
		this.#minima = new Float32Array(Math.ceil(layout.rowCapacity / BLOCK_ROWS));
		this.#request = layout.requestOffset / 4;
		this.#config = layout.configOffset / 4;
		this.#eligibility = layout.eligibilityOffset / 4;
		this.#hits = layout.hitsOffset / 4;
		const at = (id: number) => (layout.columnOffsets[id] ?? 0) / 4;
		this.#columns = Array.from({ length: layout.columnOffsets.length }, (_, id) =>
			floats.subarray(at(id), at(id) + layout.rowCapacity),
		);
		const whole = (id: number) => new Int32Array(words.buffer, words.byteOffset + at(id) * 4, layout.rowCapacity);
		this.#telemetryAt = whole(COLUMN_TELEMETRY_AT_MS);
		this.#prefillAt = whole(COLUMN_PREFILL_AT_MS);
		this.#fetches = whole(COLUMN_FETCHES_PREFIXES);
	}

	#column(id: number): Float32Array {
		return this.#columns[id] as Float32Array;
	}

	#setting(slot: number): number {
		return this.#f32[this.#config + slot] as number;
	}

	#asked(word: number): number {
		return this.#u32[this.#request + word] as number;
	}

	#eligible(row: number): boolean {
		return (((this.#u32[this.#eligibility + (row >>> 5)] as number) >>> (row & 31)) & 1) === 1;
	}

	/** Ranks; false when no row is eligible. */
	rank(): boolean {
		this.#draws = 0;
		this.count = 0;
		this.fetchFromRow = -1;
		const eligible = this.#asked(REQUEST_ELIGIBLE_COUNT_WORD);
		if (eligible === 0) return false;
		const loraLoad = this.#someHaveLora() ? this.#setting(slots.loraLoadMs) : 0;
		this.#costWithoutPrompt(loraLoad);
		this.#prompt = f(Math.max(this.#asked(REQUEST_TOKENS_IN_WORD), 1));
		this.#lookAtPool();
		this.#addPrompt();
		this.#findHolder();
		this.#creditFetches();
		this.#creditHolders(loraLoad);
		this.#select(Math.min(TOP_K, this.#asked(REQUEST_TOP_K_WORD)));
		if (this.count === 0) return false;
		this.fetchFromRow = this.#fetchOfFirst(loraLoad);
		return true;
	}

	#hasLora(hit: number): boolean {
		const flags = this.#u32[this.#hits + (hit * PREFIX_HIT_BYTES) / 4 + PREFIX_HIT_FLAGS_WORD] as number;
		return (flags & HitFlag.lora) !== 0;
	}

	#someHaveLora(): boolean {
		const count = this.#asked(REQUEST_HIT_COUNT_WORD);
		for (let index = 0; index < count; index++) if (this.#hasLora(index)) return true;
		return false;
	}

	#costWithoutPrompt(loraLoad: number): void {
		const prefillRate = this.#column(COLUMN_PREFILL_RATE);
		const pending = this.#column(COLUMN_PENDING_PREFILL_TOKENS);
		const pairs = this.#column(COLUMN_PENDING_PREFILL_PAIRS);
		const load = this.#column(COLUMN_LOAD);
		const kvUsage = this.#column(COLUMN_KV_USAGE);
		const kvFree = this.#column(COLUMN_KV_FREE_BLOCKS);
		const kvBlock = this.#column(COLUMN_KV_BLOCK_TOKENS);
		const rtt = this.#column(COLUMN_RTT_MS);
		const errors = this.#column(COLUMN_ERROR_RATIO);
		const health = this.#column(COLUMN_HEALTH);
		const slowStart = this.#column(COLUMN_SLOW_START);
		const weight = this.#column(COLUMN_WEIGHT);
		const telemetryAt = this.#telemetryAt;
		const base = this.#base;
		const pace = this.#pace;
		const tokensIn = f(this.#asked(REQUEST_TOKENS_IN_WORD));
		const tokensOut = f(this.#asked(REQUEST_TOKENS_OUT_WORD));
		const loadTokens = f(this.#setting(slots.requestTokens) + f(this.#setting(slots.outputShare) * tokensOut));
		const needed = f(tokensIn + tokensOut);
		const pairTokens = f(this.#setting(slots.attentionPerToken) * 2 ** 20);
		const queueFloor = this.#setting(slots.queueFloor);
		const nowMs = this.#asked(REQUEST_NOW_MS_WORD);
		const shortageWeight = this.#setting(slots.shortageWeight);
		const kvPressure = this.#setting(slots.kvPressureMs);
		const rttWeight = this.#setting(slots.rttWeight);
		const errorMs = this.#setting(slots.errorMs);
		const staleWeight = this.#setting(slots.staleWeight);
		const staleAfter = this.#u32[this.#config + slots.staleAfterMs] as number;
		const staleMax = (this.#u32[this.#config + slots.staleMaxMs] as number) | 0;
		const freshFrom = (this.#asked(REQUEST_NOW_MS_WORD) - staleAfter) | 0;
		for (let row = 0; row < this.#capacity; row++) {
			if ((row & 31) === 0 && this.#u32[this.#eligibility + (row >>> 5)] === 0) {
				row += 31;
				continue;
			}
			const trust = f(f((health[row] as number) * (slowStart[row] as number)) * (weight[row] as number));
			const share = trust < SHARE_MIN ? SHARE_MIN : trust;
			let rate = prefillRate[row] as number;
			if (rate < 1) rate = 1;
			const perToken = f(1000 / f(rate * share));
			const usage = kvUsage[row] as number;
			let missing = f(needed - f((kvFree[row] as number) * (kvBlock[row] as number)));
			if (missing < 0) missing = 0;
			const shortage = f(f(f(missing * usage) * shortageWeight) * perToken);
			const work = f(f((pending[row] as number) + f((pairs[row] as number) * pairTokens)) * perToken);
			const elapsed = f(Math.max((nowMs - (this.#prefillAt[row] as number)) | 0, 0));
			const queued = Math.max(f(work - elapsed), f(work * queueFloor));
			const queue = f(f(queued + f(f((load[row] as number) * loadTokens) * perToken)) + loraLoad);
			const usage2 = f(usage * usage);
			const usage4 = f(usage2 * usage2);
			const pressure = f(f(usage4 * usage4) * kvPressure);
			const late = Math.min(Math.max((freshFrom - (telemetryAt[row] as number)) | 0, 0), staleMax);
			const failing = f((errors[row] as number) * errorMs);
			const fixed = f(f(pressure + f((rtt[row] as number) * rttWeight)) + f(f(late) * staleWeight));
			base[row] = f(f(queue + failing) + f(fixed + shortage));
			this.#queued[row] = queued;
			pace[row] = perToken;
		}
	}

	/** The share of rows that are busy at each point, over about SAMPLE_ROWS of them, and what a millisecond costs by it. */
	#lookAtPool(): void {
		const stride = Math.max(1, Math.ceil(this.#capacity / SAMPLE_ROWS));
		const counts = POINTS.map(() => 0);
		const service = this.#setting(slots.serviceMs);
		let next = 0;
		let sampled = 0;
		for (let first = 0; first < this.#capacity; first += 32) {
			if (this.#u32[this.#eligibility + (first >>> 5)] === 0) continue;
			if (next-- > 0) continue;
			next = stride - 1;
			for (let row = first; row < Math.min(first + 32, this.#capacity); row++) {
				if (!this.#eligible(row)) continue;
				sampled++;
				for (const [at, point] of POINTS.entries())
					if ((this.#queued[row] as number) > f(service * point)) counts[at] = (counts[at] as number) + 1;
			}
		}
		const prices = counts.map((count) => {
			const share = sampled < 2 ? 0 : Math.min(f(count / (sampled - 1)), 1);
			return f(f(share * share) * this.#setting(slots.busyWeight));
		});
		for (let step = 0; step < 3; step++) this.#drops[step] = f((prices[step] as number) - (prices[step + 1] as number));
		this.#last = prices[3] as number;
	}

	/** Cost of keeping a row busy for `own` ms, from `queued` ms on. */
	#busyMs(own: number, queued: number): number {
		const until = f(queued + own);
		const [first, second, third] = STEPS.map((step, at) => {
			const bound = f(this.#setting(slots.serviceMs) * step);
			return f((this.#drops[at] as number) * f(Math.min(until, bound) - Math.min(queued, bound)));
		}) as [number, number, number];
		return f(f(f(first + second) + third) + f(this.#last * own));
	}

	/** Work of prefilling the last `left` tokens of the prompt, in tokens without context. */
	#workOf(left: number): number {
		const context = f(this.#prompt - f(left * HALF));
		return f(left * f(1 + f(this.#setting(slots.attentionPerToken) * context)));
	}

	/** Own prefill of `own` ms with what it costs others. */
	#prefillCost(own: number, before: number, row: number): number {
		const weight = this.#setting(slots.crowdWeight);
		const half = this.#setting(slots.crowdMs);
		const length = f(half + f(before + f(own * CROWD_OWN)));
		const crowd = f(weight - f(f(weight * half) / length));
		const weighted = f(own * f(f(1 + this.#setting(slots.ownWeight)) + crowd));
		return f(weighted + this.#busyMs(own, this.#queued[row] as number));
	}

	#addPrompt(): void {
		const work = this.#workOf(this.#prompt);
		const cost = this.#cost;
		for (let block = 0; block < this.#capacity; block += BLOCK_ROWS) {
			const end = Math.min(block + BLOCK_ROWS, this.#capacity);
			let smallest = NEVER;
			for (let row = block; row < end; row++) {
				let value = NEVER;
				if (this.#eligible(row)) {
					const before = this.#base[row] as number;
					const own = f(work * (this.#pace[row] as number));
					const total = f(before + this.#prefillCost(own, before, row));
					if (Math.abs(total) < NEVER) value = total;
				}
				cost[row] = value;
				if (value < smallest) smallest = value;
			}
			this.#minima[block / BLOCK_ROWS] = smallest;
		}
	}

	/** The eligible row that holds the longest prefix. */
	#findHolder(): void {
		this.#holder = -1;
		let most = 0;
		const looked = this.#u32[this.#config + slots.fetch] === 1 ? this.#asked(REQUEST_HIT_COUNT_WORD) : 0;
		for (let index = 0; index < looked; index++) {
			const at = this.#hits + (index * PREFIX_HIT_BYTES) / 4;
			const row = this.#u32[at + PREFIX_HIT_ROW_WORD] as number;
			const tokens = this.#u32[at + PREFIX_HIT_TOKENS_WORD] as number;
			if (tokens <= most || tokens < FETCH_TOKENS_MIN || !this.#eligible(row)) continue;
			most = tokens;
			this.#holder = row;
		}
		this.#leftAfter = Math.max(f(this.#prompt - most), 1);
		this.#workAfter = this.#workOf(this.#leftAfter);
	}

	/** Milliseconds of a fetch, by the tokens left without it. */
	#fetchMs(row: number, left: number): number {
		const known = this.#column(COLUMN_BANDWIDTH_MBPS)[row] as number;
		const kib = f(f(left - this.#leftAfter) * this.#setting(slots.kvKibPerToken));
		const rate = known > 0 ? known : this.#setting(slots.transferMbps);
		return f(this.#setting(slots.fetchMs) + f(f(kib * f(1.024)) / rate));
	}

	#ableToFetch(row: number): boolean {
		return this.#holder >= 0 && this.#fetches[row] !== 0;
	}

	/** Cost with the fetch; infinite where there is none to make. */
	#fetchedCost(row: number, left: number, before: number): number {
		if (row === this.#holder || !this.#ableToFetch(row) || !(this.#leftAfter < left)) return NEVER;
		const own = f(this.#workAfter * (this.#pace[row] as number));
		return f(f(before + this.#fetchMs(row, left)) + this.#prefillCost(own, before, row));
	}

	#computedCost(row: number, left: number, before: number): number {
		const own = f(this.#workOf(left) * (this.#pace[row] as number));
		return f(before + this.#prefillCost(own, before, row));
	}

	#creditFetches(): void {
		if (this.#holder < 0) return;
		for (let row = 0; row < this.#capacity; row++) {
			if (!this.#eligible(row) || !this.#ableToFetch(row)) continue;
			const before = this.#base[row] as number;
			const own = f(this.#workAfter * (this.#pace[row] as number));
			const begun = f(before + this.#fetchMs(row, this.#prompt));
			this.#lower(row, f(begun + this.#prefillCost(own, before, row)));
		}
	}

	#lower(row: number, value: number): void {
		if (!(value < (this.#cost[row] as number))) return;
		this.#cost[row] = value;
		const block = Math.floor(row / BLOCK_ROWS);
		if (value < (this.#minima[block] as number)) this.#minima[block] = value;
	}

	/** Tokens left where hit `index` is. */
	#left(index: number): number {
		const at = this.#hits + (index * PREFIX_HIT_BYTES) / 4;
		const tier = this.#u32[at + PREFIX_HIT_TIER_WORD];
		const colder = tier === CacheTier.host ? this.#setting(slots.hostShare) : this.#setting(slots.diskShare);
		const share = tier === CacheTier.device ? 1 : colder;
		const cached = f(f(this.#u32[at + PREFIX_HIT_TOKENS_WORD] as number) * share);
		return Math.max(f(this.#prompt - cached), 1);
	}

	#rowOfHit(index: number): number {
		return this.#u32[this.#hits + (index * PREFIX_HIT_BYTES) / 4 + PREFIX_HIT_ROW_WORD] as number;
	}

	#creditHolders(loraLoad: number): void {
		const count = this.#asked(REQUEST_HIT_COUNT_WORD);
		for (let index = 0; index < count; index++) {
			const row = this.#rowOfHit(index);
			if (!this.#eligible(row)) continue;
			const before = f((this.#base[row] as number) - (this.#hasLora(index) ? loraLoad : 0));
			const left = this.#left(index);
			this.#lower(row, Math.min(this.#computedCost(row, left, before), this.#fetchedCost(row, left, before)));
		}
	}

	/** Where the first row is to fetch the prefix from; -1 = it computes. */
	#fetchOfFirst(loraLoad: number): number {
		const first = this.rows[0] as number;
		let left = this.#prompt;
		let lora = loraLoad;
		for (let index = 0; index < this.#asked(REQUEST_HIT_COUNT_WORD); index++) {
			if (this.#rowOfHit(index) !== first) continue;
			left = this.#left(index);
			if (this.#hasLora(index)) lora = 0;
		}
		const before = f((this.#base[first] as number) - f(loraLoad - lora));
		const fetched = this.#fetchedCost(first, left, before);
		return fetched < this.#computedCost(first, left, before) ? this.#holder : -1;
	}

	#select(wanted: number): void {
		while (this.count < wanted) {
			let lowest = NEVER;
			for (const minimum of this.#minima) if (minimum < lowest) lowest = minimum;
			if (lowest === NEVER) return;
			const row = this.#drawLowest(lowest);
			this.rows[this.count] = row;
			this.scores[this.count++] = lowest;
			this.#cost[row] = NEVER;
			this.#refreshBlock(row - (row % BLOCK_ROWS));
		}
	}

	#drawLowest(lowest: number): number {
		const tied: number[] = [];
		for (let block = 0; block < this.#capacity; block += BLOCK_ROWS) {
			if (this.#minima[block / BLOCK_ROWS] !== lowest) continue;
			const end = Math.min(block + BLOCK_ROWS, this.#capacity);
			for (let row = block; row < end; row++) if (this.#cost[row] === lowest) tied.push(row);
		}
		return tied[tied.length > 1 ? this.#randomBelow(tied.length) : 0] as number;
	}

	#randomBelow(limit: number): number {
		const low = this.#asked(REQUEST_SEED_WORD);
		const high = this.#asked(REQUEST_SEED_WORD + 1);
		this.#draws++;
		const random = mix32(mix32(low ^ Math.imul(this.#draws, 0x9e3779b9)) ^ high) >>> 0;
		return Math.floor((random * limit) / 2 ** 32);
	}

	#refreshBlock(block: number): void {
		const end = Math.min(block + BLOCK_ROWS, this.#capacity);
		let smallest = NEVER;
		for (let row = block; row < end; row++) {
			const value = this.#cost[row] as number;
			if (value < smallest) smallest = value;
		}
		this.#minima[block / BLOCK_ROWS] = smallest;
	}
}
