// Owns the state of one request as far as every protocol shares it: who asks for what, where it may go, and what was tried. HTTP exchanges and
// gRPC calls are such records; what differs between them (how an attempt is made, how the client is answered) is behind `Protocol`. A plain record that the
// stages fill in order; no stage keeps state of its own. Invariant: `finished` is set once, by whoever answers or gives up, and nothing is
// written to the client after it.
import type { IncomingHttpHeaders } from 'node:http';
import type { Dialect } from '@infermesh/adapters';
import type { Timer } from '@infermesh/proto';
import type { Ticket } from './admission/ticket.js';
import type { Refusal, RouterErrorCode } from './errors.js';
import type { Race } from './hedge/race.js';
import type { Caller, ModelPool, ModelRoute, RequestSpan, TargetOwner } from './ports.js';
import type { PromptBuffer } from './prompt-buffer.js';
import type { Trial } from './trial.js';
import type { AttemptPlan, UpstreamResponse } from './upstream-response.js';
import type { Usage } from './usage.js';

/** What a caller may ask of the router by header; only trusted callers' wishes are kept. */
export interface Wishes {
	readonly priority: number;
	readonly sloTtftMs: number;
	readonly sloTpotMs: number;
	readonly deadlineMs: number;
	readonly tenant: string | undefined;
	readonly targetId: string | undefined;
	readonly explain: boolean;
}

export const noWishes: Wishes = {
	priority: 0,
	sloTtftMs: 0,
	sloTpotMs: 0,
	deadlineMs: 0,
	tenant: undefined,
	targetId: undefined,
	explain: false,
};

/** How an attempt ended. `held`: the whole response is here and nothing of it was sent. `relayed`: the client has it. */
export type AttemptEnd = 'held' | 'relayed' | 'failed' | 'cancelled';

/** One attempt at one target, as the stages around it see it. */
export interface RunningAttempt extends UpstreamResponse {
	/** Entry in the in-flight ledger. */
	readonly ledgerEntry: number;
	readonly startedMs: number;
	readonly end: AttemptEnd | undefined;
	readonly failure: RouterErrorCode | undefined;
	/** The row at fault, where it is not the attempt's own. */
	readonly failedRow?: number;
	/** The connection broke with nothing received. */
	readonly resetUnanswered: boolean;
	/** 0 until a token has come. */
	readonly firstTokenMs: number;
	readonly chunks: number;
	/** Events or messages that stood for a token each, where no usage says better. */
	readonly events: number;
	readonly usage: Usage | undefined;
	/** Sends the request; called once. */
	start(): void;
	/** Stops it from outside: the client went away, or a timeout passed. The upstream is told at once. */
	stop(end: 'failed' | 'cancelled', failure?: RouterErrorCode): void;
	/** The timeout that has passed, if any. Called periodically. */
	overdue(nowMs: number): RouterErrorCode | undefined;
}

/**
 * What a protocol does for its requests. Written as methods, so that an implementation may name the kind of request it is for: a request is only ever
 * handed to the protocol it was made with.
 */
export interface Protocol {
	/** Makes an attempt; it is started by whoever asked for it. `onEnd` is called once, possibly inside `start`. */
	attempt(
		request: RoutedRequest,
		plan: AttemptPlan,
		ledgerEntry: number,
		onEnd: (attempt: RunningAttempt) => void,
	): RunningAttempt;
	/** Answers with what the last attempt brought. */
	answer(request: RoutedRequest, attempt: RunningAttempt): void;
	/** Answers that the request is not served. Does nothing when it has been answered. */
	refuse(request: RoutedRequest, refusal: Refusal): void;
	/** Cuts what is overdue on the client's side. True when the request needs no further look. */
	check(request: RoutedRequest, nowMs: number): boolean;
	/** Cuts the client off without an answer. */
	abort(request: RoutedRequest): void;
}

