import { createServer } from 'node:http';
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace-node';
import test from 'ava';
import { createLog } from './logger.js';
import { formatTraceParent, parseTraceParent } from './trace-context.js';
import { createTracing, passiveTracer } from './tracing.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = `00-${TRACE}-00f067aa0ba902b7-01`;
const options = { endpoint: undefined, ratio: 1, queueMax: 64, resource: { 'service.name': 'infermesh' } };

test('traceparent: what the specification accepts and refuses', (t) => {
	t.deepEqual(parseTraceParent(PARENT), { traceId: TRACE, spanId: '00f067aa0ba902b7', flags: 1 });
	t.truthy(parseTraceParent(`01-${TRACE}-00f067aa0ba902b7-01-more`), 'a later version may carry more');
	for (const bad of [
		undefined,
		'',
		'garbage',
		`ff-${TRACE}-00f067aa0ba902b7-01`,
		`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
		`00-${TRACE}-${'0'.repeat(16)}-01`,
		`00-${TRACE.toUpperCase()}-00f067aa0ba902b7-01`,
		`${PARENT}-more`,
		'x'.repeat(10_000),
	])
		t.is(parseTraceParent(bad), undefined, String(bad).slice(0, 60));
	const parsed = parseTraceParent(PARENT);
	t.is(parsed === undefined ? '' : formatTraceParent(parsed), PARENT);
});

test('with tracing off the caller’s context is passed on untouched, a bad one is dropped', async (t) => {
	const { tracer, close } = await createTracing(options);
	t.is(tracer, passiveTracer);
	const span = tracer.start('POST', '/v1/chat/completions', PARENT, 'vendor=1', 'chat');
	t.is(span.traceparent, PARENT);
	span.set('model', 'm');
	span.end(undefined);
	t.is(tracer.start('POST', '/', 'nonsense', undefined, undefined).traceparent, undefined);
	t.is(tracer.start('POST', '/', undefined, undefined, undefined).traceparent, undefined);
	await close();
});

test('with tracing on the trace goes on with our span as parent, and carries GenAI attributes', async (t) => {
	const exporter = new InMemorySpanExporter();
	const shutdown = exporter.shutdown.bind(exporter);
	exporter.shutdown = () => Promise.resolve();
	const { tracer, close } = await createTracing({ ...options, exporter });
	const span = tracer.start('POST', '/v1/chat/completions', PARENT, 'vendor=1', 'chat');
	const sent = parseTraceParent(span.traceparent);
	t.is(sent?.traceId, TRACE);
	t.not(sent?.spanId, '00f067aa0ba902b7');
	t.is(sent?.flags, 1);
	span.set('model', 'llama');
	span.set('tokensIn', 12);
	span.set('decisionId', 'd1');
	span.end('IM_UPSTREAM_DIED');
	span.end(undefined);
	await close();
	const [finished, ...rest] = exporter.getFinishedSpans();
	t.is(rest.length, 0, 'a span ends once');
	t.is(finished?.name, 'chat llama');
	t.is(finished?.parentSpanContext?.spanId, '00f067aa0ba902b7');
	t.is(finished?.attributes['gen_ai.request.model'], 'llama');
	t.is(finished?.attributes['gen_ai.usage.input_tokens'], 12);
	t.is(finished?.attributes['gen_ai.operation.name'], 'chat');
	t.is(finished?.attributes['infermesh.decision_id'], 'd1');
	t.is(finished?.attributes['error.type'], 'IM_UPSTREAM_DIED');
	t.is(finished?.resource.attributes['service.name'], 'infermesh');
	await shutdown();
});

test('a caller that does not sample is obeyed', async (t) => {
	const exporter = new InMemorySpanExporter();
	exporter.shutdown = () => Promise.resolve();
	const { tracer, close } = await createTracing({ ...options, exporter });
	const span = tracer.start('POST', '/v1/completions', `00-${TRACE}-00f067aa0ba902b7-00`, undefined, 'text_completion');
	t.is(parseTraceParent(span.traceparent)?.flags, 0);
	span.end(undefined);
	await close();
	t.is(exporter.getFinishedSpans().length, 0);
});

test('spans reach a collector over OTLP/HTTP', async (t) => {
	const bodies: { path: string | undefined; text: string }[] = [];
	const server = createServer((request, response) => {
		const chunks: Buffer[] = [];
		request.on('data', (chunk: Buffer) => chunks.push(chunk));
		request.on('end', () => {
			bodies.push({ path: request.url, text: Buffer.concat(chunks).toString() });
			response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
		});
	});
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	const address = server.address();
	const port = typeof address === 'object' && address !== null ? address.port : 0;
	const { tracer, close } = await createTracing({ ...options, endpoint: `http://127.0.0.1:${port}/` });
	tracer.start('POST', '/v1/embeddings', PARENT, undefined, 'embeddings').end(undefined);
	await close();
	server.closeAllConnections();
	server.close();
	t.is(bodies.length, 1);
	t.is(bodies[0]?.path, '/v1/traces');
	t.true(bodies[0]?.text.includes(TRACE));
});

test('logs are JSON lines with ids; credentials and prompts never come out; the level can change at run time', (t) => {
	const lines: string[] = [];
	const log = createLog({ level: 'info', destination: { write: (line: string) => lines.push(line) }, wallMs: () => 0 });
	const child = log.child({ requestId: 'r1', decisionId: 'd1' });
	child.info(
		{ target: 'a', headers: { authorization: 'Bearer hunter2' }, apiKey: 'hunter2', prompt: 'my diary' },
		'dispatched',
	);
	child.debug({}, 'not written');
	log.setLevel('debug');
	child.debug({}, 'written');
	const entries = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
	t.deepEqual(
		entries.map((entry) => entry['message']),
		['dispatched', 'written'],
	);
	t.like(entries[0], {
		level: 'info',
		time: '1970-01-01T00:00:00.000Z',
		requestId: 'r1',
		decisionId: 'd1',
		target: 'a',
	});
	t.false(lines.join('').includes('hunter2'));
	t.false(lines.join('').includes('diary'));
	t.is(log.level(), 'debug');
});
