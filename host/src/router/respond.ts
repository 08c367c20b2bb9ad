// Owns every byte written to a client: answers of the router's own, an upstream's status and headers, and the cut of a stream that cannot
// be completed. Invariant: at most one head per exchange; what an upstream says of itself (address, server, cookies) stays here.
import type { IncomingMessage } from 'node:http';
import type { RouterEnv } from './env.js';
import { errorEvent, refusalBody, refusalStatus, upstreamErrorBody } from './error-body.js';
import type { Refusal, RouterErrorCode } from './errors.js';
import type { Exchange } from './exchange.js';
import { resetStream, stopUpload } from './http2/compat.js';
import { header, type UpstreamResponse } from './upstream-response.js';

const JSON_TYPE = 'application/json';

const droppedFromUpstream: ReadonlySet<string> = new Set([
	'alt-svc',
	'connection',
	'content-length',
	'date',
	'endpoint-load-metrics',
	'endpoint-load-metrics-bin',
	'keep-alive',
	'location',
	'proxy-authenticate',
	'proxy-connection',
	'server',
	'set-cookie',
	'strict-transport-security',
	'te',
	'trailer',
	'transfer-encoding',
	'upgrade',
	'via',
	'x-request-id',
]);

/** Sends a whole JSON answer. `extra` holds name and value pairs. */
export function sendJson(exchange: Exchange, status: number, body: string, extra: readonly string[] = []): void {
	const { res } = exchange;
	const bytes = Buffer.from(body);
	const headers = ['content-type', JSON_TYPE, 'content-length', String(bytes.length), ...extra];
	if (exchange.requestId !== '') headers.push('x-request-id', exchange.requestId);
	exchange.committed = true;
	exchange.finished = true;
	res.writeHead(status, headers);
	res.end(bytes);
}

/** Sends an answer without a body. */
export function sendEmpty(exchange: Exchange, status: number, extra: readonly string[]): void {
	exchange.committed = true;
	exchange.finished = true;
	exchange.res.writeHead(status, [...extra, ...(status === 204 ? [] : ['content-length', '0'])]);
	exchange.res.end();
}

/**
 * Answers with a refusal. When the client is still sending, the connection is closed after it; the response then stays open until
 * `lingerUntilMs`, so that the client can read the answer before its own write fails.
 */
export function sendRefusal(
	exchange: Exchange,
	refusal: Refusal,
	attempt: UpstreamResponse | undefined,
	nowMs: number,
	lingerMs: number,
): void {
	exchange.refusal = refusal;
	const { req, res } = exchange;
	const body = Buffer.from(refusalBody(refusal, exchange.dialect.errors));
	const headers = ['content-type', JSON_TYPE, 'content-length', String(body.length), 'x-infermesh-error', refusal.code];
	if (exchange.requestId !== '') headers.push('x-request-id', exchange.requestId);
	if (refusal.retryAfterS !== undefined) headers.push('retry-after', String(refusal.retryAfterS));
	if (refusal.allow !== undefined) headers.push('allow', refusal.allow);
	if (refusal.code === 'IM_REQUEST_UNAUTHENTICATED') headers.push('www-authenticate', 'Bearer');
	if (attempt !== undefined) pushDecision(headers, attempt);
	const uploading = exchange.stream2 === undefined && isUploading(req);
	// What was read in one way here may be read in another by whoever sent it on.
	if (uploading || (exchange.stream2 === undefined && refusal.code === 'IM_REQUEST_MALFORMED'))
		headers.push('connection', 'close');
	exchange.committed = true;
	exchange.finished = true;
	exchange.receiving = false;
	res.writeHead(refusalStatus(refusal), headers);
	if (exchange.stream2 !== undefined && !req.readableEnded && !exchange.stream2.endAfterHeaders) {
		res.end(body);
		req.resume();
		return stopUpload(exchange.stream2);
	}
	if (!uploading) {
		res.end(body);
		return;
	}
	res.write(body);
	exchange.lingerUntilMs = nowMs + lingerMs;
	req.on('end', () => res.end());
	req.resume();
}

/** What of a refused body is small enough to be read and thrown away without closing the connection. */
const DRAIN_BYTES_MAX = 64 * 1024;

function isUploading(req: IncomingMessage): boolean {
	if (req.complete) return false;
	const length = req.headers['content-length'];
	return length === undefined ? req.headers['transfer-encoding'] !== undefined : Number(length) > DRAIN_BYTES_MAX;
}

