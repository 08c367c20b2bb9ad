// Minimum predicted time to first token in Mooncake's form: transfer + queue + own prefill, in milliseconds. The formula is in README.md.
import {
	begin,
	F32Column,
	fetchFrom,
	findHit,
	hit,
	hitCount,
	isEligible,
	output,
	putFactor,
	rankedCount,
	rankedRow,
	rankedScore,
	rankLowest,
	request,
	rowCapacity,
	scratch,
	setFactorCount,
} from 'infermesh';
import { columns, config, FACTOR_COUNT, FACTOR_PREFILL_MS, FACTOR_QUEUE_MS, FACTOR_TRANSFER_MS, TOP_K } from './manifest';
export { init } from 'infermesh';

/** Smallest prefill rate, tokens/s; keeps costs finite. */
const RATE_MIN: f32 = 1;

/** The eligible row with the longest prefix, drawn by nothing: which of equals a prefix is fetched from makes no difference here. -1 = none. */
let bestHit: i32 = -1;

@inline
function promptTokens(): f32 {
	return <f32>max<u32>(request().tokens_in, 1);
}

/** Work of prefilling a prompt of which `cached` tokens are there, in tokens without context: n × (1 + a × (L − n / 2)). */
@inline
function prefillWork(cached: f32): f32 {
	const prompt = promptTokens();
	const left = max<f32>(prompt - cached, 1);
	return left * (<f32>1 + config.attention_per_token * (prompt - left * <f32>0.5));
}

@inline
function msPerToken(row: i32): f32 {
	return <f32>1000 / max<f32>(columns.prefill_rate[row], RATE_MIN);
}

@inline
function cachedOn(row: i32): f32 {
	const index = findHit(row);
	return index < 0 ? 0 : <f32>hit(index).tokens;
}

function findBestHit(): void {
	bestHit = -1;
	for (let index = 0; index < hitCount(); index++) {
		if (hit(index).tokens == 0 || !isEligible(hit(index).row)) continue;
		if (bestHit < 0 || hit(index).tokens > hit(bestHit).tokens) bestHit = index;
	}
}

/** Whether a row with so many tokens cached is to fetch the rest of the longest prefix. */
@inline
function fetches(cached: f32): bool {
	if (!(config.fetch_ratio > 0) || bestHit < 0) return false;
	const best = <f32>hit(bestHit).tokens;
	return best > cached && best >= config.fetch_ratio * cached;
}

/** Milliseconds to bring a row from `cached` tokens to those of the best holder. */
function transferMs(row: i32, cached: f32): f32 {
	const known = columns.bandwidth_mbps[row];
	const kib = (<f32>hit(bestHit).tokens - cached) * config.kv_kib_per_token;
	return (kib * <f32>1.024) / (known > 0 ? known : config.transfer_mbps);
}

/** Costs of rows that hold nothing: the queue, and all of the prompt or what the best holder leaves of it. */
function costWithoutHits(cost: F32Column): void {
	const fetched = fetches(0);
	const own = f32x4.splat(prefillWork(fetched ? <f32>hit(bestHit).tokens : <f32>0));
	const thousand = f32x4.splat(1000);
	const rateMin = f32x4.splat(RATE_MIN);
	for (let row = 0; row < rowCapacity; row += 4) {
		const pace = f32x4.div(thousand, f32x4.max(columns.prefill_rate.four(row), rateMin));
		cost.putFour(row, f32x4.mul(f32x4.add(columns.pending_prefill_tokens.four(row), own), pace));
	}
	if (!fetched) return;
	for (let row = 0; row < rowCapacity; row++) cost[row] = cost[row] + transferMs(row, 0);
}

/** Writes the terms of a ranked row. */
function explainRow(position: u32, row: i32): void {
	const cached = cachedOn(row);
	const fetched = fetches(cached);
	putFactor(position, FACTOR_TRANSFER_MS, fetched ? transferMs(row, cached) : 0);
	putFactor(position, FACTOR_QUEUE_MS, columns.pending_prefill_tokens[row] * msPerToken(row));
	putFactor(position, FACTOR_PREFILL_MS, prefillWork(fetched ? <f32>hit(bestHit).tokens : cached) * msPerToken(row));
}

export function rank(frame: usize): i32 {
	begin(frame);
	findBestHit();
	const cost = scratch(0);
	costWithoutHits(cost);
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		const cached = <f32>hit(index).tokens;
		const fetched = fetches(cached);
		const work = columns.pending_prefill_tokens[row] + prefillWork(fetched ? <f32>hit(bestHit).tokens : cached);
		cost[row] = work * msPerToken(row) + (fetched ? transferMs(row, cached) : <f32>0);
	}
	const status = rankLowest(cost, TOP_K);
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) explainRow(position, rankedRow(position));
	if (rankedCount() > 0) {
		output().predicted_ttft_ms = rankedScore(0);
		if (fetches(cachedOn(rankedRow(0)))) fetchFrom(hit(bestHit).row);
	}
	return status;
}
