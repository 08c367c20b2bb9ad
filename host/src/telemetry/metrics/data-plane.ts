// Owns the metrics of the data plane, one block a worker: requests, attempts, what waits and is refused, tokens, connections, stages. And what is collected of
// quotas and recordings beside them.
import {
	collected,
	collectedCounter,
	counter,
	decisionSeconds,
	gauge,
	geometric,
	histogram,
	MODELS,
	TARGETS,
} from './define.js';

/** 1 ms to 131 s, doubling: first token and whole requests. */
const requestSeconds = geometric(0.001, 2, 18);
/** 1 ms to 4.1 s, by √2 where engines live: time per output token. */
const tokenSeconds = geometric(0.001, Math.SQRT2, 25);

export const dataPlaneMetrics = {
	// The data plane, one block per worker.
	requests: counter(
		'requests',
		['model', 'revision', 'path', 'status', 'code'],
		512,
		'Requests answered, by HTTP status and error code (empty = none).',
	),
	requestDuration: histogram(
		'request_duration_seconds',
		['model', 'revision', 'path'],
		MODELS,
		requestSeconds,
		'Time from the request’s headers to the end of the answer.',
	),
	timeToFirstToken: histogram(
		'time_to_first_token_seconds',
		['model', 'revision'],
		MODELS,
		requestSeconds,
		'Time from dispatch to the first token, as the router saw it.',
	),
	timePerOutputToken: histogram(
		'time_per_output_token_seconds',
		['model', 'revision'],
		MODELS,
		tokenSeconds,
		'Mean time between the tokens of one answer, as the router saw it.',
	),
	requestsInFlight: gauge('requests_in_flight', [], 1, 'Requests now inside the router.'),
	attempts: counter(
		'attempts',
		['target', 'model', 'revision', 'runtime', 'outcome'],
		TARGETS,
		'Dispatches to a target, by what became of them.',
	),
	flowWaiting: gauge('flow_waiting_requests', ['band'], 8, 'Requests that wait at the router for room at a target.'),
	flowWait: histogram(
		'flow_wait_seconds',
		['band'],
		8,
		requestSeconds,
		'Time that requests which had to wait for room have waited.',
	),
	flowTurns: counter(
		'flow_turns',
		['turn'],
		4,
		'Requests that waited and went to a target, by their turn among all that waited in the mesh: even, owed (a tenant that had had the least, or more urgent than what waited elsewhere), ahead (one that had had more, and went where there would have been no queue), outranked (less urgent, likewise).',
	),
	flowRefused: counter(
		'flow_refused',
		['reason', 'tenant'],
		512,
		'Requests not admitted: quota used up, queue full, deadline that could not be met, waited too long.',
	),
	quotaLimit: collected(
		'quota_limit',
		['tenant', 'quantity'],
		1024,
		'What the tenant’s quota allows over the whole mesh, in the units of its policy.',
	),
	quotaLeased: collected(
		'quota_leased',
		['tenant', 'quantity'],
		1024,
		'Of the quota, what this node holds and has not spent; negative = owed for answers longer than expected.',
	),
	recorderActive: collected('recorder_active', [], 1, '1 while this node records its decisions.'),
	recorderDecisions: collectedCounter('recorder_decisions', [], 1, 'Decisions written to recordings.'),
	recorderDropped: collectedCounter(
		'recorder_dropped',
		[],
		1,
		'Decisions that were not recorded because their worker’s ring was full.',
	),
	recorderOutcomesLost: collectedCounter(
		'recorder_outcomes_lost',
		[],
		1,
		'Outcomes of recorded decisions that were not recorded because their worker’s ring was full.',
	),
	recorderBytes: collectedCounter('recorder_written_bytes', [], 1, 'Bytes written to recordings.'),
	quotaSpent: collectedCounter(
		'quota_spent',
		['tenant', 'quantity'],
		1024,
		'Spent of the quota through this node, settled by what requests have really taken.',
	),
	retries: counter(
		'retries',
		['model', 'reason'],
		256,
		'Requests tried again at another target before the first byte.',
	),
	prefills: counter(
		'prefills',
		['model', 'outcome'],
		256,
		'Prefills that a decode on another target follows, by what became of them; a pair whose prefill fails is decided again.',
	),
	hedges: counter(
		'hedges',
		['model', 'result'],
		512,
		'Copies of requests whose first token was late: `sent`, and `won` of these; not sent for want of room (`no_room`) or of budget (`no_budget`), or because not all the client has sent is held any more (`not_held`).',
	),
	hedgeWaste: counter(
		'hedge_wasted_tokens',
		['model', 'kind'],
		256,
		'Tokens that cancelled losers of hedges prefilled and decoded, estimated from above: prompts as far as the target’s prefill rate can have got.',
	),
	tokens: counter(
		'tokens',
		['model', 'revision', 'tenant', 'kind'],
		1024,
		'Tokens of answered requests: input, cached (part of input) and output.',
	),
	streamChunks: counter('stream_chunks', [], 1, 'Chunks passed on in streamed answers.'),
	http2Closed: counter(
		'http2_connections_closed',
		['reason'],
		8,
		'HTTP/2 connections of clients closed for what they did: resets or frames in floods, or frames that break the protocol.',
	),
	scoringAdmissions: counter(
		'scoring_admissions',
		['end'],
		6,
		'Requests admitted for other routers that are over: reported on, released, lapsed with a lease that was not renewed, expired without a report, ended with the connection that asked, or with this router.',
	),
	webSockets: gauge('websockets', ['kind'], 2, 'WebSockets of clients open now: `chat`, or `pipe` to a runtime.'),
	webSocketsClosed: counter(
		'websockets_closed',
		['kind', 'reason'],
		22,
		'WebSockets of clients that have ended, by why.',
	),
	webSocketsRefused: counter(
		'websockets_refused',
		['error'],
		16,
		'Handshakes answered with an error before they were routed.',
	),
	stageDuration: histogram(
		'stage_duration_seconds',
		['stage'],
		16,
		decisionSeconds,
		'Time in one stage of the pipeline, of a sample of requests.',
	),
} as const;
