// Owns the narrow interfaces the request pipeline needs from the rest of the data-plane worker. The composition root
// (host/src/main/worker.ts) implements them over shared memory and messages; tests implement them over plain objects.
import type { Clock, Random } from '@infermesh/proto';
import type { EndedRequest } from '../experiments/cohorts/judge.js';
import type { PoolPolicy } from '../fleet/placement.js';
import type { Decision, PrefixHits, RequestFeatures } from '../strategy/runtime/decision.js';
import type { AdmissionPorts } from './admission/ports.js';
import type { OtherHttpVersion } from './upstream/http-version.js';

/** One upstream the router can send to: a model replica behind an OpenAI-compatible server. Immutable; replaced on change. */
export interface UpstreamTarget {
	/** Public id, shown in `x-infermesh-target`; never a URL. */
	readonly id: string;
	/** Row in the shared fleet table. */
	readonly tableRow: number;
	/** Raised each time the row is given to another target, so that late completions of the old one are ignored. */
	readonly generation: number;
	/** Scheme, host and port, without a trailing slash. */
	readonly origin: string;
	/** HTTP's version there, where that is not HTTP/1.1: HTTP/2 with prior knowledge, or what TLS agrees on. */
	readonly http?: OtherHttpVersion | undefined;
	/** Where it speaks gRPC: scheme, host and port; undefined when it does not. */
	readonly grpcOrigin?: string | undefined;
	/** Path prefix put before the request's path, `''` for none. */
	readonly pathPrefix: string;
	/** Sent as `authorization: Bearer …` in place of the client's own credentials, which are never forwarded. */
	readonly apiKey: string | undefined;
	readonly runtime: string;
	/** Engine's own model name when it differs from the pool's; the body's `model` is rewritten only then. */
	readonly upstreamModel: string | undefined;
	/** The engine's data-parallel rank it stands for: its requests ask for it. */
	readonly dataParallelRank?: number | undefined;
	/** What it may be asked to do; absent = both. */
	readonly role?: 'both' | 'prefill' | 'decode' | undefined;
	/** Port of SGLang's bootstrap server at its host. */
	readonly bootstrapPort?: number | undefined;
	/** It can fetch a prefix from another engine. */
	readonly fetchesPrefixes?: boolean | undefined;
	/** The cell it stands for: a router there decides again. Undefined for an engine. */
	readonly cell?: string | undefined;
}

/** The targets of one model, in pool-row order (the order of the strategy's frame). Immutable; replaced on change. */
export interface ModelPool {
	readonly index: number;
	readonly model: string;
	readonly modelId: number;
	/** Its rows stand for other cells, none for an engine of this one. */
	readonly elsewhere?: boolean;
	readonly revision: string | undefined;
	readonly targets: readonly (UpstreamTarget | undefined)[];
	/** What policies say of its rows and requests. */
	readonly policy: PoolPolicy;
}

/** A model name resolved through aliases and weighted revisions. `fallbacks` are tried in order when the pool has nothing eligible. */
export interface ModelRoute {
	readonly requested: string;
	readonly pool: ModelPool;
	readonly fallbacks: readonly ModelPool[];
	/** Other cells that serve the model; undefined when none does, or when `pool` is already theirs. */
	readonly elsewhere?: ModelPool | undefined;
}

export interface ModelDirectory {
	/** `draw` in [0, 1) chooses among weighted revisions. Undefined when no model of that name is served. */
	resolve(model: string, draw: number): ModelRoute | undefined;
	/** Public names for `GET /v1/models`, aliases included, sorted. */
	models(): readonly { readonly id: string; readonly ownedBy: string; readonly createdS: number }[];
	/** A pool that unknown paths of a known runtime may pass through to, when the request names no model. */
	passThroughPool(): ModelPool | undefined;
	/** Where the target of this tag (`targetTag`) stands: in `pool`, or in any pool when none is given. */
	owner(tag: string, pool: ModelPool | undefined): TargetOwner | undefined;
}

export interface TargetOwner {
	readonly pool: ModelPool;
	readonly row: number;
}

