// Owns the decide stage: which model is meant, what the strategy is told of the request, and what its answer means for it. Everything
// here happens in one tick on the router's shared records; what outlives it is the plan of the attempt.
import { Phase, RejectReason, RequestFlag } from '@infermesh/sdk';
import { type Decision, FORCED } from '../strategy/runtime/decision.js';
import type { RouterEnv } from './env.js';
import type { Refusal } from './errors.js';
import type { HedgePlan, HedgeRow } from './hedge/hedging.js';
import { recallPrompt } from './parse.js';
import type { PairPlan } from './pd/pair.js';
import { type ChosenPrefill, decideInPhases } from './pd/phases.js';
import type { ModelPool, TargetOwner, UpstreamTarget } from './ports.js';
import type { RoutedRequest } from './routed-request.js';
import { tenantOf, tpotObjective, ttftObjective } from './tenant-policy.js';
import { enlist } from './trial.js';
import type { AttemptPlan } from './upstream-response.js';

export type Step =
	| { readonly kind: 'go'; readonly plan: AttemptPlan; readonly hedge: HedgePlan | undefined }
	| { readonly kind: 'hold'; readonly pool: ModelPool; readonly key: number }
	/** Every target that was named has as much as it takes. */
	| { readonly kind: 'full'; readonly pool: ModelPool }
	| { readonly kind: 'refuse'; readonly refusal: Refusal };

const NO_ROWS: readonly number[] = [];
/** The strategy is asked so often, each time without the full targets it has named, before all count as full. */
const ROOM_ROUNDS = 3;

/** Finds the model of a request; once per request. */
export function resolveRoute(env: RouterEnv, request: RoutedRequest): Refusal | undefined {
	const { directory, random } = env.ports;
	// A session keeps its revision; without one each request draws.
	const draw = request.session === '' ? random.nextFloat() : request.sessionHigh / 0x1_0000_0000;
	if (request.model !== '') {
		request.route = directory.resolve(request.model, draw);
		if (request.route === undefined)
			return {
				code: 'IM_ROUTE_MODEL_UNKNOWN',
				param: 'model',
				message: `The model \`${printable(request.model)}\` is not served here.`,
			};
	} else if (request.owner !== undefined) {
		request.route = { requested: '', pool: request.owner.pool, fallbacks: [] };
	} else {
		const pool = directory.passThroughPool();
		if (pool === undefined) return { code: 'IM_REQUEST_PATH' };
		request.route = { requested: '', pool, fallbacks: [] };
	}
	const { deadlineMs } = request.wishes;
	if (deadlineMs > 0) request.deadlineAtMs = request.startMs + deadlineMs;
	return undefined;
}

/**
 * Decides where the next attempt goes. A model's fallbacks are asked when its own pool has nothing eligible; other cells when none of these has, or
 * when there is no room: the strategy says so, or targets have refused for that and this is the last attempt.
 */
export function decide(env: RouterEnv, request: RoutedRequest): Step {
	const now = env.ports.clock.nowMs();
	const { route } = request;
	if (route === undefined || now >= request.deadlineAtMs) return refuse({ code: 'IM_ROUTE_DEADLINE' });
	recallPrompt(env, request);
	fillFeatures(env, request, now);
	if (request.owner !== undefined) return goTo(env, request, request.owner);
	if (request.wishes.targetId !== undefined) return force(env, request, route.pool, request.wishes.targetId);
	const { elsewhere } = route;
	// Its answer counts as taken once it leads somewhere: what is asked first is what the request goes to.
	const awayFirst = elsewhere !== undefined && isLastForRoom(env, request);
	if (awayFirst) {
		const away = ask(env, request, elsewhere);
		if (away?.kind === 'go') return away;
	}
	let step = ask(env, request, route.pool);
	for (let at = 0; step === undefined && at < route.fallbacks.length; at++)
		step = ask(env, request, route.fallbacks[at] as ModelPool);
	if (elsewhere !== undefined && !awayFirst && (step === undefined || isFull(step))) {
		const away = ask(env, request, elsewhere);
		if (away?.kind === 'go') return away;
	}
	return step ?? askInDoubt(env, request, route.pool) ?? refuse(noTarget(env));
}

/**
 * Ranks the targets of the request's own model as `decide` would see them, and leaves it at that: nothing is remembered, credited or held. The answer is in
 * the shared decision. Undefined when the deadline has passed.
 */