export abstract class RoutedRequest {
	readonly protocol: Protocol;
	/** How the request and its answer are to be read. */
	readonly dialect: Dialect;
	readonly method: string;
	/** Path without the query: what logs name. */
	readonly path: string;
	/** What metrics name: the path, or what paths with names in them have in common. */
	label: string;
	/** Request headers by lower-case name. */
	readonly headers: IncomingHttpHeaders;
	/** The client's connection, as an identity only. */
	readonly connection: object;
	/** On the monotonic clock. */
	readonly startMs: number;

	// headers
	requestId = '';
	/** Name and value pairs that may go upstream. */
	forwarded: readonly string[] = [];
	sessionHeader = '';
	loraHeader = '';
	modelHeader = '';
	/** Another cell's router has sent it here: it stays in this cell. */
	relayed = false;
	wishes: Wishes = noWishes;
	span: RequestSpan | undefined;

	// authenticate
	caller: Caller = anonymous;
	tenantId = 0;

	// receive
	/** Bytes this request counts for in the router's total of held bodies. */
	bodyBytes = 0;

	// parse
	model = '';
	stream = false;
	tokensIn = 0;
	/** Exact token ids of its prompt, where they are known. */
	tokenIds: Uint32Array | undefined;
	tokensOutMax = 0;
	session = '';
	sessionLow = 0;
	sessionHigh = 0;
	lora = '';
	/** It is part of a sequence whose state its target keeps. */
	inSequence = false;
	deadlineAtMs = Number.POSITIVE_INFINITY;

	// admit
	/** What admission remembers of it; undefined while there is nothing to remember. */
	ticket: Ticket | undefined;

	// decide
	route: ModelRoute | undefined;
	/** The one target that has what the request asks for, whatever a strategy would think. */
	owner: TargetOwner | undefined;
	pool: ModelPool | undefined;
	/** What an experiment follows of it; undefined while it is in none. */
	trial: Trial | undefined;
	/** What was tried and is not to be tried again. */
	tried: { readonly pool: ModelPool; readonly row: number }[] = [];
	attempts = 0;
	/** Of its last decision that led to a target; '' = none has. */
	decisionId = '';
	/** All that was sent of it can be sent again. */
	replayable = true;
	/** It goes only to targets that speak gRPC. */
	readonly grpcOnly: boolean = false;
	serverErrors = 0;
	/** Attempts that a target refused for want of room. */
	withoutRoom = 0;
	staleRetries = 0;
	/** Times its target has died of it, or under it. */
	deaths = 0;
	/** Times all its targets had failed and it waited to try them again. */
	rounds = 0;
	/** It waits to be decided again. */
	waiting: Timer | undefined;
	/** Since when the request is held; 0 = it never was. */
	heldSinceMs = 0;
	held = false;

	// dispatch and stream back
	/** The attempt the answer is awaited of. */
	attempt: RunningAttempt | undefined;
	/** All its attempts, where several may be under way at once: whoever has something for the client tells it first. */
	race: Race | undefined;
	/** Status and headers have gone to the client. */
	committed = false;
	/** Since when the client takes nothing; 0 = it keeps up. */
	blockedSinceMs = 0;
	finished = false;
	refusal: Refusal | undefined;

	// bookkeeping
	/** Position in the list of active requests. */
	slot = -1;
	sampled = false;
	stageAtMs = 0;

	constructor(
		protocol: Protocol,
		dialect: Dialect,
		method: string,
		path: string,
		headers: IncomingHttpHeaders,
		connection: object,
		startMs: number,
	) {
		this.protocol = protocol;
		this.dialect = dialect;
		this.method = method;
		this.path = path;
		this.label = path;
		this.headers = headers;
		this.connection = connection;
		this.startMs = startMs;
		this.stageAtMs = startMs;
	}

	/** Lays its prompt out, where the request keeps it apart from its body. */
	layPrompt?(into: PromptBuffer): void;
}

const anonymous: Caller = { tenant: '', tenantId: 0, policyMask: 0, leastGrade: 0, trusted: false };