export interface Decider {
	/**
	 * Fills `out` for one request. `excluded` holds pool rows already tried; they are not eligible. Never throws: whatever
	 * the strategy does, the fallback answers from the same snapshot in the same tick. `out.count` is 0 only when no row is eligible.
	 */
	decide(
		pool: ModelPool,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		out: Decision,
	): void;
	/**
	 * Fills `out` when `decide` found nothing: the least loaded row that only checks or ejection keep out, and which is not `excluded`. Checks
	 * may be wrong of all targets at once (a busy machine, a cut on the agent's side), and then a refusal would lose what they could have served.
	 */
	decideInDoubt(pool: ModelPool, excluded: readonly number[], out: Decision): void;
	/**
	 * Fills `out` with what is known of a row at this moment, for attempts beyond the decision; false when the row may not be chosen any more.
	 */
	standing(pool: ModelPool, row: number, out: RowStanding): boolean;
	/** Whether any row of the pool may be chosen now. */
	ready(pool: ModelPool): boolean;
	/** Fills `out` for a row that a caller has named, or that alone has what is asked for: nobody decides, and it is explained all the same. */
	decideForced(pool: ModelPool, row: number, out: Decision): void;
	/** Keeps what `explain` needs of the decision just made, under its id. Called off the decision itself. */
	remember(decisionId: string, pool: ModelPool, context: DecisionContext): void;
}

/** How busy a row is. */
export interface RowStanding {
	/** Requests waiting in the engine at its last report. */
	queueDepth: number;
	/** Used share of its KV cache at its last report. */
	kvUsage: number;
	/** What the prompts sent there and not yet answered take it. */
	prefillWaitMs: number;
	/** Prompt tokens a second; 0 = unknown. */
	prefillRate: number;
}

export interface DecisionContext {
	readonly requestId: string;
	readonly path: string;
	readonly tenant: string;
	readonly session: string;
	/** The decision before, when this is another one of the same request; '' = the first. */
	readonly previous?: string;
	/** Prompt tokens the chosen target is expected to have cached, and what says so. */
	readonly cachedTokens: number;
	readonly cachedSource: PrefixSource;
}

/** What this worker has in flight, mirrored into shared counters. One entry per dispatched attempt. */
export interface InflightLedger {
	/** Returns an entry handle ≥ 0. `uncachedTokens` is the prompt less its expected prefix hit. */
	dispatch(target: UpstreamTarget, promptTokens: number, uncachedTokens: number): number;
	/** No connection to the target could be made: all workers avoid it at once, before the agent has heard of it. */
	unreachable(target: UpstreamTarget): void;
	/** The prompt is done: its tokens leave `pending_prefill_tokens` and the request counts as decoding. Idempotent. */
	firstToken(entry: number): void;
	/** The attempt is over, however it ended. Idempotent for one entry. */
	end(entry: number): void;
	/** Requests that all routers have at the target now. */
	inFlight(target: UpstreamTarget): number;
}

export const outcomeStatusNames = ['ok', 'upstream_error', 'timeout', 'cancelled', 'rejected'] as const;
export type OutcomeStatusName = (typeof outcomeStatusNames)[number];

/** What became of one dispatched attempt. */
export interface AttemptOutcome {
	readonly decisionId: string;
	readonly poolIndex: number;
	readonly poolRow: number;
	readonly target: UpstreamTarget;
	readonly status: OutcomeStatusName;
	readonly httpStatus: number;
	readonly tokensIn: number;
	readonly tokensOut: number;
	readonly tokensCached: number;
	/** 0 = no token came. */
	readonly ttftMs: number;
	readonly tpotMs: number;
	readonly e2eMs: number;
	readonly predictedTtftMs: number;
	readonly tenant: number;
	readonly fallbackDecided: boolean;
	readonly retried: boolean;
	/** What the attempt was in a hedged request. */
	readonly hedge: 'none' | 'first' | 'copy';
	/** Another attempt of the request was faster: its status is `cancelled`, and says nothing against the target. */
	readonly lost: boolean;
	/** What a loser computed in vain, estimated from above. */
	readonly wastedTokens: number;
	/** Which part of the request it was: all of it, or one side of a pair. */
	readonly leg: 'whole' | 'prefill' | 'decode';
	/** No connection could be made. */
	readonly unreachable: boolean;
}

