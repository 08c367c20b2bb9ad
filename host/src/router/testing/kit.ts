// Owns what the router's tests stand on: ports over plain objects with a trivial decider, fake engines on port 0, and raw sockets. Test
// support only: it holds real timers, and nothing outside tests imports it.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { type Clock, SeededRandom } from '@infermesh/proto';
import type { EndedRequest } from '../../experiments/cohorts/judge.js';
import { openPolicy } from '../../fleet/placement.js';
import { createPrefixIndex } from '../../prefix/prefix-index.js';
import { type Decision, FORCED, type RequestFeatures } from '../../strategy/runtime/decision.js';
import type { RouterOptionsInput } from '../options.js';
import type {
	AdmissionEnd,
	AttemptOutcome,
	DecisionContext,
	HedgeResult,
	ModelPool,
	RouterPorts,
	RowStanding,
	UpstreamTarget,
} from '../ports.js';
import { targetTag } from '../response-ids.js';
import { createRouter, type Router } from '../router.js';

export const testClock: Clock = {
	nowMs: () => performance.now(),
	wallMs: () => Date.now(),
	after(delayMs, fn) {
		const timer = setTimeout(fn, delayMs);
		return { cancel: () => clearTimeout(timer) };
	},
	every(periodMs, fn) {
		const timer = setInterval(fn, periodMs);
		return { cancel: () => clearInterval(timer) };
	},
};

export type EngineHandler = (req: IncomingMessage, res: ServerResponse, body: Buffer) => void;

export interface FakeEngine {
	readonly origin: string;
	/** Requests seen, in order. */
	readonly seen: { readonly url: string; readonly headers: IncomingMessage['headers']; readonly body: string }[];
	/** Requests whose connection the router cut. */
	aborted: number;
	close(): Promise<void>;
}

async function listening(server: {
	listen(port: number, host: string, done: () => void): unknown;
	address(): unknown;
}): Promise<string> {
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What is open of this file's tests. */
const open = new Set<{ close(): Promise<void> }>();

function kept<T extends { close(): Promise<void> }>(thing: T): T {
	const close = thing.close.bind(thing);
	open.add(thing);
	return Object.assign(thing, {
		close() {
			open.delete(thing);
			return close();
		},
	});
}

/** For `test.after.always`: closes what a failed test has left open, which would keep its process from ending. */
export async function closeWhatIsOpen(): Promise<void> {
	await Promise.all(Array.from(open, (thing) => thing.close()));
}

/** An engine that answers as `handler` says, with the whole request body in hand. */
export async function fakeEngine(handler: EngineHandler): Promise<FakeEngine> {
	const seen: FakeEngine['seen'][number][] = [];
	const server: Server = createServer((req, res) => {
		const chunks: Buffer[] = [];
		req.on('data', (chunk: Buffer) => chunks.push(chunk));
		req.on('end', () => {
			const body = Buffer.concat(chunks);
			seen.push({ url: req.url ?? '', headers: req.headers, body: body.toString() });
			res.on('close', () => {
				if (!res.writableFinished) engine.aborted++;
			});
			handler(req, res, body);
		});
	});
	const engine: FakeEngine = kept({
		origin: await listening(server),
		seen,
		aborted: 0,
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	});
	return engine;
}

/** An engine below HTTP: what it sends is up to `handler`, called for each connection with the bytes of its first read. */
export async function rawEngine(handler: (socket: Socket, first: Buffer) => void): Promise<Omit<FakeEngine, 'seen'>> {
	const sockets = new Set<Socket>();
	const server = createTcpServer((socket) => {
		sockets.add(socket);
		socket.on('error', () => undefined);
		socket.on('close', () => sockets.delete(socket));
		socket.on('data', (bytes) => handler(socket, bytes));
	});
	return kept({
		origin: await listening(server),
		aborted: 0,
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				for (const socket of sockets) socket.destroy();
			}),
	});
}

export interface TestRouter {
	readonly router: Router;
	readonly url: string;
	readonly port: number;
	readonly outcomes: AttemptOutcome[];
	readonly trials: { readonly cohort: number; readonly request: EndedRequest }[];
	/** Load reports of engines. */
	readonly loads: { readonly target: string; readonly orca: string; readonly inFlight: number }[];
	readonly decided: {
		readonly features: RequestFeatures;
		readonly excluded: readonly number[];
		readonly hits: number[];
	}[];
	readonly remembered: { readonly id: string; readonly context: DecisionContext }[];
	readonly ended: { readonly path: string; readonly status: number; readonly code: string | undefined }[];
	readonly errors: unknown[];
	readonly http2Closed: string[];
	/** How admissions for other routers ended. */
	readonly admissionEnds: AdmissionEnd[];
	/** Stages timed, by index. */
	readonly stages: number[];
	/** What became of wishes for copies, and the prefilled and decoded tokens of losers. */
	readonly hedges: HedgeResult[];
	/** Targets no connection could be made to. */
	readonly unreachable: string[];
	readonly waste: (readonly [prefill: number, decode: number])[];
	/** Entries of the ledger, ever. */
	dispatched(): number;
	/** Entries of the ledger not ended yet. */
	open(): number;
	/** Entries ended more than once. */
	endedTwice(): number;
	close(): Promise<void>;
}