/** Sends the upstream's status and headers. `length` is that of the body to come, when known. */
export function commit(exchange: Exchange, attempt: UpstreamResponse, length: string | undefined): void {
	const headers: string[] = [];
	for (const name in attempt.headers) {
		if (droppedFromUpstream.has(name) || name.startsWith('x-infermesh-')) continue;
		const value = attempt.headers[name];
		if (typeof value === 'string') headers.push(name, value);
		else if (value !== undefined) for (const one of value) headers.push(name, one);
	}
	const location = relativeLocation(attempt);
	if (location !== undefined) headers.push('location', location);
	if (length !== undefined) headers.push('content-length', length);
	headers.push('x-request-id', exchange.requestId);
	pushDecision(headers, attempt);
	exchange.committed = true;
	exchange.res.writeHead(attempt.status, headers);
}

/** Sends a response that was held whole. Error bodies get the shape of the request's dialect, whatever engine made them. */
export function sendHeld(env: RouterEnv, exchange: Exchange, attempt: UpstreamResponse): void {
	const { status } = attempt;
	if (status >= 400) {
		const body = upstreamErrorBody(attempt.body, status, exchange.dialect.errors);
		const code: RouterErrorCode = status === 429 || status === 503 ? 'IM_UPSTREAM_SATURATED' : 'IM_UPSTREAM_ERROR';
		const retryAfterS = retryAfter(env, attempt, status);
		if (body === undefined) {
			const refusal: Refusal = { code, status, ...(retryAfterS === undefined ? {} : { retryAfterS }) };
			return sendRefusal(exchange, refusal, attempt, env.ports.clock.nowMs(), env.options.lingerMs);
		}
		attempt.body = body;
		attempt.headers = { ...attempt.headers, 'content-type': JSON_TYPE };
		if (retryAfterS !== undefined) attempt.headers['retry-after'] = String(retryAfterS);
		if (status === 429 || status >= 500) exchange.refusal = { code, status };
	}
	const head = exchange.method === 'HEAD';
	const bodiless = status === 204 || status === 304;
	const length = head ? header(attempt, 'content-length') : String(attempt.body.length);
	commit(exchange, attempt, bodiless ? undefined : length);
	exchange.finished = true;
	if (head) exchange.res.end();
	else if (attempt.body.length > JOINED_BYTES_MAX) exchange.res.end(attempt.body);
	// As text of the head's own encoding the body leaves in one write with it; bytes take a second buffer and a gathering write.
	else exchange.res.end(attempt.body.toString('latin1'), 'latin1');
}

/** A body up to this goes out in one write with its head; copying it costs less. */
const JOINED_BYTES_MAX = 16 * 1024;

/** Retry-After is always given where a later try may do better. */
function retryAfter(env: RouterEnv, attempt: UpstreamResponse, status: number): number | undefined {
	if (status !== 429 && status !== 503) return undefined;
	const given = Number(attempt.headers['retry-after']);
	return Number.isFinite(given) && given > 0 ? Math.ceil(given) : env.options.saturatedRetryAfterS;
}

/**
 * Ends a response that has begun and cannot be completed: a stream gets an event that says so; every response is then cut without its
 * regular end, so that no client takes it for whole. The cut follows the event by `cutDelayMs`: fetch drops what was not read yet when
 * a connection breaks, and the event would be lost with it.
 */
export function cut(
	env: RouterEnv,
	exchange: Exchange,
	code: RouterErrorCode,
	asEvent: boolean,
	midEvent: boolean,
): void {
	const { res } = exchange;
	exchange.finished = true;
	exchange.refusal = { code };
	if (!asEvent || exchange.blockedSinceMs !== 0) {
		cutClient(exchange);
		return;
	}
	res.write(`${midEvent ? '\n\n' : ''}${errorEvent(code, exchange.dialect.errors)}`);
	exchange.cutAtMs = env.ports.clock.nowMs() + env.options.cutDelayMs;
}

/** Breaks the client's connection, or resets its stream: what it has of a response is not whole. */
export function cutClient({ res, stream2 }: Exchange): void {
	if (stream2 === undefined) res.destroy();
	else resetStream(stream2);
}

const INVALID_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

function valid(name: string): string {
	return INVALID_VALUE.test(name) ? encodeURIComponent(name) : name;
}

/** What was decided, for the client. */
export function pushDecision(headers: string[], attempt: UpstreamResponse): void {
	headers.push(
		'x-infermesh-decision',
		attempt.decisionId,
		'x-infermesh-target',
		valid(attempt.target.id),
		'x-infermesh-strategy',
		valid(attempt.strategy),
	);
	if (attempt.scores !== undefined) headers.push('x-infermesh-scores', attempt.scores);
}

/** A redirect of the engine's to itself, without its address; any other is dropped. */
function relativeLocation(attempt: UpstreamResponse): string | undefined {
	const location = header(attempt, 'location');
	if (location === undefined) return undefined;
	const { origin, pathPrefix } = attempt.target;
	const base = `${origin}${pathPrefix}`;
	if (location.startsWith(`${base}/`)) return location.slice(base.length);
	return location.startsWith('/') && !location.startsWith('//') ? location : undefined;
}
