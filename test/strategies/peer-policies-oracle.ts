// Owns eight policies of other routers in plain TypeScript, written from their formulas and apart from the strategies: what decisions of the
// WebAssembly ones are checked against. It knows nothing of frames; arithmetic is rounded to 32 bits where a strategy's is, so ties are the same.

const f = Math.fround;
const NEVER = Number.POSITIVE_INFINITY;
const TOP_K = 4;

/** What is cached of the prompt on a row. */
export interface OracleHit {
	readonly tokens: number;
	readonly tier: 0 | 1 | 2 | 3;
}

export type OracleRow = Readonly<Record<string, number>>;

export interface OracleFrame {
	readonly rows: readonly OracleRow[];
	readonly eligible: readonly boolean[];
	/** By row. */
	readonly hits: ReadonlyMap<number, OracleHit>;
	readonly tokensIn: number;
	readonly tokensOut: number;
	readonly promptHash: bigint;
	readonly seed: bigint;
	readonly phase: number;
	readonly topK: number;
	/** Every value of the configuration; booleans are 0 and 1. */
	readonly config: Readonly<Record<string, number>>;
	/** Milliseconds each row's target has finished lately: what preble remembers. */
	readonly pastMs?: readonly number[];
}

export interface OracleAnswer {
	readonly rows: readonly number[];
	readonly scores: readonly number[];
}

function mix32(value: number): number {
	let mixed = value ^ (value >>> 16);
	mixed = Math.imul(mixed, 0x85ebca6b);
	mixed ^= mixed >>> 13;
	mixed = Math.imul(mixed, 0xc2b2ae35);
	return mixed ^ (mixed >>> 16);
}

/** The draws of one decision, from its seed. */
class Draws {
	readonly #low: number;
	readonly #high: number;
	#count = 0;

	constructor(seed: bigint) {
		this.#low = Number(seed & 0xffffffffn);
		this.#high = Number(seed >> 32n);
	}