export interface OutcomeSink {
	record(outcome: AttemptOutcome): void;
	/** A request of an experiment was decided for the first time. */
	enlisted(cohort: number): void;
	/** It is over. Called exactly once for each that was enlisted. */
	ended(pool: ModelPool, cohort: number, request: EndedRequest): void;
	/** A response began with the engine's own load report (ORCA text), when so many requests of the mesh were there. */
	loadReported(target: UpstreamTarget, orca: string, inFlight: number): void;
}

/** What is known of which rows hold which prompt prefixes. Bounded; the cost of a lookup grows with the prompt, not with the fleet. */
export interface PrefixIndex {
	/**
	 * Hashes the prompt into chained blocks (salted by model and LoRA) into an internal buffer; returns the number of blocks. `tokens` are its exact token ids
	 * where they are known; they must not change until the next call.
	 */
	hashPrompt(modelId: number, loraId: number, promptUtf8: Uint8Array, tokens?: Uint32Array, lora?: string): number;
	/** Low and high words of the hash of the first blocks, for `prompt_hash`. Valid after hashPrompt. */
	readonly promptHashLow: number;
	readonly promptHashHigh: number;
	/** Fills `hits` for the prompt last hashed, in rows of `pool`. */
	lookup(pool: ModelPool, hits: PrefixHits): void;
	/** Remembers that `target` now holds the prompt last hashed (called at dispatch, in the same tick as hashPrompt). */
	insert(pool: ModelPool, poolRow: number): void;
	/** Whether exact token ids would tell more: some engine of the pool says what it holds. */
	wantsTokens(pool: ModelPool): boolean;
	/** What said so of a row among the hits of the last lookup. */
	sourceOf(poolRow: number): PrefixSource;
	/** A request goes to a row that is expected to have this much of it. */
	credited(source: PrefixSource, tokens: number): void;
	/** What the engine says it had of a prompt, against what was expected. */
	reported(predictedTokens: number, source: PrefixSource, reportedTokens: number): void;
}

/** Exact token ids of prompts, made apart from the data plane. */
export interface PromptTokens {
	/** True when `done` will be called, once and later, within a bounded time; false when there is nothing to wait for. */
	ask(
		pool: ModelPool,
		endpoint: 'chat' | 'completion',
		body: Uint8Array,
		done: (ids: Uint32Array | undefined) => void,
	): boolean;
}

/** What said that a row holds a prefix. */
export const prefixSources = ['none', 'approximate', 'speculative', 'precise'] as const;
export type PrefixSource = (typeof prefixSources)[number];

/** Interns strings that come from configuration or bounded request fields; unknown or overflowing names are 0. */
export interface Interner {
	tenant(name: string): number;
	lora(name: string): number;
}

/** Caller identity, set by authentication. */
export interface Caller {
	readonly tenant: string;
	readonly tenantId: number;
	readonly policyMask: number;
	/** Least grade of the strategies that may decide its requests (`rankOf`); absent = any. */
	readonly leastGrade?: number;
	/** May use privileged request headers (priority, SLO, tenant, force-target). */
	readonly trusted: boolean;
}

export interface Authenticator {
	/** Undefined = refused. In loopback development mode everyone is the default tenant. */
	readonly authenticate: (authorization: string | undefined) => Caller | undefined;
	/** Whether a caller it has named would be let in still: keys expire and are taken back while connections live. */
	readonly stands: (caller: Caller) => boolean;
}

/** What became of the wish for a copy of a request. */
export type HedgeResult = 'sent' | 'won' | 'no_room' | 'no_budget' | 'not_held';

/** Counters and histograms of the data plane. Implementations only add to plain arrays. */
/**
 * `reported`: by whom it was admitted for. `released`: given up by it. `lapsed`: its lease was not renewed. `expired`: it had none, and nobody reported in time.
 * `disconnected`: nobody was left to. `closed`: this router went.
 */
export const admissionEnds = ['reported', 'released', 'lapsed', 'expired', 'disconnected', 'closed'] as const;
export type AdmissionEnd = (typeof admissionEnds)[number];

