// Owns turning a request as an author writes it into the features a strategy sees. Hashes of names are stable across runs.
import { createHash } from 'node:crypto';
import { CacheTier, HITS_MAX, HitFlag, Phase, RequestFlag } from '@infermesh/sdk';
import type { PrefixHits, RequestFeatures } from '../strategy/runtime/decision.js';
import { type Fleet, START_MS } from './fleet.js';
import type { RequestSpec } from './scenario/schema.js';

/** Wall time of a made-up decision: any fixed instant, so that runs repeat. */
const START_WALL_US = 1_750_000_000_000_000;
const defaultTokensIn = 256;
const defaultTokensOut = 128;

export function createHits(): PrefixHits {
	return {
		count: 0,
		rows: new Uint32Array(HITS_MAX),
		tokens: new Uint32Array(HITS_MAX),
		tiers: new Uint8Array(HITS_MAX),
		flags: new Uint8Array(HITS_MAX),
	};
}

/** Writes the hits of `request` in row order; the longest are kept when there are too many. */
export function fillHits(request: RequestSpec, fleet: Fleet, hits: PrefixHits): void {
	const wanted = (request.hits ?? []).map((hit) => ({
		row: fleet.row(hit.target),
		tokens: hit.tokens,
		tier: CacheTier[hit.tier ?? 'device'],
		flags: hit.lora === true ? HitFlag.lora : 0,
	}));
	const kept = wanted.sort((a, b) => b.tokens - a.tokens).slice(0, HITS_MAX);
	kept.sort((a, b) => a.row - b.row);
	kept.forEach((hit, index) => {
		hits.rows[index] = hit.row;
		hits.tokens[index] = hit.tokens;
		hits.tiers[index] = hit.tier;
		hits.flags[index] = hit.flags;
	});
	hits.count = kept.length;
}

/** Features of repetition `repetition` of `request`; `{n}` in session and prompt stands for the repetition. */
export function featuresOf(
	request: RequestSpec,
	fleet: Fleet,
	repetition: number,
	defaultSeed: number,
): RequestFeatures {
	const [sessionLow, sessionHigh] = hashOf(request.session, repetition);
	const [promptHashLow, promptHashHigh] = hashOf(request.prompt, repetition);
	const seed = (request.seed ?? defaultSeed) + repetition;
	const tokensOutMax = request.tokens_out_max ?? 0;
	return {
		nowUs: START_WALL_US + (fleet.nowMs - START_MS) * 1000,
		nowMs: fleet.nowMs,
		seedLow: mix(seed),
		seedHigh: mix(seed ^ 0x5bf0_3635),
		sessionLow,
		sessionHigh,
		promptHashLow,
		promptHashHigh,
		model: fleet.intern('model'),
		lora: fleet.intern(request.lora),
		tokensIn: request.tokens_in ?? defaultTokensIn,
		tokensOut: request.tokens_out ?? (tokensOutMax > 0 ? Math.min(defaultTokensOut, tokensOutMax) : defaultTokensOut),
		tokensOutMax,
		priority: request.priority ?? 0,
		tenant: fleet.intern(request.tenant),
		policyMask: request.policy_mask ?? 0,
		sloTtftMs: request.slo_ttft_ms ?? 0,
		sloTpotMs: request.slo_tpot_ms ?? 0,
		deadlineMs: request.deadline_ms ?? 0,
		waitedMs: request.waited_ms ?? 0,
		attempt: request.attempt ?? 0,
		flags: (request.flags ?? []).reduce<number>((bits, flag) => bits | RequestFlag[flag], RequestFlag.explain),
		phase: Phase[request.phase ?? 'aggregated'],
		heldCount: request.held_count ?? 0,
		prefillRow: -1,
		leastGrade: 0,
	};
}

/** Low and high word of a 64-bit hash; 0 stands for none. */
function hashOf(text: string | undefined, repetition: number): readonly [low: number, high: number] {
	if (text === undefined) return [0, 0];
	const digest = createHash('sha256')
		.update(text.replaceAll('{n}', String(repetition)))
		.digest();
	return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}

/** Avalanche of a 32-bit word (murmur3's finaliser): neighbouring seeds give unrelated words. */
function mix(value: number): number {
	let word = value >>> 0;
	word = Math.imul(word ^ (word >>> 16), 0x85eb_ca6b);
	word = Math.imul(word ^ (word >>> 13), 0xc2b2_ae35);
	return (word ^ (word >>> 16)) >>> 0;
}
