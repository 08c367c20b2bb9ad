// Owns hybrid_mesh in plain TypeScript: the yardstick of the WebAssembly one, for speed (a ratio within one run) and for correctness
// (the same bits on every frame). It reads the same frame. Every operation is rounded to 32 bits, in the order of the strategy's lanes.
import {
	CacheTier,
	COLUMN_ACTIVE_DECODES,
	COLUMN_ERROR_RATIO,
	COLUMN_HEALTH,
	COLUMN_KV_BLOCK_TOKENS,
	COLUMN_KV_FREE_BLOCKS,
	COLUMN_KV_USAGE,
	COLUMN_LOAD,
	COLUMN_PENDING_PREFILL_TOKENS,
	COLUMN_PREFILL_RATE,
	COLUMN_RTT_MS,
	COLUMN_SLOW_START,
	COLUMN_SPEED,
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
const TOP_K = 4;

/** Configuration slots, in manifest order. */
const slots = {
	requestTokens: 0,
	outputShare: 1,
	congestionWeight: 2,
	serviceMs: 3,
	congestionMax: 4,
	stallWeight: 5,
	kvPressureMs: 6,
	shortageWeight: 7,
	rttWeight: 8,
	errorMs: 9,
	staleAfterMs: 10,
	staleWeight: 11,
	staleMaxMs: 12,
	slowRatio: 13,
	hostShare: 14,
	diskShare: 15,
	loraLoadMs: 17,
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
	readonly #u32: Uint32Array;
	readonly #f32: Float32Array;
	readonly #capacity: number;
	readonly #base: Float32Array;
	readonly #pace: Float32Array;
	readonly #cost: Float32Array;
	readonly #minima: Float32Array;
	readonly #request: number;
	readonly #config: number;
	readonly #eligibility: number;
	readonly #hits: number;
	readonly #columns: readonly Float32Array[];
	readonly #telemetryAt: Int32Array;
	#draws = 0;
	#aheadSum = 0;
	#decodeSum = 0;

	/** `words` and `floats` are two views of one frame. */
	constructor(layout: FrameLayout, words: Uint32Array, floats: Float32Array) {
		this.#u32 = words;
		this.#f32 = floats;
		this.#capacity = layout.rowCapacity;
		this.#base = new Float32Array(layout.rowCapacity);
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
		const telemetry = words.byteOffset + at(COLUMN_TELEMETRY_AT_MS) * 4;
		this.#telemetryAt = new Int32Array(words.buffer, telemetry, layout.rowCapacity);
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
		const eligible = this.#asked(REQUEST_ELIGIBLE_COUNT_WORD);
		if (eligible === 0) return false;
		const loraLoad = this.#someHaveLora() ? this.#setting(slots.loraLoadMs) : 0;
		this.#costWithoutPrompt(loraLoad);
		const count = f(eligible);
		const wait = f(f(this.#aheadSum / count) / this.#setting(slots.serviceMs));
		const congestion = Math.min(wait, this.#setting(slots.congestionMax));
		const own = f(1 + f(this.#setting(slots.congestionWeight) * congestion));
		const stall = f(this.#setting(slots.stallWeight) / Math.max(f(this.#decodeSum / count), 1));
		this.#addPrompt(own, stall);
		this.#creditHolders(own, stall, loraLoad);
		this.#select(Math.min(TOP_K, this.#asked(REQUEST_TOP_K_WORD)));
		return this.count > 0;
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
		const load = this.#column(COLUMN_LOAD);
		const decodes = this.#column(COLUMN_ACTIVE_DECODES);
		const kvUsage = this.#column(COLUMN_KV_USAGE);
		const kvFree = this.#column(COLUMN_KV_FREE_BLOCKS);
		const kvBlock = this.#column(COLUMN_KV_BLOCK_TOKENS);
		const rtt = this.#column(COLUMN_RTT_MS);
		const errors = this.#column(COLUMN_ERROR_RATIO);
		const health = this.#column(COLUMN_HEALTH);
		const slowStart = this.#column(COLUMN_SLOW_START);
		const speed = this.#column(COLUMN_SPEED);
		const weight = this.#column(COLUMN_WEIGHT);
		const telemetryAt = this.#telemetryAt;
		const base = this.#base;
		const pace = this.#pace;
		const slowRatio = this.#setting(slots.slowRatio);
		const tokensIn = f(this.#asked(REQUEST_TOKENS_IN_WORD));
		const tokensOut = f(this.#asked(REQUEST_TOKENS_OUT_WORD));
		const loadTokens = f(this.#setting(slots.requestTokens) + f(this.#setting(slots.outputShare) * tokensOut));
		const needed = f(tokensIn + tokensOut);
		const shortageWeight = this.#setting(slots.shortageWeight);
		const kvPressure = this.#setting(slots.kvPressureMs);
		const rttWeight = this.#setting(slots.rttWeight);
		const errorMs = this.#setting(slots.errorMs);
		const staleWeight = this.#setting(slots.staleWeight);
		const staleAfter = this.#u32[this.#config + slots.staleAfterMs] as number;
		const staleMax = (this.#u32[this.#config + slots.staleMaxMs] as number) | 0;
		const freshFrom = (this.#asked(REQUEST_NOW_MS_WORD) - staleAfter) | 0;
		const aheadSums = new Float32Array(4);
		const decodeSums = new Float32Array(4);
		for (let row = 0; row < this.#capacity; row++) {
			if ((row & 31) === 0 && this.#u32[this.#eligibility + (row >>> 5)] === 0) {
				row += 31;
				continue;
			}
			let steady = f((speed[row] as number) * slowRatio);
			if (1 < steady) steady = 1;
			const trust = f(f((health[row] as number) * (slowStart[row] as number)) * (weight[row] as number));
			let share = f(trust * steady);
			if (share < SHARE_MIN) share = SHARE_MIN;
			let rate = prefillRate[row] as number;
			if (rate < 1) rate = 1;
			const perToken = f(1000 / f(rate * share));
			const usage = kvUsage[row] as number;
			let missing = f(needed - f((kvFree[row] as number) * (kvBlock[row] as number)));
			if (missing < 0) missing = 0;
			const shortage = f(f(missing * usage) * shortageWeight);
			const tokens = f(f((pending[row] as number) + f((load[row] as number) * loadTokens)) + shortage);
			const ahead = f(tokens * perToken);
			if (this.#eligible(row)) {
				aheadSums[row & 3] = f((aheadSums[row & 3] as number) + ahead);
				decodeSums[row & 3] = f((decodeSums[row & 3] as number) + (decodes[row] as number));
			}
			const usage2 = f(usage * usage);
			const usage4 = f(usage2 * usage2);
			const pressure = f(f(usage4 * usage4) * kvPressure);
			const late = Math.min(Math.max((freshFrom - (telemetryAt[row] as number)) | 0, 0), staleMax);
			const fixed = f(
				f(pressure + f((rtt[row] as number) * rttWeight)) +
					f(f((errors[row] as number) * errorMs) + f(f(late) * staleWeight)),
			);
			base[row] = f(ahead + f(fixed + loraLoad));
			pace[row] = perToken;
		}
		this.#aheadSum = sumLanes(aheadSums);
		this.#decodeSum = sumLanes(decodeSums);
	}

	#addPrompt(own: number, stall: number): void {
		const decodes = this.#column(COLUMN_ACTIVE_DECODES);
		const prompt = f(Math.max(this.#asked(REQUEST_TOKENS_IN_WORD), 1));
		const ownTokens = f(prompt * own);
		const stallTokens = f(prompt * stall);
		const base = this.#base;
		const pace = this.#pace;
		const cost = this.#cost;
		for (let block = 0; block < this.#capacity; block += BLOCK_ROWS) {
			const end = Math.min(block + BLOCK_ROWS, this.#capacity);
			let smallest = NEVER;
			for (let row = block; row < end; row++) {
				let value = NEVER;
				if (this.#eligible(row)) {
					const tokens = f(ownTokens + f(stallTokens * (decodes[row] as number)));
					const total = f((base[row] as number) + f(tokens * (pace[row] as number)));
					if (Math.abs(total) < NEVER) value = total;
				}
				cost[row] = value;
				if (value < smallest) smallest = value;
			}
			this.#minima[block / BLOCK_ROWS] = smallest;
		}
	}

	#creditHolders(own: number, stall: number, loraLoad: number): void {
		const decodes = this.#column(COLUMN_ACTIVE_DECODES);
		const prompt = f(Math.max(this.#asked(REQUEST_TOKENS_IN_WORD), 1));
		const count = this.#asked(REQUEST_HIT_COUNT_WORD);
		for (let index = 0; index < count; index++) {
			const at = this.#hits + (index * PREFIX_HIT_BYTES) / 4;
			const row = this.#u32[at + PREFIX_HIT_ROW_WORD] as number;
			if (!this.#eligible(row)) continue;
			const tier = this.#u32[at + PREFIX_HIT_TIER_WORD];
			const colder = tier === CacheTier.host ? this.#setting(slots.hostShare) : this.#setting(slots.diskShare);
			const share = tier === CacheTier.device ? 1 : colder;
			const cached = f(f(this.#u32[at + PREFIX_HIT_TOKENS_WORD] as number) * share);
			const left = Math.max(f(prompt - cached), 1);
			const charge = f(own + f(stall * (decodes[row] as number)));
			const whole = f((this.#base[row] as number) + f(f(left * charge) * (this.#pace[row] as number)));
			const value = f(whole - (this.#hasLora(index) ? loraLoad : 0));
			if (!(value < (this.#cost[row] as number))) continue;
			this.#cost[row] = value;
			const block = Math.floor(row / BLOCK_ROWS);
			if (value < (this.#minima[block] as number)) this.#minima[block] = value;
		}
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

function sumLanes(lanes: Float32Array): number {
	const [a = 0, b = 0, c = 0, d = 0] = lanes;
	return f(f(f(a + b) + c) + d);
}