	below(limit: number): number {
		this.#count++;
		const random = mix32(mix32(this.#low ^ Math.imul(this.#count, 0x9e3779b9)) ^ this.#high) >>> 0;
		return Math.floor((random * limit) / 2 ** 32);
	}
}

/** xxHash32 of eight bytes. */
function hash64(key: bigint, seed: number): number {
	const words = [Number(key & 0xffffffffn), Number(key >> 32n)];
	let hash = (seed + 374_761_393 + 8) | 0;
	for (const word of words) {
		hash = (hash + Math.imul(word, 3_266_489_917)) | 0;
		hash = Math.imul((hash << 17) | (hash >>> 15), 668_265_263);
	}
	hash = Math.imul(hash ^ (hash >>> 15), 2_246_822_519);
	hash = Math.imul(hash ^ (hash >>> 13), 3_266_489_917);
	return (hash ^ (hash >>> 16)) >>> 0;
}

/** One decision: the frame with helpers that read it as the formulas do. */
class Decision {
	readonly frame: OracleFrame;
	readonly draws: Draws;
	/** Prompt tokens, at least one. */
	readonly prompt: number;
	readonly candidates: readonly number[];

	constructor(frame: OracleFrame) {
		this.frame = frame;
		this.draws = new Draws(frame.seed);
		this.prompt = Math.max(frame.tokensIn, 1);
		this.candidates = frame.rows.map((_, row) => row).filter((row) => frame.eligible[row] === true);
	}

	at(row: number, column: string): number {
		return f(this.frame.rows[row]?.[column] ?? Number.NaN);
	}

	setting(name: string): number {
		return f(this.frame.config[name] ?? Number.NaN);
	}

	/** Values of a column over the candidates. */
	column(name: string): number[] {
		return this.candidates.map((row) => this.at(row, name));
	}

	/** Cached tokens on a row, no more than the prompt. */
	cached(row: number): number {
		return Math.min(this.frame.hits.get(row)?.tokens ?? 0, this.prompt);
	}

	/** Cached share of the prompt, by what a token is worth where it lies. */
	match(row: number): number {
		const hit = this.frame.hits.get(row);
		if (hit === undefined) return 0;
		const share = [1, this.setting('host_share'), this.setting('disk_share'), this.setting('disk_share')][hit.tier];
		return Math.min(f(f(hit.tokens * (share ?? 0)) / f(this.prompt)), 1);
	}

	/** One of the candidates for which `value` is lowest, drawn as they come: the n-th equal one replaces the last with probability 1/n. */
	drawLowest(rows: readonly number[], value: (row: number) => number): number {
		let chosen = -1;
		let lowest = NEVER;
		let equals = 0;
		for (const row of rows) {
			const own = value(row);
			if (own > lowest) continue;
			equals = own === lowest ? equals + 1 : 1;
			lowest = own;
			if (equals === 1 || this.draws.below(equals) === 0) chosen = row;
		}
		return chosen;
	}

	/** The lowest costs in order; of equal ones each is as likely. */
	rank(costOf: (row: number) => number): OracleAnswer {
		const left = this.candidates.map((row) => ({ row, cost: costOf(row) })).filter(({ cost }) => Number.isFinite(cost));
		const ranked: { row: number; cost: number }[] = [];
		while (ranked.length < Math.min(TOP_K, this.frame.topK) && left.length > 0) {
			const lowest = Math.min(...left.map(({ cost }) => cost));
			const tied = left.filter(({ cost }) => cost === lowest);
			const chosen = tied[tied.length > 1 ? this.draws.below(tied.length) : 0];
			if (chosen === undefined) break;
			ranked.push(chosen);
			left.splice(left.indexOf(chosen), 1);
		}
		return { rows: ranked.map(({ row }) => row), scores: ranked.map(({ cost }) => cost) };
	}

	/** As `rank`, with one row before all others. */
	rankAfter(first: number, costOf: (row: number) => number): OracleAnswer {
		return this.rank((row) => (row === first ? -1 : costOf(row)));
	}

	/** Candidates that hold the longest cached prefix; empty when none holds any. */
	holders(tokensOf: (row: number) => number): number[] {
		const longest = Math.max(0, ...this.candidates.map(tokensOf));
		return longest === 0 ? [] : this.candidates.filter((row) => tokensOf(row) === longest);
	}
}

const clamp = (value: number) => Math.min(Math.max(value, 0), 1);
/** Highest less lowest. */
const spread = (values: readonly number[]) => f(Math.max(...values) - Math.min(...values));

export function smgCacheAware(frame: OracleFrame): OracleAnswer {
	const is = new Decision(frame);
	const inflight = is.column('inflight');
	const usage = is.column('kv_usage');
	const [fewest, most] = [Math.min(...inflight), Math.max(...inflight)];
	const uneven = spread(inflight) > is.setting('balance_abs') && most > f(is.setting('balance_rel') * fewest);
	const full = Math.max(...usage) > is.setting('kv_overload') || spread(usage) > is.setting('kv_spread');
	const holders = uneven || full ? [] : is.holders((row) => frame.hits.get(row)?.tokens ?? 0);
	let owner = -1;
	if (holders.length > 0 && is.setting('kv_events') === 1)
		owner = is.drawLowest(holders, (row) => is.at(row, 'inflight'));
	else if (holders.length > 0 && f(is.cached(holders[0] ?? -1) / f(is.prompt)) > is.setting('cache_threshold')) {
		const weights = holders.map((row) => hash64(frame.promptHash, frame.rows[row]?.['target_hash'] ?? 0));
		owner = holders[weights.indexOf(Math.max(...weights))] ?? -1;
	}
	return is.rankAfter(owner, (row) => is.at(row, 'inflight'));
}

export function smgLeastLoad(frame: OracleFrame): OracleAnswer {
	const is = new Decision(frame);
	const reported = (row: number) => is.at(row, 'telemetry_at_ms') !== 0;
	const rate = (row: number) =>
		is.at(row, 'decode_rate') > 0 ? is.at(row, 'decode_rate') : is.setting('throughput_unknown');
	const rates = is.candidates.filter(reported).map(rate);
	const mean =
		rates.length === 0
			? is.setting('throughput_unknown')
			: f(rates.reduce((sum, own) => f(sum + own), 0) / rates.length);
	return is.rank((row) => {
		if (!reported(row)) return f(f(is.at(row, 'inflight') * is.setting('unreported_tokens')) / mean);
		const used = Math.min(Math.max(is.at(row, 'kv_usage'), 0), is.setting('kv_usage_max'));
		const kv = f(f(is.setting('kv_weight') * used) / f(1 - used));
		return f(f(is.at(row, 'pending_prefill_tokens') / rate(row)) + kv);
	});
}

export function llmdDefault(frame: OracleFrame): OracleAnswer {
	const is = new Decision(frame);
	const queues = is.column('queue_depth');
	const shortest = Math.min(...queues);
	const range = spread(queues);
	const long = is.setting('long_prefix_weight');
	return is.rank((row) => {
		const queue = range > 0 ? f(f(is.at(row, 'queue_depth') - shortest) / range) : 0;
		const hit = frame.hits.get(row);
		const shares = [1, is.setting('host_share'), is.setting('disk_share'), is.setting('disk_share')];
		const cached = hit === undefined ? 0 : f(f(hit.tokens) * (shares[hit.tier] ?? 0));
		const length = Math.min(f(cached / 8192), 1);
		const prefix = f(f(f(long * length) * length) + f(f(1 - long) * is.match(row)));
		const kv = f(is.setting('kv_weight') * clamp(is.at(row, 'kv_usage')));
		return f(f(f(is.setting('queue_weight') * queue) + kv) + f(is.setting('prefix_weight') * f(1 - prefix)));
	});
}

export function llmdAffinity(frame: OracleFrame): OracleAnswer {
	const is = new Decision(frame);
	const waitMs = (row: number) =>
		f(f(is.at(row, 'pending_prefill_tokens') * 1000) / is.setting('prefill_tokens_per_s'));
	const sticky = is.candidates.filter(
		(row) => frame.hits.has(row) && is.match(row) >= is.setting('affinity_threshold'),
	);
	const others = is.candidates.filter((row) => is.match(row) < is.setting('affinity_threshold'));
	const behind = Math.min(...sticky.map(waitMs)) - Math.min(NEVER, ...others.map(waitMs));
	const filters = sticky.length > 0 && !(f(behind) > is.setting('ttft_penalty_max_ms'));
	const kept = filters ? is.candidates.filter((row) => !others.includes(row)) : is.candidates;
	const queues = kept.map((row) => is.at(row, 'queue_depth'));
	const range = spread(queues);
	const weights = ['queue_weight', 'kv_weight', 'prefix_weight'].map((name) => is.setting(name));
	const dropped = weights.reduce((sum, weight) => f(sum + weight), 1);
	return is.rank((row) => {
		const queue = range > 0 ? clamp(f(f(is.at(row, 'queue_depth') - Math.min(...queues)) / range)) : 0;
		const parts = [queue, clamp(is.at(row, 'kv_usage')), f(1 - is.match(row))].map((part, at) =>
			f((weights[at] ?? 0) * part),
		);
		const sum = parts.reduce((total, part) => f(total + part), 0);
		return kept.includes(row) ? sum : f(sum + dropped);
	});
}

/** Blocks to prefill and blocks in use on a row, with this request there. */
function dynamoBlocks(is: Decision, row: number): { prefill: number; decode: number } {
	const size = is.setting('block_tokens');
	const own = Math.ceil(f(f(is.prompt) / size));
	const pending = is.at(row, 'pending_prefill_tokens');
	const hit = is.frame.hits.get(row);
	let credit = 0;
	if (hit !== undefined) {
		const worth = (['device_credit', 'host_credit', 'disk_credit', 'shared_credit'] as const)[hit.tier];
		credit = f(f(hit.tokens / size) * is.setting(worth));
		const excess = f(f(pending - Math.min(...is.column('pending_prefill_tokens'))) / size);
		if (hit.tier === 0) credit = f(credit / f(1 + f(f(is.setting('credit_decay') * excess) / own)));
	}
	const decode = f(f(is.at(row, 'active_decode_tokens') + pending) / size);
	return { prefill: Math.max(f(f(f(pending / size) + own) - credit), 0), decode: f(decode + own) };
}

export function dynamoLinear(frame: OracleFrame): OracleAnswer {
	const is = new Decision(frame);
	return is.rank((row) => {
		const { prefill, decode } = dynamoBlocks(is, row);
		const requests = f(is.setting('request_weight') * is.at(row, 'inflight'));
		return f(f(f(is.setting('prefill_scale') * prefill) + decode) + requests);
	});
}

export function dynamoLmetric(frame: OracleFrame): OracleAnswer {
	const is = new Decision(frame);
	return is.rank((row) => {
		const { prefill, decode } = dynamoBlocks(is, row);
		return f(prefill * f(decode + 1));
	});
}

export function vllmSmetric(frame: OracleFrame): OracleAnswer {
	const is = new Decision(frame);
	const prompt = f(is.prompt);
	const queued = (row: number) => {
		const left = f(prompt - is.cached(row));
		const attention = f(f(is.setting('attention_cost') * left) * f(prompt - f(left / 2)));
		const own = Math.ceil(f(f(is.setting('linear_cost') * left) + attention));
		const pairs = f(is.setting('attention_cost') * f(is.at(row, 'pending_prefill_pairs') * 2 ** 20));
		return f(f(f(is.setting('linear_cost') * is.at(row, 'pending_prefill_tokens')) + pairs) + own);
	};
	const slo = f(
		is.setting('slack') * f(is.setting('ttft_base_ms') + f(f(is.setting('ttft_per_1k_ms') * prompt) / 1000)),
	);
	const meets = (row: number) => {
		const rate = is.at(row, 'prefill_rate');
		return rate <= 0 || f(f(queued(row) * 1000) / rate) <= slo;
	};
	const needed = f(f(is.setting('hit_ratio') * is.setting('history_share')) * prompt);
	const holders = is.candidates.filter((row) => frame.hits.has(row) && is.cached(row) > needed);
	const holder = is.drawLowest(holders, (row) => -is.cached(row));
	const affine = holder >= 0 && (meets(holder) || !is.candidates.some(meets));
	const colocated = frame.phase === 0;
	return is.rankAfter(affine ? holder : -1, (row) =>
		colocated ? f(queued(row) * is.at(row, 'inflight')) : queued(row),
	);
}

/** Milliseconds of a row's time for tokens at the speed in `column`. */
export function workMs(tokens: number, rate: number): number {
	return f(f(f(tokens) * 1000) / Math.max(f(rate), 1));
}

export function preble(frame: OracleFrame): OracleAnswer {
	const is = new Decision(frame);
	const prefill = (row: number, tokens: number) => workMs(tokens, is.at(row, 'prefill_rate'));
	const load = (row: number) => {
		const written = f(is.setting('decode_weight') * f(f(is.at(row, 'active_decodes') * frame.tokensOut) * 1000));
		const present = f(
			prefill(row, is.at(row, 'pending_prefill_tokens')) + f(written / Math.max(is.at(row, 'decode_rate'), 1)),
		);
		return f(f(is.setting('past_weight') * f(frame.pastMs?.[row] ?? 0)) + present);
	};
	const cost = (row: number) => {
		const missing = is.prompt - is.cached(row);
		const free = f(is.at(row, 'kv_free_blocks') * is.at(row, 'kv_block_tokens'));
		const evicted = Math.max(f(missing + frame.tokensOut - free), 0);
		const eviction = f(f(is.setting('eviction_weight') * prefill(row, evicted)) * is.at(row, 'prefix_hit_ratio'));
		return f(f(load(row) + eviction) + prefill(row, missing));
	};
	const holders = is.holders((row) => is.cached(row));
	const cached = is.cached(holders[0] ?? -1);
	const saves = holders.length > 0 && cached >= f(is.setting('exploit_ratio') * f(is.prompt - cached));
	const holder = saves ? is.drawLowest(holders, load) : -1;
	const near = holder >= 0 && !(load(holder) > f(is.setting('rebalance_ratio') * Math.min(...is.candidates.map(load))));
	return is.rankAfter(near ? holder : -1, cost);
}
