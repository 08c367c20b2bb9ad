// Owns the headers stage: bounds, ids, the mesh's own request headers, and the list of headers that may go upstream. Credentials,
// hop-by-hop fields (RFC 9110 §7.6.1) and everything `x-infermesh-` stay here. Forwarded names are lower case.
import type { IncomingMessage } from 'node:http';
import type { RouterEnv } from './env.js';
import type { Refusal } from './errors.js';
import type { Exchange } from './exchange.js';
import type { RoutedRequest, Wishes } from './routed-request.js';

/** Never forwarded. accept-encoding is among them because token accounting reads response bytes as they are. */
const dropped: ReadonlySet<string> = new Set([
	'accept-encoding',
	'api-key',
	'authorization',
	'connection',
	'content-length',
	'cookie',
	'cookie2',
	'endpoint-load-metrics-format',
	'expect',
	'forwarded',
	'host',
	'http2-settings',
	'keep-alive',
	'proxy-authenticate',
	'proxy-authorization',
	'proxy-connection',
	'te',
	'traceparent',
	'tracestate',
	'trailer',
	'transfer-encoding',
	'upgrade',
	'via',
	'x-api-key',
	'x-data-parallel-rank',
	'x-forwarded-for',
	'x-forwarded-host',
	'x-forwarded-port',
	'x-forwarded-prefix',
	'x-forwarded-proto',
	'x-real-ip',
	'x-request-id',
]);
const OWN_PREFIX = 'x-infermesh-';
/** Each hop of a WebSocket has a handshake of its own. */
const HANDSHAKE_PREFIX = 'sec-websocket-';
/** Set on a request that goes to another cell; whoever gets one with it sends it no further. */
export const RELAYED_HEADER = 'x-infermesh-relayed';

/** Raw name → forwarded name, or '' for one that stays. Clients send few distinct names; the bound is for those that do not. */
const names = new Map<string, string>();
const NAMES_MAX = 1024;

const REQUEST_ID = /^[\w.:@-]{1,128}$/;
const SESSION_CHARS_MAX = 256;
const MODEL_CHARS_MAX = 512;

/** Reads the headers into the exchange. */
export function readHeaders(env: RouterEnv, exchange: Exchange): Refusal | undefined {
	const { headers } = exchange;
	const { rawHeaders } = exchange.req;
	const fit =
		exchange.stream2 === undefined ? rawHeaders.length / 2 <= env.options.headerCountMax : listFits(env, rawHeaders);
	if (!fit) return { code: 'IM_REQUEST_HEADERS' };
	if (exchange.stream2 === undefined) {
		const { httpVersion } = exchange.req;
		if (httpVersion !== '1.1' && httpVersion !== '1.0') return { code: 'IM_REQUEST_MALFORMED' };
		if (!namesOneHost(exchange.req))
			return { code: 'IM_REQUEST_MALFORMED', message: 'The request must have exactly one host field.' };
	}
	const encoding = headers['content-encoding'];
	if (encoding !== undefined && encoding !== 'identity') return { code: 'IM_REQUEST_ENCODING' };
	exchange.forwarded = forwardable(rawHeaders, headers.connection);
	readNames(env, exchange);
	return undefined;
}

/** RFC 9112 §3.2: proxies before this router may have looked at another of them. */
export function namesOneHost({ rawHeaders, httpVersion }: IncomingMessage): boolean {
	let hosts = 0;
	for (let at = 0; at < rawHeaders.length; at += 2) {
		const name = rawHeaders[at] as string;
		if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
	}
	return hosts === 1 || (hosts === 0 && httpVersion === '1.0');
}

/** `:method`, `:path` and their like are not counted against the fields a client may send. */
export const PSEUDO_FIELDS_MAX = 8;
/** What a field weighs besides its name and value (RFC 9113 §6.5.2). */
const FIELD_BYTES = 32;

