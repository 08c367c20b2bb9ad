// Owns the library's simple policies a second time, in plain TypeScript written from their READMEs: what the WebAssembly decisions are checked
// against. An oracle gives each row a key; rows with lower keys must come first, and rows with equal keys may come in any order.
// Numbers are doubles or exact integers here and 32-bit floats there, so keys are compared with a tolerance.
import type { HitValues, RowValues } from '@infermesh/sdk';

export interface OracleFrame {
	readonly rows: readonly RowValues[];
	readonly eligible: readonly boolean[];
	readonly hits: readonly HitValues[];
	readonly config: Readonly<Record<string, number>>;
	readonly request: {
		readonly tokens_in: number;
		readonly seed: bigint;
		readonly session: bigint;
		readonly prompt_hash: bigint;
	};
}

/** Compared from the left; a row without a key must not be ranked while another has one. */
export type Key = readonly number[];

export interface Oracle {
	/** Key of each row; undefined where it may not come among the first. */
	readonly keys: (frame: OracleFrame) => ReadonlyArray<Key | undefined>;
	/** Score of each row; without it, the first part of the key. */
	readonly scores?: (frame: OracleFrame) => readonly number[];
	/** Tokens of the prefix to be fetched when `first` is the first row; 0 = none. Absent: never. */
	readonly fetchedTokens?: (frame: OracleFrame, first: number) => number;
}

function cell(row: RowValues | undefined, name: keyof RowValues, initial = 0): number {
	return row?.[name] ?? initial;
}

function setting(frame: OracleFrame, name: string): number {
	return frame.config[name] ?? Number.NaN;
}

function eligibleRows(frame: OracleFrame): number[] {
	return frame.rows.flatMap((_, row) => (frame.eligible[row] === true ? [row] : []));
}

function sumOf(frame: OracleFrame, value: (row: RowValues) => number): number {
	return eligibleRows(frame).reduce((sum, row) => sum + value(frame.rows[row] ?? {}), 0);
}

function tokensOn(frame: OracleFrame, row: number): number {
	return frame.hits.find((hit) => hit.row === row)?.tokens ?? 0;
}

function single(cost: (frame: OracleFrame, row: number) => number): Oracle {
	return { keys: (frame) => frame.rows.map((_, row) => [cost(frame, row)]) };
}

const MASK = 0xffff_ffffn;

/** MurmurHash3's finaliser. */
function scramble(word: bigint): bigint {
	let value = word;
	value = ((value ^ (value >> 16n)) * 0x85eb_ca6bn) & MASK;
	value = ((value ^ (value >> 13n)) * 0xc2b2_ae35n) & MASK;
	return value ^ (value >> 16n);
}

/** The SDK's `draw`-th random number below `limit`, counted from 1. */
function drawn(seed: bigint, draw: bigint, limit: number): number {
	const step = (draw * 0x9e37_79b9n) & MASK;
	const word = scramble(scramble((seed & MASK) ^ step) ^ (seed >> 32n));
	return Number((word * BigInt(limit)) >> 32n);
}

/** xxHash32 of eight bytes, by its specification: two words of four, then the avalanche. */
function xxHash32(key: bigint, seed: bigint): bigint {
	const [prime2, prime3, prime4, prime5] = [2_246_822_519n, 3_266_489_917n, 668_265_263n, 374_761_393n];
	let hash = (seed + prime5 + 8n) & MASK;
	for (const word of [key & MASK, key >> 32n]) {
		hash = (hash + word * prime3) & MASK;
		hash = ((((hash << 17n) | (hash >> 15n)) & MASK) * prime4) & MASK;
	}
	hash = ((hash ^ (hash >> 15n)) * prime2) & MASK;
	hash = ((hash ^ (hash >> 13n)) * prime3) & MASK;
	return hash ^ (hash >> 16n);
}

function weightOf(row: RowValues | undefined): number {
	return Math.max(cell(row, 'weight', 1), 0.01);
}

function powerOfTwo(frame: OracleFrame): Array<Key | undefined> {
	const rows = eligibleRows(frame);
	const { seed } = frame.request;
	const first = rows.splice(drawn(seed, 1n, rows.length), 1)[0] ?? -1;
	const second = rows.length === 0 ? -1 : (rows[drawn(seed, 2n, rows.length)] ?? -1);
	const pair = [first, second].filter((row) => row >= 0);
	const reports = pair.every((row) => cell(frame.rows[row], 'kv_total_blocks') > 0);
	const signal = setting(frame, 'by_kv') === 1 && reports ? 'kv_usage' : 'inflight';
	return frame.rows.map((values, row) => {
		if (!pair.includes(row)) return undefined;
		// Of two with the same, the one drawn first.
		return [cell(values, signal), row === first ? 0 : 1];
	});
}