export interface RouterMetrics {
	requestStarted(): void;
	requestEnded(
		pool: ModelPool | undefined,
		path: string,
		status: number,
		errorCode: string | undefined,
		durationMs: number,
	): void;
	attempt(pool: ModelPool, target: UpstreamTarget, status: OutcomeStatusName, ttftMs: number, tpotMs: number): void;
	retry(pool: ModelPool, reason: string): void;
	/** A prefill that another target's decode follows has ended. */
	prefill(pool: ModelPool, target: UpstreamTarget, status: OutcomeStatusName): void;
	/** A wish for a copy of a request, and what became of it. */
	hedge(pool: ModelPool, result: HedgeResult): void;
	/** Tokens a loser prefilled and decoded in vain. */
	hedgeWaste(pool: ModelPool, prefillTokens: number, decodeTokens: number): void;
	tokens(pool: ModelPool, tenantId: number, tokensIn: number, tokensOut: number, tokensCached: number): void;
	streamChunks(count: number): void;
	/** A client's HTTP/2 connection was closed for what it did. */
	http2Closed(reason: Http2CloseReason): void;
	/** What was admitted for another router is over. */
	admissionEnded(how: AdmissionEnd): void;
	/** Stage timings in nanoseconds, indexed as `pipelineStages`. */
	stage(stage: number, durationNs: number): void;
}

/** What a client's WebSocket is for. */
export const webSocketKinds = ['chat', 'pipe'] as const;
export type WebSocketKind = (typeof webSocketKinds)[number];

/** Why a client's WebSocket ended. `closed`: by a close frame of either side; `lost`: without one. */
export const webSocketCloseReasons = [
	'closed',
	'lost',
	'half_open',
	'ping_flood',
	'fragment_flood',
	'too_large',
	'protocol_error',
	'bad_messages',
	'too_slow',
	'upstream_lost',
	'shutdown',
] as const;
export type WebSocketCloseReason = (typeof webSocketCloseReasons)[number];

export interface WebSocketMetrics {
	opened(kind: WebSocketKind): void;
	closed(kind: WebSocketKind, reason: WebSocketCloseReason): void;
	/** A handshake that was answered with an error before it was routed. */
	refused(errorCode: string): void;
}

/** A span of the request, or a no-op when tracing is off. */
export interface RequestSpan {
	/** W3C `traceparent` to send upstream; undefined when neither the client nor tracing gave one. */
	readonly traceparent: string | undefined;
	set(name: string, value: string | number | boolean): void;
	/** Something that happened at this wall-clock time. */
	event(name: string, wallMs: number): void;
	end(errorCode: string | undefined): void;
}

/** What a client did that cost it its HTTP/2 connection. */
export const http2CloseReasons = ['rapid_reset', 'continuation_flood', 'frame_flood', 'protocol_error'] as const;
export type Http2CloseReason = (typeof http2CloseReasons)[number];

export interface RequestTracer {
	/** `operation` is the `gen_ai.operation.name`. */
	start(
		method: string,
		path: string,
		traceparent: string | undefined,
		tracestate: string | undefined,
		operation: string | undefined,
	): RequestSpan;
}

export interface RequestLog {
	info(fields: Readonly<Record<string, unknown>>, message: string): void;
	warn(fields: Readonly<Record<string, unknown>>, message: string): void;
	error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** Stages of the pipeline in the order a request passes them; `RouterMetrics.stage` is indexed by position. */
export const pipelineStages = [
	'headers',
	'authenticate',
	'receive',
	'parse',
	'admit',
	'tokenize',
	'decide',
	'dispatch',
	'first_byte',
	'stream_back',
] as const;
export type PipelineStage = (typeof pipelineStages)[number];

/** Everything the router needs from outside, handed to `createRouter`. The last ones default to doing nothing. */
export interface RouterPorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly directory: ModelDirectory;
	readonly decider: Decider;
	readonly ledger: InflightLedger;
	readonly outcomes: OutcomeSink;
	readonly prefixes: PrefixIndex;
	readonly interner: Interner;
	readonly authenticator: Authenticator;
	/** Vouches for whose a stored response is; the same on all routers of a mesh. Undefined = not known yet. */
	readonly responseKey?: string | undefined;
	readonly tokens?: PromptTokens;
	readonly metrics?: RouterMetrics;
	readonly webSockets?: WebSocketMetrics;
	readonly tracer?: RequestTracer;
	readonly log?: RequestLog;
	readonly admission?: AdmissionPorts;
}