/** Whether a header list of HTTP/2 is within the bounds. Its own bounds hold only once the client has heard of them. */
export function listFits({ options }: RouterEnv, rawHeaders: readonly string[]): boolean {
	let bytes = 0;
	for (const part of rawHeaders) bytes += part.length + FIELD_BYTES / 2;
	return bytes <= options.headerBytesMax && rawHeaders.length / 2 <= options.headerCountMax + PSEUDO_FIELDS_MAX;
}

/** What the headers of any protocol say of a request: its id, session, LoRA adapter and trace. */
export function readNames(env: RouterEnv, request: RoutedRequest): void {
	const { headers } = request;
	readIds(env, request);
	request.span = env.ports.tracer.start(
		request.method,
		request.path,
		text(headers['traceparent']),
		text(headers['tracestate']),
		request.dialect.operation,
	);
}

/** The same without the trace. */
export function readIds(env: RouterEnv, request: RoutedRequest): void {
	const { headers } = request;
	const given = text(headers['x-request-id']);
	request.requestId = given !== undefined && REQUEST_ID.test(given) ? given : env.ids.next();
	request.sessionHeader = (text(headers['x-infermesh-session']) ?? '').slice(0, SESSION_CHARS_MAX);
	request.loraHeader = (text(headers['x-infermesh-lora']) ?? '').slice(0, SESSION_CHARS_MAX);
	request.modelHeader = (text(headers['x-infermesh-model']) ?? '').slice(0, MODEL_CHARS_MAX);
	request.relayed = headers[RELAYED_HEADER] !== undefined;
}

/** What a trusted caller asks for; numbers that are none count as not given. */
export function readWishes({ headers }: RoutedRequest): Wishes {
	return {
		priority: Math.trunc(number(headers['x-infermesh-priority'], -1_000_000)),
		sloTtftMs: number(headers['x-infermesh-slo-ttft-ms'], 0),
		sloTpotMs: number(headers['x-infermesh-slo-tpot-ms'], 0),
		deadlineMs: number(headers['x-infermesh-deadline-ms'], 0),
		tenant: text(headers['x-infermesh-tenant']),
		targetId: text(headers['x-infermesh-force-target'] ?? headers['x-infermesh-target']),
		explain: headers['x-infermesh-explain'] === '1',
	};
}

function text(value: string | readonly string[] | undefined): string | undefined {
	return typeof value === 'string' ? value : value?.[0];
}

const WISH_MAX = 1_000_000_000;

function number(value: string | readonly string[] | undefined, least: number): number {
	const given = text(value);
	const parsed = given === undefined || given === '' ? 0 : Number(given);
	return Number.isFinite(parsed) && parsed >= least && parsed <= WISH_MAX ? parsed : 0;
}

/** Headers that may go upstream, as name and value pairs. `connection`: the header of HTTP/1.1, where there is one. */
export function forwardable(raw: readonly string[], connection: string | undefined): string[] {
	const listed = connectionTokens(connection);
	const pairs: string[] = [];
	for (let at = 0; at < raw.length; at += 2) {
		const name = forwardedName(raw[at] as string);
		if (name === '' || listed?.has(name) === true) continue;
		pairs.push(name, raw[at + 1] as string);
	}
	return pairs;
}

function forwardedName(raw: string): string {
	const known = names.get(raw);
	if (known !== undefined) return known;
	const lower = raw.toLowerCase();
	const name =
		dropped.has(lower) || lower.startsWith(OWN_PREFIX) || lower.startsWith(HANDSHAKE_PREFIX) || lower.startsWith(':')
			? ''
			: lower;
	if (names.size >= NAMES_MAX) names.clear();
	names.set(raw, name);
	return name;
}

/** Fields a `connection` header makes hop-by-hop besides the usual ones. */
function connectionTokens(connection: string | undefined): ReadonlySet<string> | undefined {
	if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined;
	return new Set(connection.split(',').map((token) => token.trim().toLowerCase()));
}
