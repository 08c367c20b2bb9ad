// Owns what is sent upstream: path, headers and body. The body is the client's own bytes, but for the model's name where the engine
// knows it by another, and `include_usage` where the router wants it.
import type { Exchange } from './exchange.js';
import { prependMember, replaceSpan, topLevelValue } from './json-bytes.js';
import type { ModelPool, UpstreamTarget } from './ports.js';
import { RELAYED_HEADER } from './request-headers.js';
import type { RoutedRequest } from './routed-request.js';
import type { UpstreamRequest } from './upstream/request-head.js';
import type { AttemptPlan } from './upstream-response.js';

/** Runtimes that may tell their load in the head of a response (ORCA) when asked to. */
const reportsLoad: ReadonlySet<string> = new Set(['auto', 'vllm', 'triton']);

/** What an attempt sends to its target, or to the one that prefills for it. */
export function upstreamRequest(exchange: Exchange, plan: AttemptPlan, target = plan.target): UpstreamRequest {
	const { pool, decisionId, pair } = plan;
	const fetchFrom = target === pair?.target ? pair.fetchFrom : plan.fetchFrom;
	return {
		method: exchange.method,
		path: `${target.pathPrefix}${upstreamPath(exchange, pool, target)}`,
		headers: upstreamHeaders(exchange, target, decisionId, fetchFrom),
		body: upstreamBody(exchange, pool, target),
	};
}

/** Tells an engine that takes it where the prompt's prefix is. */
const FETCH_HEADER = 'x-infermesh-fetch-from';
const PLAIN_NAME = /^[\w\-.~:@+,=]+$/;

/** The path as sent, but for the model's name where the engine knows it by another or it could be read in two ways, and the marks of a stored response. */
function upstreamPath(
	{ target: sent, pathModel, pathId, storedId }: Exchange,
	pool: ModelPool,
	target: UpstreamTarget,
): string {
	if (pathId !== undefined) return `${sent.slice(0, pathId.start)}${storedId}${sent.slice(pathId.end)}`;
	if (pathModel === undefined) return sent;
	const name = target.upstreamModel ?? pool.model;
	if (name === pathModel.name && PLAIN_NAME.test(sent.slice(pathModel.start, pathModel.end))) return sent;
	return `${sent.slice(0, pathModel.start)}${encodeURIComponent(name)}${sent.slice(pathModel.end)}`;
}

/** Header name and value pairs. The id is the decision's, so that two requests never share one in an engine, whatever clients send. */
export function upstreamHeaders(
	request: RoutedRequest,
	target: UpstreamTarget,
	decisionId: string,
	fetchFrom?: string,
): string[] {
	const headers = [...request.forwarded, 'x-request-id', decisionId];
	if (fetchFrom !== undefined) headers.push(FETCH_HEADER, fetchFrom);
	if (target.apiKey !== undefined) headers.push('authorization', `Bearer ${target.apiKey}`);
	if (reportsLoad.has(target.runtime)) headers.push('endpoint-load-metrics-format', 'TEXT');
	if (target.cell !== undefined) headers.push(...relayHeaders(request));
	if (target.dataParallelRank !== undefined) headers.push(RANK_HEADER, String(target.dataParallelRank));
	const traceparent = request.span?.traceparent;
	if (traceparent === undefined) return headers;
	headers.push('traceparent', traceparent);
	const { tracestate } = request.headers;
	if (typeof tracestate === 'string') headers.push('tracestate', tracestate);
	return headers;
}

/** What another cell's router is to know of a request: that it is relayed, and whose it is. It believes the latter of a trusted key only. */
function relayHeaders({ sessionHeader, loraHeader, modelHeader, wishes, caller }: RoutedRequest): string[] {
	const headers = [RELAYED_HEADER, '1'];
	const tenant = wishes.tenant ?? caller.tenant;
	if (tenant !== '') headers.push('x-infermesh-tenant', tenant);
	if (sessionHeader !== '') headers.push('x-infermesh-session', sessionHeader);
	if (loraHeader !== '') headers.push('x-infermesh-lora', loraHeader);
	if (modelHeader !== '') headers.push('x-infermesh-model', modelHeader);
	if (wishes.priority !== 0) headers.push('x-infermesh-priority', String(wishes.priority));
	return headers;
}

/** The bytes to send to `target`; the same buffer again when an earlier attempt sent the same. */
function upstreamBody(exchange: Exchange, pool: ModelPool, target: UpstreamTarget): Buffer | null {
	if (exchange.body.length === 0) return null;
	if (exchange.sentBody !== undefined && exchange.sentTo === target) return exchange.sentBody;
	const model = target.upstreamModel ?? pool.model;
	let body = exchange.body;
	if (exchange.usageInjected) body = withUsage(body, exchange.streamOptions);
	if (model !== exchange.model && exchange.modelInBody) body = withMember(body, 'model', JSON.stringify(model));
	if (model !== exchange.model && exchange.formModel !== undefined) body = replaceSpan(body, exchange.formModel, model);
	if (exchange.pathId === undefined && exchange.storedId !== '')
		body = withMember(body, 'previous_response_id', JSON.stringify(exchange.storedId));
	if (target.dataParallelRank !== undefined && target.runtime === 'sglang' && exchange.parsed)
		for (const member of RANK_MEMBERS) body = withMember(body, member, String(target.dataParallelRank));
	exchange.sentBody = body;
	exchange.sentTo = target;
	return body;
}

/** What vLLM, and SGLang since it takes headers for it, read a rank from; and the members of a body SGLang reads it from, the newer first. */
const RANK_HEADER = 'x-data-parallel-rank';
const RANK_MEMBERS = ['routed_dp_rank', 'data_parallel_rank'] as const;

function withUsage(body: Buffer, asked: unknown): Buffer {
	if (asked === undefined) return prependMember(body, '"stream_options":{"include_usage":true}');
	const span = topLevelValue(body, 'stream_options');
	if (span === undefined) return body;
	const options = typeof asked === 'object' ? asked : {};
	return replaceSpan(body, span, JSON.stringify({ ...options, include_usage: true }));
}

/** `body`, a JSON object, with a member set. */
function withMember(body: Buffer, name: string, json: string): Buffer {
	const span = topLevelValue(body, name);
	return span === undefined ? prependMember(body, `"${name}":${json}`) : replaceSpan(body, span, json);
}
