// Owns the state of one client request while it is in the router. A plain record that the stages fill in order; no stage keeps
// state of its own. Invariant: `finished` is set once, by whoever answers or gives up, and nothing is written to the client after it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Attempt } from './attempt.js';
import type { Refusal } from './errors.js';
import type { Caller, ModelPool, ModelRoute, RequestSpan } from './ports.js';

/** What a path stands for. `other` passes through unread as far as it is not JSON that names a model. */
export type Endpoint = 'chat' | 'completion' | 'embedding' | 'other';

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

export const EMPTY = Buffer.alloc(0);

export class Exchange {
	readonly req: IncomingMessage;
	readonly res: ServerResponse;
	readonly endpoint: Endpoint;
	readonly method: string;
	/** Path without the query: what metrics and logs name. */
	readonly path: string;
	/** Path with the query, as sent upstream. */
	readonly target: string;
	/** On the monotonic clock. */
	readonly startMs: number;

	// headers
	requestId = '';
	/** Name and value pairs that may go upstream. */
	forwarded: readonly string[] = [];
	sessionHeader = '';
	loraHeader = '';
	/** Another cell's router has sent it here: it stays in this cell. */
	relayed = false;
	wishes: Wishes = noWishes;
	span: RequestSpan | undefined;

	// authenticate
	caller: Caller = anonymous;
	tenantId = 0;

	// receive
	body: Buffer = EMPTY;
	/** Bytes this request counts for in the router's total of held bodies. */
	bodyBytes = 0;

	// parse
	model = '';
	stream = false;
	/** The router asked for `usage` on the client's behalf, and strips it again. */
	usageInjected = false;
	/** The body's own `stream_options`, where it has some. */
	streamOptions: unknown;
	tokensIn = 0;
	tokensOutMax = 0;
	session = '';
	sessionLow = 0;
	sessionHigh = 0;
	lora = '';
	deadlineAtMs = Number.POSITIVE_INFINITY;

	// decide
	route: ModelRoute | undefined;
	pool: ModelPool | undefined;
	/** What was tried and is not to be tried again. */
	tried: { readonly pool: ModelPool; readonly row: number }[] = [];
	attempts = 0;
	serverErrors = 0;
	/** Attempts that a target refused for want of room. */
	withoutRoom = 0;
	staleRetries = 0;
	/** Since when the request is held; 0 = it never was. */
	heldSinceMs = 0;
	held = false;

	// dispatch and stream back
	attempt: Attempt | undefined;
	/** Body as last sent, and the model name in it. */
	sentBody: Buffer | undefined;
	sentModel = '';
	/** Status and headers have gone to the client. */
	committed = false;
	/** Since when the client takes nothing; 0 = it keeps up. */
	blockedSinceMs = 0;
	finished = false;
	refusal: Refusal | undefined;
	/** When a connection that is being drained of a refused upload is cut. */
	lingerUntilMs = 0;
	/** When the connection of a response that cannot be completed is cut; 0 = it can. */
	cutAtMs = 0;

	// bookkeeping
	/** Position in the list of active exchanges. */
	slot = -1;
	sampled = false;
	stageAtMs = 0;

	constructor(
		req: IncomingMessage,
		res: ServerResponse,
		endpoint: Endpoint,
		path: string,
		target: string,
		startMs: number,
	) {
		this.req = req;
		this.res = res;
		this.endpoint = endpoint;
		this.method = req.method ?? 'GET';
		this.path = path;
		this.target = target;
		this.startMs = startMs;
		this.stageAtMs = startMs;
	}
}

const anonymous: Caller = { tenant: '', tenantId: 0, policyMask: 0, trusted: false };
