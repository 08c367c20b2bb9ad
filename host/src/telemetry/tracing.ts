// Owns request traces. Off, it only keeps a caller's W3C context intact. On, each request is a span with GenAI attributes, sent in
// batches over OTLP/HTTP with a bounded queue; the OpenTelemetry SDK is imported only then, so that a mesh without traces does not pay for it.
import type { Span, SpanStatusCode, Tracer } from '@opentelemetry/api';
import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
import type { RequestSpan, RequestTracer } from '../router/ports.js';
import { formatTraceParent, parseTraceParent } from './trace-context.js';

/** Names the router sets, and what they are called in traces: GenAI semantic conventions where one exists. */
export const spanAttributes: Readonly<Record<string, string>> = {
	model: 'gen_ai.request.model',
	upstreamModel: 'gen_ai.response.model',
	tokensIn: 'gen_ai.usage.input_tokens',
	tokensOut: 'gen_ai.usage.output_tokens',
	tokensCached: 'gen_ai.usage.cache_read.input_tokens',
	maxTokens: 'gen_ai.request.max_tokens',
	stream: 'infermesh.stream',
	status: 'http.response.status_code',
	session: 'gen_ai.conversation.id',
	requestId: 'infermesh.request_id',
	decisionId: 'infermesh.decision_id',
	strategy: 'infermesh.strategy',
	target: 'infermesh.target',
	revision: 'infermesh.revision',
	runtime: 'gen_ai.provider.name',
	node: 'infermesh.node',
	zone: 'infermesh.zone',
	tenant: 'infermesh.tenant',
	attempts: 'infermesh.attempts',
	cause: 'infermesh.fallback_cause',
	ttftMs: 'infermesh.ttft_ms',
	fuel: 'infermesh.decision_fuel',
};

const silent: RequestSpan = {
	traceparent: undefined,
	set: () => undefined,
	event: () => undefined,
	end: () => undefined,
};

/** Keeps the caller's context and records nothing. A context that is not valid is not passed on. */
export const passiveTracer: RequestTracer = {
	start(_method, _path, traceparent) {
		const parsed = parseTraceParent(traceparent);
		if (parsed === undefined) return silent;
		return { ...silent, traceparent: formatTraceParent(parsed) };
	},
};

export interface TracingOptions {
	/** OTLP/HTTP collector, `http://host:4318`; undefined = off. */
	readonly endpoint: string | undefined;
	/** Share of requests traced when the caller has not decided. */
	readonly ratio: number;
	/** Spans waiting for export; more are dropped. */
	readonly queueMax: number;
	/** Resource attributes: `service.name` and what tells this process apart. */
	readonly resource: Readonly<Record<string, string>>;
	/** In place of OTLP, for tests. */
	readonly exporter?: SpanExporter;
}

export interface Tracing {
	readonly tracer: RequestTracer;
	/** Sends what waits, within the exporter's own time limit. */
	readonly close: () => Promise<void>;
}

const EXPORT_TIMEOUT_MS = 5000;
const EXPORT_BATCH_MAX = 512;

/** Starts tracing, or the passive tracer when no endpoint is given. */
export async function createTracing(options: TracingOptions): Promise<Tracing> {
	if (options.endpoint === undefined && options.exporter === undefined)
		return { tracer: passiveTracer, close: () => Promise.resolve() };
	const [api, sdk, otlp, resources] = await Promise.all([
		import('@opentelemetry/api'),
		import('@opentelemetry/sdk-trace-node'),
		import('@opentelemetry/exporter-trace-otlp-http'),
		import('@opentelemetry/resources'),
	]);
	const url = `${(options.endpoint ?? '').replace(/\/+$/, '')}/v1/traces`;
	const exporter = options.exporter ?? new otlp.OTLPTraceExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS });
	const provider = new sdk.NodeTracerProvider({
		resource: resources.resourceFromAttributes({ ...options.resource }),
		sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(options.ratio) }),
		spanProcessors: [
			new sdk.BatchSpanProcessor(exporter, {
				maxQueueSize: options.queueMax,
				maxExportBatchSize: Math.min(EXPORT_BATCH_MAX, options.queueMax),
				exportTimeoutMillis: EXPORT_TIMEOUT_MS,
			}),
		],
	});
	return { tracer: activeTracer(provider.getTracer('infermesh.router'), api), close: () => provider.shutdown() };
}

function activeTracer(tracer: Tracer, api: typeof import('@opentelemetry/api')): RequestTracer {
	return {
		start(method, path, traceparent, tracestate, operation) {
			const parent = parseTraceParent(traceparent);
			let context = api.ROOT_CONTEXT;
			if (parent !== undefined) {
				const state = tracestate === undefined ? {} : { traceState: api.createTraceState(tracestate) };
				context = api.trace.setSpanContext(context, {
					traceId: parent.traceId,
					spanId: parent.spanId,
					traceFlags: parent.flags,
					isRemote: true,
					...state,
				});
			}
			const attributes = {
				'http.request.method': method,
				'url.path': path,
				...(operation === undefined ? {} : { 'gen_ai.operation.name': operation }),
			};
			const span = tracer.startSpan(
				operation ?? `${method} request`,
				{ kind: api.SpanKind.SERVER, attributes },
				context,
			);
			return requestSpan(span, operation, api.SpanStatusCode.ERROR);
		},
	};
}

function requestSpan(span: Span, operation: string | undefined, errorStatus: SpanStatusCode): RequestSpan {
	const context = span.spanContext();
	let ended = false;
	return {
		traceparent: formatTraceParent({ traceId: context.traceId, spanId: context.spanId, flags: context.traceFlags }),
		set(name, value) {
			if (name === 'model' && operation !== undefined) span.updateName(`${operation} ${String(value)}`);
			span.setAttribute(Object.hasOwn(spanAttributes, name) ? (spanAttributes[name] ?? name) : name, value);
		},
		event: (name, wallMs) => void span.addEvent(name, wallMs),
		end(errorCode) {
			if (ended) return;
			ended = true;
			if (errorCode !== undefined) {
				span.setAttribute('error.type', errorCode);
				span.setStatus({ code: errorStatus, message: errorCode });
			}
			span.end();
		},
	};
}