export function rankTargets(env: RouterEnv, request: RoutedRequest): ModelPool | undefined {
	const now = env.ports.clock.nowMs();
	const pool = request.route?.pool;
	if (pool === undefined || now >= request.deadlineAtMs) return undefined;
	recallPrompt(env, request);
	fillFeatures(env, request, now);
	preparePool(env, request, pool);
	env.ports.prefixes.lookup(pool, env.hits);
	env.ports.decider.decide(pool, env.features, env.hits, barredRows(request, pool), env.decision);
	return pool;
}

/** No room now, as the strategy sees it; a refusal for any other reason is final. */
function isFull(step: Step): boolean {
	return (
		step.kind === 'hold' ||
		step.kind === 'full' ||
		(step.kind === 'refuse' && step.refusal.code === 'IM_ROUTE_SATURATED')
	);
}

function isLastForRoom(env: RouterEnv, { withoutRoom, attempts }: RoutedRequest): boolean {
	return withoutRoom > 0 && attempts + 1 >= env.options.retry.attemptsMax;
}

/**
 * One pool's answer; undefined when none of its rows is eligible, or when they stand for other cells and the request comes from one. One that leads to a
 * target is remembered and credited to it: whoever asks goes there.
 */
function ask(env: RouterEnv, request: RoutedRequest, pool: ModelPool): Step | undefined {
	if (pool.elsewhere === true && request.relayed) return undefined;
	const { prefixes } = env.ports;
	const { decision, hits } = env;
	preparePool(env, request, pool);
	prefixes.lookup(pool, hits);
	const barred = barredRows(request, pool);
	const full: number[] = [];
	for (let round = 1; ; round++) {
		const prefill = decideInPhases(env, pool, full.length === 0 ? barred : barred.concat(full), mayPair(request));
		enlist(request, pool, decision.cohort);
		if (decision.verdict === 'hold') return { kind: 'hold', pool, key: decision.holdKey };
		if (decision.verdict === 'reject') return refuse(rejection(env, decision));
		if (decision.count === 0) return round === 1 ? undefined : { kind: 'full', pool };
		const row = rowWithRoom(env, pool);
		if (row >= 0) return go(env, request, pool, row, decision.strategy, prefill);
		full.push(...decision.rows.subarray(0, decision.count));
		if (round === ROOM_ROUNDS || full.length >= pool.targets.length) return { kind: 'full', pool };
	}
}

/** The row that was chosen, or the best ranked one that takes one more; -1 = none of them does. */
function rowWithRoom({ admission, decision }: RouterEnv, pool: ModelPool): number {
	const takes = (at: number): boolean => {
		const target = pool.targets[decision.rows[at] as number];
		return target === undefined || admission.hasRoom(target.tableRow);
	};
	for (let at = 0; !takes(decision.chosen) && at < decision.count; at++) if (takes(at)) decision.chosen = at;
	return takes(decision.chosen) ? (decision.rows[decision.chosen] as number) : -1;
}

/** Of these the router knows how engines split them. */
const PAIRED_PATHS: ReadonlySet<string> = new Set(['/v1/chat/completions', '/v1/completions']);

function mayPair({ path, dialect }: RoutedRequest): boolean {
	return dialect.work === 'generation' && PAIRED_PATHS.has(path);
}

/** A target that checks call unhealthy, when they say so of all; once per request, and never after an attempt that failed. */
function askInDoubt(env: RouterEnv, request: RoutedRequest, pool: ModelPool): Step | undefined {
	if (!env.options.failOpen || request.attempts > 0 || (pool.elsewhere === true && request.relayed)) return undefined;
	const { decision } = env;
	env.ports.decider.decideInDoubt(pool, barredRows(request, pool), decision);
	if (decision.count === 0) return undefined;
	return go(env, request, pool, decision.rows[0] as number, decision.strategy);
}

/** What a request is told that no target can take. */
export function noTarget(env: RouterEnv): Refusal {
	return { code: 'IM_ROUTE_NO_TARGET', retryAfterS: env.options.saturatedRetryAfterS };
}

function force(env: RouterEnv, request: RoutedRequest, pool: ModelPool, targetId: string): Step {
	const row = pool.targets.findIndex((target) => target?.id === targetId);
	return row < 0 ? refuse({ code: 'IM_ROUTE_TARGET_UNKNOWN' }) : goTo(env, request, { pool, row });
}

/** To one target, if the request may go there. */
function goTo(env: RouterEnv, request: RoutedRequest, { pool, row }: TargetOwner): Step {
	if (barredRows(request, pool).includes(row)) return refuse(noTarget(env));
	preparePool(env, request, pool);
	env.ports.prefixes.lookup(pool, env.hits);
	env.ports.decider.decideForced(pool, row, env.decision);
	return go(env, request, pool, row, FORCED);
}

