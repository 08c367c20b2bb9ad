// Owns what is sent upstream: path, headers and body. The body is the client's own bytes, but for the model's name where the engine
// knows it by another, and `include_usage` where the router wants it.
import type { Exchange } from './exchange.js';
import { prependMember, replaceSpan, topLevelValue } from './json-bytes.js';
import type { ModelPool, UpstreamTarget } from './ports.js';
import { RELAYED_HEADER } from './request-headers.js';
import type { UpstreamRequest } from './upstream/request-head.js';
import type { AttemptPlan } from './upstream-response.js';

/** What an attempt sends. */
export function upstreamRequest(exchange: Exchange, { pool, target, decisionId }: AttemptPlan): UpstreamRequest {
	return {
		method: exchange.method,
		path: `${target.pathPrefix}${exchange.target}`,
		headers: upstreamHeaders(exchange, target, decisionId),
		body: upstreamBody(exchange, pool, target),
	};
}

/** Header name and value pairs. The id is the decision's, so that two requests never share one in an engine, whatever clients send. */
function upstreamHeaders(exchange: Exchange, target: UpstreamTarget, decisionId: string): string[] {
	const headers = [...exchange.forwarded, 'x-request-id', decisionId];
	if (target.apiKey !== undefined) headers.push('authorization', `Bearer ${target.apiKey}`);
	if (target.cell !== undefined) headers.push(...relayHeaders(exchange));
	const traceparent = exchange.span?.traceparent;
	if (traceparent === undefined) return headers;
	headers.push('traceparent', traceparent);
	const { tracestate } = exchange.req.headers;
	if (typeof tracestate === 'string') headers.push('tracestate', tracestate);
	return headers;
}

/** What another cell's router is to know of a request: that it is relayed, and whose it is. It believes the latter of a trusted key only. */
function relayHeaders({ sessionHeader, loraHeader, wishes, caller }: Exchange): string[] {
	const headers = [RELAYED_HEADER, '1'];
	const tenant = wishes.tenant ?? caller.tenant;
	if (tenant !== '') headers.push('x-infermesh-tenant', tenant);
	if (sessionHeader !== '') headers.push('x-infermesh-session', sessionHeader);
	if (loraHeader !== '') headers.push('x-infermesh-lora', loraHeader);
	if (wishes.priority !== 0) headers.push('x-infermesh-priority', String(wishes.priority));
	return headers;
}

/** The bytes to send to `target`; the same buffer again when an earlier attempt sent the same. */
function upstreamBody(exchange: Exchange, pool: ModelPool, target: UpstreamTarget): Buffer | null {
	if (exchange.body.length === 0) return null;
	const model = exchange.model === '' ? '' : (target.upstreamModel ?? pool.model);
	if (exchange.sentBody !== undefined && exchange.sentModel === model) return exchange.sentBody;
	let body = exchange.body;
	if (exchange.usageInjected) body = withUsage(body, exchange.streamOptions);
	if (model !== exchange.model) body = withModel(body, model);
	exchange.sentBody = body;
	exchange.sentModel = model;
	return body;
}

function withUsage(body: Buffer, asked: unknown): Buffer {
	if (asked === undefined) return prependMember(body, '"stream_options":{"include_usage":true}');
	const span = topLevelValue(body, 'stream_options');
	if (span === undefined) return body;
	const options = typeof asked === 'object' ? asked : {};
	return replaceSpan(body, span, JSON.stringify({ ...options, include_usage: true }));
}

function withModel(body: Buffer, model: string): Buffer {
	const span = topLevelValue(body, 'model');
	return span === undefined ? body : replaceSpan(body, span, JSON.stringify(model));
}
