// vllm_smetric: the longest cached prefix while its target answers in time, else the least work, times requests there. The formula is in README.md.
import {
	begin,
	findHit,
	hit,
	hitCount,
	isEligible,
	nextEligible,
	Phase,
	putFactor,
	randomBelow,
	rankedCount,
	rankedRow,
	rankLowest,
	request,
	rowCount,
	scratch,
	setFactorCount,
} from 'infermesh';
import {
	columns,
	config,
	FACTOR_COUNT,
	FACTOR_HIT_TOKENS,
	FACTOR_INFLIGHT,
	FACTOR_QUEUED_MS,
	FACTOR_SLO_MS,
	TOP_K,
} from './manifest';
export { init } from 'infermesh';

/** Score of the row that is taken for its prefix: before every amount of work. */
const AFFINE: f32 = -1;
/** Pairs in one unit of their column. */
const PAIRS_UNIT: f32 = 1048576;

@inline
function promptTokens(): f32 {
	return <f32>max<u32>(request().tokens_in, 1);
}

@inline
function hitTokens(row: i32): f32 {
	const index = findHit(row);
	return index < 0 ? 0 : min<f32>(<f32>hit(index).tokens, promptTokens());
}

/** Work of the prompts a row has not yet answered, each priced as it was when it was sent. */
@inline
function pendingWork(row: i32): f32 {
	const attention = config.attention_cost * (columns.pending_prefill_pairs[row] * PAIRS_UNIT);
	return config.linear_cost * columns.pending_prefill_tokens[row] + attention;
}

/** Work on a row with this request there, of which `cached` tokens are not to be done. */
@inline
function queuedWork(row: i32, cached: f32): f32 {
	const prompt = promptTokens();
	const left = prompt - cached;
	const own = config.linear_cost * left + config.attention_cost * left * (prompt - left / 2);
	return pendingWork(row) + ceil<f32>(own);
}

/** Milliseconds that work takes there; 0 where the speed is not known. */
@inline
function queuedMs(row: i32, cached: f32): f32 {
	const rate = columns.prefill_rate[row];
	return rate > 0 ? (queuedWork(row, cached) * <f32>1000) / rate : 0;
}

@inline
function sloMs(): f32 {
	return config.slack * (config.ttft_base_ms + (config.ttft_per_1k_ms * promptTokens()) / <f32>1000);
}

/** The row with the longest cached prefix, where that is long enough; equal ones are drawn. −1 = none. */
function longestHolder(): i32 {
	const needed = config.hit_ratio * config.history_share * promptTokens();
	let holder = -1;
	let longest: f32 = 0;
	let equals: u32 = 0;
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		const tokens = min<f32>(<f32>hit(index).tokens, promptTokens());
		if (!isEligible(row) || !(tokens > needed) || tokens < longest) continue;
		equals = tokens == longest ? equals + 1 : 1;
		longest = tokens;
		// The n-th of equal ones replaces the one before with probability 1/n, so each is as likely.
		if (equals == 1 || randomBelow(equals) == 0) holder = row;
	}
	return holder;
}

/** Whether some eligible row would answer in time. */
function someMeetSlo(): bool {
	const slo = sloMs();
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		if (queuedMs(row, hitTokens(row)) <= slo) return true;
	}
	return false;
}

/** Work, times the requests in flight where decodes share the target. */
@inline
function costOf(row: i32, cached: f32): f32 {
	const queued = queuedWork(row, cached);
	return request().phase == Phase.aggregated ? queued * columns.inflight[row] : queued;
}

export function rank(frame: usize): i32 {
	begin(frame);
	const cost = scratch(0);
	for (let row = 0; row < rowCount(); row++) cost[row] = costOf(row, 0);
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		cost[row] = costOf(row, min<f32>(<f32>hit(index).tokens, promptTokens()));
	}
	const holder = longestHolder();
	if (holder >= 0 && (queuedMs(holder, hitTokens(holder)) <= sloMs() || !someMeetSlo())) cost[holder] = AFFINE;
	const status = rankLowest(cost, TOP_K);
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		putFactor(position, FACTOR_HIT_TOKENS, hitTokens(row));
		putFactor(position, FACTOR_QUEUED_MS, queuedMs(row, hitTokens(row)));
		putFactor(position, FACTOR_SLO_MS, sloMs());
		putFactor(position, FACTOR_INFLIGHT, columns.inflight[row]);
	}
	return status;
}