function go(
	env: RouterEnv,
	request: RoutedRequest,
	pool: ModelPool,
	row: number,
	strategy: string,
	prefill?: ChosenPrefill,
): Step {
	const target = pool.targets[row];
	if (target === undefined) return refuse({ code: 'IM_ROUTE_INTERNAL' });
	const { decision } = env;
	const pair = prefill === undefined ? undefined : pairPlan(env, request, pool, prefill);
	const hedge =
		strategy === FORCED || pair !== undefined
			? undefined
			: env.hedging.plan(request, pool, decision, (other) => expectedAt(env, other));
	const decisionId = env.ids.next();
	const { prefixes } = env.ports;
	const { cachedTokens: cached, cachedSource } = expectedAt(env, row);
	const { requestId, path, session, decisionId: previous } = request;
	const tenant = tenantOf(request);
	env.ports.decider.remember(decisionId, pool, {
		requestId,
		path,
		tenant,
		session,
		previous,
		cachedTokens: cached,
		cachedSource,
	});
	prefixes.credited(cachedSource, cached);
	prefixes.insert(pool, row);
	if (pair !== undefined) prefixes.insert(pool, pair.row);
	request.pool = pool;
	request.decisionId = decisionId;
	return {
		kind: 'go',
		hedge,
		plan: {
			pool,
			poolRow: row,
			target,
			decisionId,
			strategy,
			fallbackDecided: decision.cause !== 'none',
			inDoubt: decision.cause === 'all_unhealthy',
			predictedTtftMs: decision.predictedTtftMs,
			cachedTokens: cached,
			cachedSource,
			pair,
			fetchFrom: strategy === FORCED || pair !== undefined ? undefined : fetchFrom(pool, decision.fetchFromRow, target),
			scores: request.wishes.explain && strategy !== FORCED ? scoresText(pool, decision) : undefined,
		},
	};
}

const SCORES_CHARS_MAX = 1024;

/** The ranked targets with their scores, best first, as many as fit: `a=0.91,b=0.4`. */
function scoresText(pool: ModelPool, { rows, scores, count }: Decision): string {
	let text = '';
	for (let at = 0; at < count; at++) {
		const id = encodeURIComponent(pool.targets[rows[at] as number]?.id ?? '');
		const next = `${at === 0 ? '' : ','}${id}=${Number((scores[at] as number).toPrecision(6))}`;
		if (text.length + next.length > SCORES_CHARS_MAX) break;
		text += next;
	}
	return text;
}

function pairPlan(
	env: RouterEnv,
	request: RoutedRequest,
	pool: ModelPool,
	prefill: ChosenPrefill,
): PairPlan | undefined {
	const { row, protocol, fetchFromRow } = prefill;
	const target = pool.targets[row];
	if (target === undefined) return undefined;
	const uncachedTokens = Math.max(0, request.tokensIn - cachedTokens(env, row));
	const room = env.ports.random.nextU32();
	return { protocol, row, target, uncachedTokens, room, fetchFrom: fetchFrom(pool, fetchFromRow, target) };
}

/** Where a target that fetches prefixes is to fetch this one. */
function fetchFrom(pool: ModelPool, row: number, target: UpstreamTarget): string | undefined {
	const holder = row < 0 ? undefined : pool.targets[row];
	if (holder === undefined || holder === target || target.fetchesPrefixes !== true) return undefined;
	return `${holder.origin}${holder.pathPrefix}`;
}

/** Sets what depends on the pool: its ids, the prompt's hashes under its salt, and what is known of its outputs. */
function preparePool(env: RouterEnv, request: RoutedRequest, pool: ModelPool): void {
	const { features, ports, prompt } = env;
	ports.prefixes.hashPrompt(pool.modelId, features.lora, prompt.bytes, request.tokenIds, request.lora);
	features.promptHashLow = ports.prefixes.promptHashLow;
	features.promptHashHigh = ports.prefixes.promptHashHigh;
	features.model = pool.modelId;
	features.heldCount = env.holds.held(pool.index);
	features.sloTtftMs = ttftObjective(request, pool);
	features.sloTpotMs = tpotObjective(request, pool);
	features.tokensOut = expectedTokensOut(env, request, pool);
}