export interface TestRouterOptions {
	readonly origins: readonly string[];
	readonly targets?: Partial<UpstreamTarget>;
	/** What differs for each target. */
	readonly each?: readonly Partial<UpstreamTarget>[];
	readonly options?: RouterOptionsInput;
	/** In place of "the first row not excluded". */
	readonly decide?: (out: Decision, excluded: readonly number[], features: RequestFeatures) => void;
	/** Rows that only checks keep out. Default none. */
	readonly doubtful?: readonly number[];
	/** What is known of a row; default: it has room. */
	readonly standing?: (pool: ModelPool, row: number, out: RowStanding) => boolean;
	/** API key asked of clients; undefined = everyone is trusted. */
	readonly key?: string;
	readonly ports?: Partial<RouterPorts>;
}

export function testPool(
	origins: readonly string[],
	more: Partial<UpstreamTarget> = {},
	each: readonly Partial<UpstreamTarget>[] = [],
): ModelPool {
	const targets = origins.map((origin, row) => ({
		id: `t${row}`,
		tableRow: row,
		generation: 1,
		origin,
		pathPrefix: '',
		apiKey: undefined,
		runtime: 'test',
		upstreamModel: undefined,
		...more,
		...each[row],
	}));
	return { index: 0, model: 'm', modelId: 1, revision: undefined, policy: openPolicy, targets };
}

/** Ranks the rows in order, leaving out those tried. */
export function firstRow(rows: number): (out: Decision, excluded: readonly number[]) => void {
	return (out, excluded) => {
		out.verdict = 'route';
		out.count = 0;
		out.chosen = 0;
		out.cause = 'none';
		out.strategy = 'first@1.0.0';
		for (let row = 0; row < rows; row++) if (!excluded.includes(row)) out.rows[out.count++] = row;
	};
}

/** A router over one pool named `m` (alias `alias`), listening on a free port. */
export async function startRouter(given: TestRouterOptions): Promise<TestRouter> {
	const pool = testPool(given.origins, given.targets, given.each);
	const decide = given.decide ?? firstRow(given.origins.length);
	const entries = new Map<number, number>();
	const record = {
		outcomes: [],
		trials: [],
		loads: [],
		decided: [],
		remembered: [],
		ended: [],
		errors: [],
		stages: [],
		http2Closed: [],
		admissionEnds: [],
		hedges: [],
		waste: [],
		unreachable: [],
	} as unknown as Pick<
		TestRouter,
		| 'outcomes'
		| 'trials'
		| 'loads'
		| 'http2Closed'
		| 'admissionEnds'
		| 'decided'
		| 'remembered'
		| 'ended'
		| 'errors'
		| 'stages'
		| 'hedges'
		| 'waste'
		| 'unreachable'
	>;
	let next = 0;
	const router = createRouter(
		{ sweepMs: 20, ...given.options },
		{
			clock: testClock,
			random: new SeededRandom(7),
			directory: {
				resolve: (model) =>
					model === 'm' || model === 'alias' ? { requested: model, pool, fallbacks: [] } : undefined,
				models: () => [
					{ id: 'alias', ownedBy: 'infermesh', createdS: 1 },
					{ id: 'm', ownedBy: 'infermesh', createdS: 1 },
				],
				passThroughPool: () => pool,
				owner(tag) {
					const row = pool.targets.findIndex((target) => target !== undefined && targetTag(target.id) === tag);
					return row < 0 ? undefined : { pool, row };
				},
			},
			decider: {
				decide(_pool, features, hits, excluded, out) {
					record.decided.push({
						features: { ...features },
						excluded: [...excluded],
						hits: [...hits.tokens.subarray(0, hits.count)],
					});
					decide(out, excluded, features);
				},
				decideForced(_pool, row, out) {
					out.cause = 'none';
					out.count = 1;
					out.chosen = 0;
					out.rows[0] = row;
					out.strategy = FORCED;
				},
				decideInDoubt(_pool, excluded, out) {
					out.count = 0;
					out.cause = 'all_unhealthy';
					out.strategy = 'least_queue@builtin';
					for (const row of given.doubtful ?? []) if (!excluded.includes(row)) out.rows[out.count++] = row;
				},
				standing: given.standing ?? (() => true),
				ready: () => true,
				remember: (id, _pool, context) => record.remembered.push({ id, context }),
			},
			ledger: {
				dispatch() {
					entries.set(next, 0);
					return next++;
				},
				unreachable: (target) => record.unreachable.push(target.id),
				firstToken: () => undefined,
				end: (entry) => entries.set(entry, (entries.get(entry) ?? 0) + 1),
				inFlight: () => [...entries.values()].filter((ends) => ends === 0).length,
			},
			outcomes: {
				record: (outcome) => record.outcomes.push(outcome),
				enlisted: () => undefined,
				ended: (_pool, cohort, request) => record.trials.push({ cohort, request }),
				loadReported: (target, orca, inFlight) => record.loads.push({ target: target.id, orca, inFlight }),
			},
			responseKey: 'of this mesh',
			prefixes: createPrefixIndex({ blocksMax: 4096 }),
			interner: { tenant: (name) => name.length, lora: (name) => name.length },
			authenticator: {
				stands: () => true,
				authenticate: (authorization) =>
					given.key === undefined || authorization === `Bearer ${given.key}`
						? { tenant: 'default', tenantId: 1, policyMask: 0, trusted: given.key === undefined }
						: undefined,
			},
			metrics: {
				requestStarted: () => undefined,
				requestEnded: (_pool, path, status, code) => record.ended.push({ path, status, code }),
				attempt: () => undefined,
				retry: () => undefined,
				prefill: () => undefined,
				hedge: (_pool, result) => record.hedges.push(result),
				hedgeWaste: (_pool, prefill, decode) => record.waste.push([prefill, decode]),
				tokens: () => undefined,
				streamChunks: () => undefined,
				http2Closed: (reason) => record.http2Closed.push(reason),
				admissionEnded: (how) => record.admissionEnds.push(how),
				stage: (stage) => record.stages.push(stage),
			},
			log: { info: () => undefined, warn: () => undefined, error: (fields) => record.errors.push(fields) },
			...given.ports,
		},
	);
	const clear = await listening(router.server);
	const url = given.options?.tls === undefined ? clear : clear.replace('http:', 'https:');
	return kept({
		router,
		url,
		port: Number(new URL(url).port),
		...record,
		dispatched: () => entries.size,
		open: () => [...entries.values()].filter((ends) => ends === 0).length,
		endedTwice: () => [...entries.values()].filter((ends) => ends > 1).length,
		close: () => router.close({ graceMs: 0 }),
	});
}