function consistentHash(frame: OracleFrame): Key[] {
	const { session, prompt_hash: prompt } = frame.request;
	const byPrompt = setting(frame, 'by_prompt') === 1 && prompt !== 0n;
	const key = session === 0n || byPrompt ? prompt : session;
	const inflight = sumOf(frame, (row) => cell(row, 'inflight')) + 1;
	const share = (setting(frame, 'load_factor') * inflight) / sumOf(frame, weightOf);
	const probes = Array.from({ length: 21 }, (_, probe) => xxHash32(key, BigInt(probe)));
	return frame.rows.map((row) => {
		const here = cell(row, 'inflight') + 1;
		if (key === 0n) return [here / weightOf(row)];
		const point = BigInt(cell(row, 'target_hash'));
		const distances = probes.map((probe) => Number((point - probe) & MASK));
		const over = here > Math.ceil(share * weightOf(row)) ? 128 : 0;
		return [Math.min(...distances) / 2 ** 32 / weightOf(row) + over];
	});
}

/** Whether a row is within the limit, in whole numbers: n·x − Σ ≤ f·√(n·Σx² − (Σ)²) without the root. */
function withinLimit(frame: OracleFrame, row: number): boolean {
	const loads = eligibleRows(frame).map((each) => cell(frame.rows[each], 'inflight'));
	const load = cell(frame.rows[row], 'inflight');
	const fewest = Math.min(...loads);
	if (Math.max(...loads) - fewest > setting(frame, 'imbalance_requests')) return load <= fewest;
	const sum = loads.reduce((total, each) => total + each, 0);
	const squares = loads.reduce((total, each) => total + each * each, 0);
	const above = loads.length * load - sum;
	return above <= 0 || above ** 2 <= setting(frame, 'sigma_factor') ** 2 * (loads.length * squares - sum ** 2);
}

function aibrixKeys(frame: OracleFrame): Key[] {
	return frame.rows.map((row, index) => {
		const tokens = tokensOn(frame, index);
		const load = cell(row, 'inflight');
		return tokens > 0 && frame.eligible[index] === true && withinLimit(frame, index)
			? [0, -tokens, load]
			: [1, load, 0];
	});
}

function loadAware(frame: OracleFrame, row: number): number {
	const mean = sumOf(frame, (each) => cell(each, 'load')) / eligibleRows(frame).length;
	const load = (setting(frame, 'beta') * (cell(frame.rows[row], 'load') - mean)) / Math.max(1, mean);
	return load - Math.min(tokensOn(frame, row) / Math.max(frame.request.tokens_in, 1), 1);
}

/** The longest prefix an eligible row holds. */
function longest(frame: OracleFrame): number {
	return Math.max(0, ...frame.hits.filter((hit) => frame.eligible[hit.row] === true).map((hit) => hit.tokens));
}

function fetches(frame: OracleFrame, row: number): boolean {
	const ratio = setting(frame, 'fetch_ratio');
	const [best, own] = [longest(frame), tokensOn(frame, row)];
	return ratio > 0 && best > own && best >= ratio * own;
}

function minTtft(frame: OracleFrame, row: number): number {
	const values = frame.rows[row];
	const prompt = Math.max(frame.request.tokens_in, 1);
	const own = tokensOn(frame, row);
	const cached = fetches(frame, row) ? longest(frame) : own;
	const left = Math.max(prompt - cached, 1);
	const work = left * (1 + setting(frame, 'attention_per_token') * (prompt - left / 2));
	const bandwidth = cell(values, 'bandwidth_mbps') || setting(frame, 'transfer_mbps');
	const transfer = fetches(frame, row) ? ((cached - own) * setting(frame, 'kv_kib_per_token') * 1.024) / bandwidth : 0;
	const queued = cell(values, 'pending_prefill_tokens');
	return transfer + ((queued + work) * 1000) / Math.max(cell(values, 'prefill_rate', 8000), 1);
}

/** By name of the policy. */
export const basicOracles: Readonly<Record<string, Oracle>> = {
	random: single(() => 0),
	power_of_two: { keys: powerOfTwo },
	least_request: single((frame, row) => cell(frame.rows[row], 'inflight')),
	least_pending_tokens: single((frame, row) => {
		const decodes = setting(frame, 'decode_tokens') * cell(frame.rows[row], 'active_decodes');
		return cell(frame.rows[row], 'pending_prefill_tokens') + decodes;
	}),
	consistent_hash: { keys: consistentHash },
	aibrix_prefix: {
		keys: aibrixKeys,
		// A place where the first part says so, checked by the order; else the requests there.
		scores: (frame) => aibrixKeys(frame).map(([rule = 0, load = 0]) => (rule === 0 ? Number.NEGATIVE_INFINITY : load)),
	},
	production_stack_loadaware: single(loadAware),
	min_ttft: {
		keys: (frame) => frame.rows.map((_, row) => [minTtft(frame, row)]),
		fetchedTokens: (frame, first) => (fetches(frame, first) ? longest(frame) : 0),
	},
};