/** Output tokens to expect, by what the pool's answers have been like. */
export function expectedTokensOut(env: RouterEnv, request: RoutedRequest, pool: ModelPool): number {
	if (request.dialect.work !== 'generation') return 0;
	const expected = env.tokensOutMean.get(pool.index) ?? env.options.tokensOutExpected;
	return Math.round(request.tokensOutMax === 0 ? expected : Math.min(expected, request.tokensOutMax));
}

function fillFeatures(env: RouterEnv, request: RoutedRequest, now: number): void {
	const { features, ports } = env;
	const { wishes, caller } = request;
	const wallMs = ports.clock.wallMs();
	features.nowUs = Math.floor(wallMs * 1000);
	features.nowMs = wallMs >>> 0;
	features.seedLow = ports.random.nextU32();
	features.seedHigh = ports.random.nextU32();
	features.sessionLow = request.sessionLow;
	features.sessionHigh = request.sessionHigh;
	features.lora = request.lora === '' ? 0 : ports.interner.lora(request.lora);
	features.tokensIn = request.tokensIn;
	features.tokensOutMax = request.tokensOutMax;
	features.priority = wishes.priority;
	features.tenant = request.tenantId;
	features.policyMask = caller.policyMask;
	features.leastGrade = caller.leastGrade ?? 0;
	features.deadlineMs = wishes.deadlineMs === 0 ? 0 : request.deadlineAtMs - now;
	features.waitedMs = request.heldSinceMs === 0 ? 0 : now - request.heldSinceMs;
	features.attempt = request.attempts;
	features.phase = request.dialect.work === 'embedding' ? Phase.embedding : Phase.aggregated;
	features.flags =
		(request.stream ? RequestFlag.stream : 0) |
		(wishes.explain ? RequestFlag.explain : 0) |
		(request.attempts > 0 ? RequestFlag.retry : 0) |
		(request.dialect.idempotent ? RequestFlag.idempotent : 0);
}

/** Rows this request may not go to: those it has tried, and those that placement policies close to its tenant. */
function barredRows(request: RoutedRequest, pool: ModelPool): readonly number[] {
	const { closedTo } = pool.policy;
	const closed = closedTo.size === 0 ? undefined : closedTo.get(tenantOf(request));
	const deaf = request.grpcOnly ? rowsWithoutGrpc(pool) : NO_ROWS;
	if (request.tried.length === 0) return deaf.length === 0 ? (closed ?? NO_ROWS) : [...deaf, ...(closed ?? NO_ROWS)];
	const tried = request.tried.filter((one) => one.pool === pool).map((one) => one.row);
	return [...deaf, ...(closed ?? NO_ROWS), ...tried];
}

/** By pool: pools are replaced when their targets change. */
const withoutGrpc = new WeakMap<ModelPool, readonly number[]>();

function rowsWithoutGrpc(pool: ModelPool): readonly number[] {
	let rows = withoutGrpc.get(pool);
	if (rows === undefined) {
		rows = pool.targets.flatMap((target, row) => (target?.grpcOrigin === undefined ? [row] : []));
		withoutGrpc.set(pool, rows);
	}
	return rows;
}

/** What of the prompt a row is expected to hold, and what says so. */
function expectedAt(env: RouterEnv, row: number): HedgeRow {
	const cached = cachedTokens(env, row);
	return { row, cachedTokens: cached, cachedSource: cached > 0 ? env.ports.prefixes.sourceOf(row) : 'none' };
}

function cachedTokens(env: RouterEnv, row: number): number {
	const { hits } = env;
	for (let at = 0; at < hits.count; at++) if (hits.rows[at] === row) return hits.tokens[at] as number;
	return 0;
}

function rejection(env: RouterEnv, decision: Decision): Refusal {
	if (decision.rejectReason === RejectReason.policy) return { code: 'IM_ROUTE_POLICY' };
	const retryAfterS =
		decision.retryAfterMs > 0 ? Math.ceil(decision.retryAfterMs / 1000) : env.options.saturatedRetryAfterS;
	if (decision.rejectReason === RejectReason.quota) return { code: 'IM_ROUTE_QUOTA', retryAfterS };
	if (decision.rejectReason === RejectReason.deadline) return { code: 'IM_ROUTE_DEADLINE', status: 429, retryAfterS };
	return { code: 'IM_ROUTE_SATURATED', retryAfterS };
}

function refuse(refusal: Refusal): Step {
	return { kind: 'refuse', refusal };
}

/** A name as it may stand in a message: no control characters, no length beyond reason. */
function printable(name: string): string {
	return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 128);
}