/** Resolves when `condition` holds; rejects after a while, naming it. */
export async function until(
	what: string,
	condition: () => boolean | Promise<boolean>,
	withinMs = 30_000,
): Promise<void> {
	const deadline = performance.now() + withinMs;
	while (!(await condition())) {
		if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
		await new Promise((resolve) => {
			setTimeout(resolve, 5);
		});
	}
}

/** A raw connection to the router; what came back so far is in `text()`. */
export interface RawClient {
	readonly socket: Socket;
	text(): string;
	/** Resolves with all text when the router has closed the connection. */
	readonly closed: Promise<string>;
}

export function rawClient(port: number, first: string | Buffer): RawClient {
	const socket = connect(port, '127.0.0.1');
	const chunks: Buffer[] = [];
	socket.on('data', (chunk) => chunks.push(chunk));
	socket.on('error', () => undefined);
	const text = (): string => Buffer.concat(chunks).toString('latin1');
	socket.write(first);
	return { socket, text, closed: new Promise((resolve) => socket.on('close', () => resolve(text()))) };
}

/** A chat request as a client would send it. */
export function chatBody(more: Readonly<Record<string, unknown>> = {}): string {
	return JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello there' }], ...more });
}

export function post(
	url: string,
	body: string | Buffer,
	headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
	return fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
}

/** The error object of a refused request. */
export async function errorOf(
	response: Response,
): Promise<{ message: string; type: string; param: string | null; code: string }> {
	const body = (await response.json()) as {
		error: { message: string; type: string; param: string | null; code: string };
	};
	return body.error;
}

export const answer = {
	id: 'chatcmpl-1',
	object: 'chat.completion',
	created: 1,
	model: 'm',
	choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }],
	usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5, prompt_tokens_details: { cached_tokens: 1 } },
};

/** Answers a chat request whole. */
export const answerWhole: EngineHandler = (_req, res) => {
	res.writeHead(200, { 'content-type': 'application/json' });
	res.end(JSON.stringify(answer));
};

export function chunkEvent(content: string): string {
	const choices = [{ index: 0, delta: { content }, finish_reason: null }];
	return `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices })}\n\n`;
}

export const usageEvent = `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [], usage: answer.usage })}\n\n`;
export const doneEvent = 'data: [DONE]\n\n';

/** Streams `contents`, with a usage event when asked for one. */
export function answerStream(contents: readonly string[]): EngineHandler {
	return (_req, res, body) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		for (const content of contents) res.write(chunkEvent(content));
		const asked = JSON.parse(body.toString()) as { stream_options?: { include_usage?: boolean } };
		if (asked.stream_options?.include_usage === true) res.write(usageEvent);
		res.end(doneEvent);
	};
}
