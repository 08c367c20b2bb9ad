// gRPC calls through the data port: a plain grpc-js client of KServe's service, engines that do what each test says, and frames of our own where a
// client would not send them.
import { type ClientHttp2Stream, connect as connectHttp2, constants, type IncomingHttpHeaders } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { ChannelCredentials, type Metadata, status } from '@grpc/grpc-js';
import { ModelInferRequest } from '@infermesh/proto/inference';
import { GRPCInferenceServiceClient } from '@infermesh/proto/inference-client';
import { HealthCheckRequest, HealthCheckResponse } from '@infermesh/proto/standard/health/v1/health';
import { ServerReflectionRequest, ServerReflectionResponse } from '@infermesh/proto/standard/reflection/v1/reflection';
import { PredictRequest } from '@infermesh/proto/tensorflow';
import test from 'ava';
import { createPrefixIndex } from '../prefix/prefix-index.js';
import { createQuotaBoard, DIMENSIONS, QuotaBoard } from './admission/quota-board.js';
import { bytesField } from './grpc/answers.js';
import { testCertificate } from './testing/certificate.js';
import {
	answerGrpc,
	answerInfer,
	framed,
	grpcRig,
	infer,
	inferRequest,
	inferResponse,
	refuseGrpc,
	streamResponse,
	type UnaryAnswer,
} from './testing/grpc.js';
import { type FakeHttp2, fakeHttp2 } from './testing/http2.js';
import { type TestRouter, until } from './testing/kit.js';
import { skewedClock } from './testing/skewed-clock.js';

const INFER = '/inference.GRPCInferenceService/ModelInfer';

interface RawAnswer {
	readonly head: IncomingHttpHeaders;
	readonly trailers: IncomingHttpHeaders;
	readonly body: Buffer;
	readonly rstCode: number;
}

/** One call below grpc-js: these bytes, in these pieces, and what came. */
async function raw(
	mesh: TestRouter,
	path: string,
	pieces: readonly Buffer[],
	headers: Record<string, string> = {},
	end = true,
	onData: () => void = () => undefined,
): Promise<RawAnswer> {
	const session = connectHttp2(mesh.url);
	session.on('error', () => undefined);
	try {
		const stream: ClientHttp2Stream = session.request({
			':method': 'POST',
			':path': path,
			'content-type': 'application/grpc',
			te: 'trailers',
			...headers,
		});
		const chunks: Buffer[] = [];
		let head: IncomingHttpHeaders = {};
		let trailers: IncomingHttpHeaders = {};
		stream.on('response', (got) => {
			head = got;
		});
		stream.on('trailers', (got) => {
			trailers = got;
		});
		stream.on('data', (chunk: Buffer) => {
			chunks.push(chunk);
			onData();
		});
		stream.on('error', () => undefined);
		for (const piece of pieces) stream.write(piece);
		if (end) stream.end();
		await new Promise((resolve) => stream.once('close', resolve));
		if (head['grpc-status'] !== undefined) trailers = head;
		return { head, trailers, body: Buffer.concat(chunks), rstCode: stream.rstCode };
	} finally {
		session.destroy();
	}
}

async function settled(mesh: TestRouter): Promise<void> {
	await until('nothing is in flight', () => mesh.router.inflight() === 0);
}

test('a unary call reaches the target of its model as it was sent, and the answer comes with metadata and decision', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const { mesh, client } = await grpcRig(t, [engine], { targets: { apiKey: 'engine-key' } });
	const request = inferRequest('m', 'abc', 100_000);
	const answer = await infer(client, request, {
		metadata: { 'x-mine': 'kept', authorization: 'Bearer client', 'x-infermesh-session': 's' },
	});
	t.is(answer.error, undefined);
	t.deepEqual(Buffer.from(answer.id ?? '', 'base64'), framed(ModelInferRequest.encode(request).finish()));
	t.like(engine.seen[0], {
		':path': INFER,
		te: 'trailers',
		'x-mine': 'kept',
		authorization: 'Bearer engine-key',
		'content-type': 'application/grpc',
	});
	t.is(engine.seen[0]?.['x-infermesh-session'], undefined);
	t.is(answer.head.get('x-infermesh-target')[0], 't0');
	await settled(mesh);
	t.like(mesh.outcomes, [{ status: 'ok', httpStatus: 200 }]);
	t.like(mesh.ended, [{ status: 200, code: undefined }]);
	t.is(mesh.remembered[0]?.context.path, INFER);
	t.is(mesh.decided[0]?.features.tokensIn, Math.ceil(ModelInferRequest.encode(request).finish().length / 4));
	t.deepEqual([mesh.open(), mesh.endedTwice()], [0, 0]);
});

test('a stream goes both ways, half-closes, and stays with its first model', async (t) => {
	const engine = await fakeHttp2((stream) => {
		stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
		stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-end': 'yes' }));
		let got = 0;
		stream.on('data', () => stream.write(framed(streamResponse(`answer ${got++}`))));
		stream.on('end', () => stream.end());
	});
	const { mesh, client } = await grpcRig(t, [engine]);
	const call = client.modelStreamInfer();
	const ids: string[] = [];
	const end = new Promise<Metadata>((resolve) => call.on('status', ({ metadata }) => resolve(metadata)));
	call.on('data', (response) => {
		ids.push(response.inferResponse?.id ?? '');
		if (ids.length < 3) call.write(inferRequest('another model'));
		else call.end();
	});
	call.write(inferRequest('m'));
	const trailers = await end;
	t.deepEqual(ids, ['answer 0', 'answer 1', 'answer 2']);
	t.is(trailers.get('x-end')[0], 'yes');
	t.is(engine.seen.length, 1);
	await settled(mesh);
	t.like(mesh.outcomes, [{ status: 'ok', tokensOut: 3 }]);
});

test('what is refused is refused in trailers, with a stable code and advice on when to try again', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const { mesh, client } = await grpcRig(t, [engine], { key: 'k' });
	const known = { authorization: 'Bearer k' };
	const codeOf = async (name: string, metadata: Record<string, string>): Promise<unknown> => {
		const { error } = await infer(client, inferRequest(name), { metadata });
		return [error?.code, error?.metadata.get('x-infermesh-error')[0]];
	};
	t.deepEqual(await codeOf('m', {}), [status.UNAUTHENTICATED, 'IM_REQUEST_UNAUTHENTICATED']);
	t.deepEqual(await codeOf('nobody', known), [status.NOT_FOUND, 'IM_ROUTE_MODEL_UNKNOWN']);
	t.deepEqual(await codeOf('', known), [status.INVALID_ARGUMENT, 'IM_REQUEST_FIELD']);
	const unload = await raw(
		mesh,
		'/inference.GRPCInferenceService/RepositoryModelUnload',
		[framed(Buffer.alloc(0))],
		known,
	);
	t.like(unload.trailers, {
		'grpc-status': String(status.UNIMPLEMENTED),
		'x-infermesh-error': 'IM_REQUEST_GRPC_METHOD',
	});
	t.is(engine.seen.length, 0);
	await settled(mesh);
});

test('where no target speaks gRPC the call is told so, and when to try again', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const { client } = await grpcRig(t, [engine], { each: [] });
	const { error } = await infer(client, inferRequest('m'));
	t.is(error?.code, status.UNAVAILABLE);
	t.is(error?.metadata.get('x-infermesh-error')[0], 'IM_ROUTE_NO_TARGET');
	t.is(error?.metadata.get('grpc-retry-pushback-ms')[0], '1000');
	t.true(String(error?.metadata.get('grpc-status-details-bin')[0]).includes('google.rpc.RetryInfo'));
});

test('a client that cancels is a reset at the engine', async (t) => {
	const engine = await fakeHttp2(() => undefined);
	const { mesh, client } = await grpcRig(t, [engine]);
	const call = client.modelInfer(inferRequest('m'), () => undefined);
	await until('the engine has it', () => engine.seen.length === 1);
	call.cancel();
	await until('the engine was told', () => engine.resets.length === 1);
	t.deepEqual(engine.resets, [constants.NGHTTP2_CANCEL]);
	await settled(mesh);
	t.like(mesh.outcomes, [{ status: 'cancelled' }]);
	t.like(mesh.ended, [{ status: 499 }]);
});

test('a deadline reaches the engine less what has passed, and is kept by the router when nobody else does', async (t) => {
	const engine = await fakeHttp2(() => undefined);
	const { clock, advance } = skewedClock();
	const { mesh } = await grpcRig(t, [engine], { ports: { clock } });
	const message = framed(ModelInferRequest.encode(inferRequest('m')).finish());
	const answered = raw(mesh, INFER, [message], { 'grpc-timeout': '100S' });
	await until('the engine has it', () => engine.seen.length === 1);
	const [, left] = /^(\d+)m$/.exec(String(engine.seen[0]?.['grpc-timeout'])) ?? [];
	t.true(Number(left) <= 100_000 && Number(left) > 0);
	advance(101_000);
	const { trailers } = await answered;
	t.like(trailers, { 'grpc-status': String(status.DEADLINE_EXCEEDED), 'x-infermesh-error': 'IM_ROUTE_DEADLINE' });
	await until('the engine was told', () => engine.resets.length === 1);
	const bad = await raw(mesh, INFER, [message], { 'grpc-timeout': 'soon' });
	t.is(bad.trailers['grpc-status'], String(status.INVALID_ARGUMENT));
	await settled(mesh);
});

test('a deadline cuts a stream that has begun', async (t) => {
	const engine = await fakeHttp2((stream) => {
		stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
		stream.write(framed(inferResponse('a')));
	});
	const { clock, advance } = skewedClock();
	const { mesh } = await grpcRig(t, [engine], { ports: { clock } });
	const message = framed(ModelInferRequest.encode(inferRequest('m')).finish());
	const { trailers, body } = await raw(mesh, INFER, [message], { 'grpc-timeout': '100S' }, true, () =>
		advance(101_000),
	);
	t.deepEqual(body, framed(inferResponse('a')));
	t.like(trailers, { 'grpc-status': String(status.DEADLINE_EXCEEDED) });
});

test('a target that dies, resets or refuses before it answers costs a retry, not the call', async (t) => {
	const failures = [
		(_stream: Parameters<typeof refuseGrpc>[0], _headers: IncomingHttpHeaders, engine: FakeHttp2) => engine.kill(),
		(stream: Parameters<typeof refuseGrpc>[0]) => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
		(stream: Parameters<typeof refuseGrpc>[0]) => refuseGrpc(stream, status.UNAVAILABLE),
		(stream: Parameters<typeof refuseGrpc>[0]) => {
			stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
			setImmediate(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
		},
	];
	for (const fail of failures) {
		const [bad, good] = await Promise.all([fakeHttp2(fail), fakeHttp2(answerInfer)]);
		// A stale connection may be asked again: here it fails again.
		const { mesh, client } = await grpcRig(t, [bad, good], { options: { retry: { staleConnectionMs: 0 } } });
		const answer = await infer(client, inferRequest('m', 'x', 70_000));
		t.is(answer.error, undefined);
		t.is(answer.head.get('x-infermesh-target')[0], 't1');
		t.deepEqual(
			Buffer.from(answer.id ?? '', 'base64'),
			framed(ModelInferRequest.encode(inferRequest('m', 'x', 70_000)).finish()),
		);
		await settled(mesh);
		t.deepEqual([mesh.open(), mesh.endedTwice()], [0, 0]);
	}
});

test('a target that cannot be reached is retried; with no other one the client is told', async (t) => {
	const good = await fakeHttp2(answerInfer);
	const closed = 'http://127.0.0.1:1';
	const { client } = await grpcRig(t, [good], { origins: [closed, good.origin] });
	t.is((await infer(client, inferRequest('m'))).error, undefined);
	const alone = await grpcRig(t, [], { origins: [closed] });
	const { error } = await infer(alone.client, inferRequest('m'));
	t.is(error?.code, status.UNAVAILABLE);
	t.is(error?.metadata.get('x-infermesh-error')[0], 'IM_UPSTREAM_CONNECT');
});

test('an engine’s own refusals, trailers alone or not, come as it sent them', async (t) => {
	const engine = await fakeHttp2((stream) => {
		stream.respond(
			{
				':status': 200,
				'content-type': 'application/grpc',
				'grpc-status': '3',
				'grpc-message': 'no%20such',
				'x-why': 'y',
			},
			{ endStream: true },
		);
	});
	const { client, mesh } = await grpcRig(t, [engine]);
	const { error } = await infer(client, inferRequest('m'));
	t.deepEqual([error?.code, error?.details, error?.metadata.get('x-why')[0]], [3, 'no such', 'y']);
	t.is(engine.seen.length, 1);
	await settled(mesh);
	t.like(mesh.outcomes, [{ status: 'ok', httpStatus: 400 }]);
});

test('an engine that dies or resets inside its answer ends the call with a status that says so', async (t) => {
	// What the engine does when the client has the first of its answer.
	let goOn = (): void => undefined;
	const begin = (stream: Parameters<typeof refuseGrpc>[0], then: () => void): void => {
		goOn = then;
		stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
		stream.write(framed(streamResponse('a')));
	};
	const cases = [
		[
			(stream: Parameters<typeof refuseGrpc>[0], _headers: IncomingHttpHeaders, engine: FakeHttp2) =>
				begin(stream, () => engine.kill()),
			status.UNAVAILABLE,
		],
		[
			(stream: Parameters<typeof refuseGrpc>[0]) => begin(stream, () => stream.close(constants.NGHTTP2_CANCEL)),
			status.CANCELLED,
		],
		[
			(stream: Parameters<typeof refuseGrpc>[0]) => begin(stream, () => stream.close(constants.NGHTTP2_PROTOCOL_ERROR)),
			status.INTERNAL,
		],
	] as const;
	for (const [handler, code] of cases) {
		const engine = await fakeHttp2(handler);
		const { client, mesh } = await grpcRig(t, [engine]);
		const call = client.modelStreamInfer();
		const ids: unknown[] = [];
		call.on('data', (response) => {
			ids.push(response.inferResponse?.id);
			goOn();
		});
		call.on('error', () => undefined);
		const ended = new Promise<{ code: number; metadata: Metadata }>((resolve) => call.on('status', resolve));
		call.write(inferRequest('m'));
		const end = await ended;
		t.deepEqual(ids, ['a']);
		t.is(end.code, code);
		t.is(end.metadata.get('x-infermesh-error')[0], 'IM_UPSTREAM_DIED');
		await settled(mesh);
		t.is(engine.seen.length, 1);
	}
});

test('the model is found in compressed messages, within a bound', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const { mesh } = await grpcRig(t, [engine], { options: { grpc: { inflatedBytesMax: 1_000_000 } } });
	const packed = (request: ModelInferRequest): Buffer =>
		framed(gzipSync(ModelInferRequest.encode(request).finish()), 1);
	const gzip = { 'grpc-encoding': 'gzip' };
	const good = await raw(mesh, INFER, [packed(inferRequest('m', 'x', 10_000))], gzip);
	t.is(good.trailers['grpc-status'], '0');
	t.is(engine.seen[0]?.['grpc-encoding'], 'gzip');
	const bomb = await raw(mesh, INFER, [packed(inferRequest('m', 'x', 5_000_000))], gzip);
	t.like(bomb.trailers, { 'x-infermesh-error': 'IM_REQUEST_BODY_SIZE' });
	const other = await raw(mesh, INFER, [packed(inferRequest('m'))], { 'grpc-encoding': 'snappy' });
	t.like(other.trailers, { 'x-infermesh-error': 'IM_REQUEST_ENCODING' });
	const broken = await raw(mesh, INFER, [framed(Buffer.from('no gzip'), 1)], gzip);
	t.like(broken.trailers, { 'x-infermesh-error': 'IM_REQUEST_GRPC' });
	t.is(engine.seen.length, 1);
});

test('frames in pieces, cut short, too large or malformed', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const { mesh } = await grpcRig(t, [engine], { options: { bodyBytesMax: 1000 } });
	const message = framed(ModelInferRequest.encode(inferRequest('m')).finish());
	const bytes = Array.from(message, (byte) => Buffer.from([byte]));
	t.is((await raw(mesh, INFER, bytes)).trailers['grpc-status'], '0');
	const refused = async (pieces: readonly Buffer[], code: string, end = true): Promise<void> => {
		const { trailers } = await raw(mesh, INFER, pieces, {}, end);
		t.is(trailers['x-infermesh-error'], code);
	};
	await refused([message.subarray(0, 3)], 'IM_REQUEST_GRPC');
	await refused([message.subarray(0, message.length - 1)], 'IM_REQUEST_GRPC');
	await refused([], 'IM_REQUEST_GRPC');
	await refused([framed(Buffer.alloc(2000))], 'IM_REQUEST_BODY_SIZE', false);
	await refused([framed(Buffer.from([0x0a, 0x05, 0x61]))], 'IM_REQUEST_GRPC');
	await refused([framed(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))], 'IM_REQUEST_GRPC');
	await refused([framed(Buffer.alloc(4), 7)], 'IM_REQUEST_GRPC');
	t.is(engine.seen.length, 1);
	await settled(mesh);
});

test('a first message that does not come is not waited for for ever', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const { clock, advance } = skewedClock();
	const { mesh } = await grpcRig(t, [engine], { ports: { clock } });
	const answered = raw(mesh, INFER, [Buffer.from([0])], {}, false);
	await until('the call is here', () => mesh.router.inflight() === 1);
	advance(mesh.router.options.requestTimeoutMs + 1000);
	const { trailers } = await answered;
	t.like(trailers, { 'grpc-status': String(status.DEADLINE_EXCEEDED), 'x-infermesh-error': 'IM_REQUEST_TIMEOUT' });
	await settled(mesh);
});

test('an alias reaches the engine by the name it knows, put behind what the client sent', async (t) => {
	const engine = await fakeHttp2((stream) => {
		const chunks: Buffer[] = [];
		stream.on('data', (chunk: Buffer) => chunks.push(chunk));
		stream.on('end', () => {
			const request = ModelInferRequest.decode(Buffer.concat(chunks).subarray(5));
			answerGrpc(stream, [
				inferResponse(
					`${request.modelName} ${request.id} ${Buffer.concat(chunks).readUInt32BE(1) === Buffer.concat(chunks).length - 5}`,
				),
			]);
		});
	});
	const { client } = await grpcRig(t, [engine], { targets: { upstreamModel: 'its/name' } });
	t.is((await infer(client, inferRequest('alias', 'id'))).id, 'its/name id true');
});

test('TensorFlow Serving, and services nothing is known of, are routed by spec, header or the only model', async (t) => {
	const engine = await fakeHttp2((stream) => {
		stream.resume();
		stream.on('end', () => answerGrpc(stream, [Buffer.from('ok')]));
	});
	const { mesh } = await grpcRig(t, [engine]);
	const predict = '/tensorflow.serving.PredictionService/Predict';
	const spec = (name: string): Buffer =>
		framed(PredictRequest.encode({ modelSpec: { name, signatureName: 's' } }).finish());
	t.is((await raw(mesh, predict, [spec('m')])).trailers['grpc-status'], '0');
	t.like((await raw(mesh, predict, [spec('x')])).trailers, { 'x-infermesh-error': 'IM_ROUTE_MODEL_UNKNOWN' });
	t.is(
		(await raw(mesh, '/a.B/C', [framed(Buffer.from('any'))], { 'x-infermesh-model': 'm' })).trailers['grpc-status'],
		'0',
	);
	t.like((await raw(mesh, '/a.B/C', [], { 'x-infermesh-model': 'x' })).trailers, {
		'x-infermesh-error': 'IM_ROUTE_MODEL_UNKNOWN',
	});
	t.is((await raw(mesh, '/a.B/C', [framed(Buffer.from('any'))])).trailers['grpc-status'], '0');
	t.like((await raw(mesh, '/a.B/../C', [])).trailers, { 'x-infermesh-error': 'IM_REQUEST_GRPC_METHOD' });
});

const TORCHSERVE = '/org.pytorch.serve.grpc.inference.InferenceAPIsService/';

/** `PredictionsRequest` of TorchServe. */
function predictions(input: Readonly<Record<string, Buffer | string>>, sequence = ''): Buffer {
	const entries = Object.entries(input).map(([name, value]) =>
		bytesField(3, Buffer.concat([bytesField(1, Buffer.from(name)), bytesField(2, Buffer.from(value))])),
	);
	const more = sequence === '' ? [] : [bytesField(4, Buffer.from(sequence))];
	return Buffer.concat([bytesField(1, Buffer.from('m')), ...entries, ...more]);
}

test('TorchServe’s predictions have their prompt, as text or as the JSON it is over HTTP, and a picture has none', async (t) => {
	const asked: Buffer[] = [];
	const index = createPrefixIndex({ blocksMax: 4096 });
	const hash = index.hashPrompt.bind(index);
	index.hashPrompt = (model, lora, bytes, ...rest) => {
		asked.push(Buffer.from(bytes));
		return hash(model, lora, bytes, ...rest);
	};
	const engine = await fakeHttp2(answerInfer);
	const { mesh } = await grpcRig(t, [engine], { ports: { prefixes: index }, options: { retry: { attemptsMax: 1 } } });
	const call = async (input: Readonly<Record<string, Buffer | string>>, method = 'Predictions', sequence = '') => {
		const message = predictions(input, sequence);
		const { trailers } = await raw(mesh, `${TORCHSERVE}${method}`, [framed(message)]);
		t.is(trailers['grpc-status'], '0');
		const { features } = mesh.decided.at(-1) ?? {};
		return { message, prompt: asked.at(-1), tokensIn: features?.tokensIn, session: features?.sessionLow };
	};
	const body = JSON.stringify({ prompt: 'It was the best of times. '.repeat(40), max_tokens: 7 });
	await fetch(`${mesh.url}/predictions/m`, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
	const overHttp = { prompt: asked.at(-1), tokensIn: mesh.decided.at(-1)?.features.tokensIn };
	t.is(overHttp.tokensIn, 260);
	t.like(await call({ data: body }), overHttp);
	t.like(await call({ data: 'It was the best of times. '.repeat(40) }), overHttp);
	const two = await call({ zeta: 'second', alpha: 'first' }, 'StreamPredictions');
	t.is(two.tokensIn, 3);
	t.regex(two.prompt?.toString('latin1') ?? '', /first.second$/);
	const picture = await call({ data: Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46]) });
	t.deepEqual([picture.tokensIn, picture.prompt?.length], [Math.ceil(picture.message.length / 4), 0]);
	const numbers = await call({ data: '{"instances":[[1,2,3]]}' });
	t.deepEqual([numbers.tokensIn, numbers.prompt?.length], [Math.ceil(numbers.message.length / 4), 0]);
	const deep = await call({ data: `{"data":${'['.repeat(10_000)}${']'.repeat(10_000)}}` });
	t.is(deep.prompt?.length, 20_010, 'a bomb is text, and no JSON');
	const [one, again, other] = [
		await call({ data: 'x' }, 'StreamPredictions2', 'a'),
		await call({ data: 'y' }, 'StreamPredictions2', 'a'),
		await call({ data: 'x' }, 'StreamPredictions2', 'b'),
	];
	t.is(one?.session, again?.session);
	t.not(one?.session, other?.session);
});

test('messages of a stream after the first count as what they ask, whoever names the model', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const board = new QuotaBoard(createQuotaBoard(16, 1));
	const TOKENS_IN = 2;
	board.limit(
		1,
		1 << TOKENS_IN,
		Array.from({ length: DIMENSIONS }, () => ({ burst: 1_000_000, perMs: 1 })),
		1,
		0,
	);
	board.grant(1, TOKENS_IN, 1_000_000);
	const { mesh } = await grpcRig(t, [engine], {
		ports: {
			admission: {
				hasRoom: () => true,
				quotas: { board, worker: 0, want: () => undefined },
				metrics: {
					refused: () => undefined,
					queued: () => undefined,
					waited: () => undefined,
					turn: () => undefined,
				},
			},
		},
	});
	const message = (text: string): Buffer =>
		framed(
			ModelInferRequest.encode({
				...inferRequest('m'),
				inputs: [{ name: 'text_input', datatype: 'BYTES', shape: [1n], parameters: {}, contents: undefined }],
				rawInputContents: [Buffer.concat([Buffer.from(Uint32Array.of(text.length).buffer), Buffer.from(text)])],
			}).finish(),
		);
	const three = Buffer.concat([message('a'.repeat(400)), message('b'.repeat(4000)), message('c'.repeat(40_000))]);
	const path = '/inference.GRPCInferenceService/ModelStreamInfer';
	const tokensIn = async (pieces: readonly Buffer[], headers = {}): Promise<number | undefined> => {
		await raw(mesh, path, pieces, headers);
		await settled(mesh);
		return mesh.outcomes.at(-1)?.tokensIn;
	};
	t.is(await tokensIn([three]), 11_100, 'all at once');
	t.is(mesh.decided.at(-1)?.features.tokensIn, 100, 'it is decided by its first');
	t.is(await tokensIn([three.subarray(0, 300), three.subarray(300, 2000), three.subarray(2000)]), 11_100);
	t.is(await tokensIn([three], { 'x-infermesh-model': 'm' }), 11_100, 'named by a header');
	const packed = framed(gzipSync(message('a'.repeat(400)).subarray(5)), 1);
	const rest = three.subarray(message('a'.repeat(400)).length);
	t.is(await tokensIn([packed, rest], { 'grpc-encoding': 'gzip' }), 11_100, 'after a compressed one');
	const wire = Math.ceil((packed.length - 5) / 4);
	t.is(await tokensIn([three, packed], { 'grpc-encoding': 'gzip' }), 11_100 + wire, 'a compressed one by its bytes');
	const spent = 5 * 11_100 + wire;
	t.is(1_000_000 - board.balance(1, TOKENS_IN), spent);
	const open = raw(mesh, path, [three], { 'grpc-timeout': '3S' }, false);
	await until(
		'they are charged while the stream goes on',
		() => 1_000_000 - board.balance(1, TOKENS_IN) === spent + 11_100,
	);
	t.is(mesh.router.inflight(), 1);
	await open;
});

test('a reader that takes nothing holds the engine back, within the windows', async (t) => {
	let written = 0;
	const message = framed(streamResponse('x'.repeat(60_000)));
	const engine = await fakeHttp2((stream) => {
		stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
		const more = (): void => {
			while (!stream.destroyed) {
				written += message.length;
				if (!stream.write(message)) return void stream.once('drain', more);
			}
		};
		more();
	});
	const { mesh } = await grpcRig(t, [engine], { options: { clientWriteTimeoutMs: 700 } });
	const session = connectHttp2(mesh.url);
	t.teardown(() => session.destroy());
	const stream = session.request({ ':method': 'POST', ':path': INFER, 'content-type': 'application/grpc' });
	stream.on('error', () => undefined);
	stream.end(framed(ModelInferRequest.encode(inferRequest('m')).finish()));
	stream.once('response', () => stream.pause());
	await until('the engine is told', () => engine.resets.length === 1, 20_000);
	t.true(written < 4 * 1024 * 1024, String(written));
	await settled(mesh);
});

test('an engine that takes nothing holds the client back, within the windows', async (t) => {
	const engine = await fakeHttp2((stream) => stream.pause());
	const { mesh, client } = await grpcRig(t, [engine]);
	const call = client.modelStreamInfer();
	call.on('error', () => undefined);
	call.write(inferRequest('m'));
	await until('the engine has it', () => engine.seen.length === 1);
	let sent = 0;
	const message = inferRequest('m', 'x', 100_000);
	// A message counts as taken when it has left the client; those that have not are the client's own to hold.
	const offer = (): void => void call.write(message, undefined, () => sent++);
	for (let at = 0; at < 100; at++) offer();
	let before = 0;
	let looks = 0;
	await until('nothing more is taken, look after look', () => {
		looks = sent === before && sent > 0 ? looks + 1 : 0;
		before = sent;
		return looks === 50;
	});
	t.true(sent < 50, String(sent));
	call.cancel();
	await settled(mesh);
});

test('an engine that takes nothing for too long fails the call', async (t) => {
	const engine = await fakeHttp2((stream) => stream.pause());
	const { clock, advance } = skewedClock();
	const { mesh, client } = await grpcRig(t, [engine], { ports: { clock }, options: { retry: { attemptsMax: 1 } } });
	const answered = infer(client, inferRequest('m', 'x', 4_000_000));
	await until('the engine has it', () => engine.seen.length === 1);
	advance(mesh.router.options.upstream.idleTimeoutMs + 1000);
	const { error } = await answered;
	t.is(error?.metadata.get('x-infermesh-error')[0], 'IM_UPSTREAM_IDLE_TIMEOUT');
	t.is(error?.code, status.DEADLINE_EXCEEDED);
	await settled(mesh);
});

test('connections to a target are bounded', async (t) => {
	const held: Parameters<typeof refuseGrpc>[0][] = [];
	const engine = await fakeHttp2((stream) => {
		stream.resume();
		held.push(stream);
	});
	const { client } = await grpcRig(t, [engine], { options: { grpc: { sessionsMax: 2, streamsMax: 2 } } });
	const full: UnaryAnswer[] = [];
	const answers = Array.from({ length: 6 }, async () => {
		const answer = await infer(client, inferRequest('m'));
		if (answer.error !== undefined) full.push(answer);
		return answer;
	});
	await until('four are held, two are refused', () => held.length === 4 && full.length === 2);
	t.is(engine.sessions.size, 2);
	for (const stream of held) answerGrpc(stream, [inferResponse('a')]);
	t.is((await Promise.all(answers)).filter(({ error }) => error === undefined).length, 4);
	for (const { error } of full) t.is(error?.code, status.RESOURCE_EXHAUSTED);
});

test('TLS on both sides: agreed on by ALPN with the client, mutual with the target', async (t) => {
	const certificate = await testCertificate('localhost');
	const engine = await fakeHttp2(answerInfer, certificate);
	const { mesh } = await grpcRig(t, [engine], { options: { tls: certificate, upstream: { tls: certificate } } });
	const client = new GRPCInferenceServiceClient(
		`localhost:${mesh.port}`,
		ChannelCredentials.createSsl(Buffer.from(certificate.ca)),
	);
	t.teardown(() => client.close());
	const { error, id } = await infer(client, inferRequest('m'));
	t.is(error, undefined);
	t.is(typeof id, 'string');
	const stranger = await grpcRig(t, [], {
		origins: [engine.origin],
		options: { upstream: { tls: { ca: certificate.ca } } },
	});
	const refused = await infer(stranger.client, inferRequest('m'));
	t.is(refused.error?.code, status.UNAVAILABLE);
});

test('health, reflection and KServe’s server questions are answered by the router', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const { mesh, client } = await grpcRig(t, [engine]);
	const answers = await new Promise<unknown[]>((resolve) => {
		const got: unknown[] = [];
		const note = (error: unknown, answer: object): void => {
			if (got.push(error ?? answer) === 3) resolve(got);
		};
		client.serverLive({}, note);
		client.serverReady({}, note);
		client.serverMetadata({}, note);
	});
	const all = Object.assign({}, ...(answers as object[])) as Record<string, unknown>;
	t.like(all, { live: true, ready: true, name: 'infermesh' });
	const check = async (service: string): Promise<RawAnswer> =>
		raw(mesh, '/grpc.health.v1.Health/Check', [framed(HealthCheckRequest.encode({ service }).finish())]);
	t.is(HealthCheckResponse.decode((await check('')).body.subarray(5)).status, 1);
	t.is(HealthCheckResponse.decode((await check('inference.GRPCInferenceService')).body.subarray(5)).status, 1);
	t.is((await check('no.Such')).trailers['grpc-status'], String(status.NOT_FOUND));
	const asked = ServerReflectionRequest.encode({
		host: '',
		listServices: '',
		fileByFilename: undefined,
		fileContainingSymbol: undefined,
		fileContainingExtension: undefined,
		allExtensionNumbersOfType: undefined,
	}).finish();
	const listed = await raw(mesh, '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', [framed(asked)]);
	const names = ServerReflectionResponse.decode(listed.body.subarray(5)).listServicesResponse?.service.map(
		({ name }) => name,
	);
	t.true(names?.includes('inference.GRPCInferenceService'));
	t.true(names?.includes('grpc.health.v1.Health'));
	t.deepEqual(
		names?.filter((name) => name.startsWith('infermesh.')),
		['infermesh.scoring.v1.Scoring'],
	);
	t.is(engine.seen.length, 0);
});

test('a watch of health is told of the end', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const { mesh } = await grpcRig(t, [engine]);
	const session = connectHttp2(mesh.url);
	session.on('error', () => undefined);
	t.teardown(() => session.destroy());
	const stream = session.request({
		':method': 'POST',
		':path': '/grpc.health.v1.Health/Watch',
		'content-type': 'application/grpc',
	});
	stream.on('error', () => undefined);
	stream.end(framed(HealthCheckRequest.encode({ service: '' }).finish()));
	const told: number[] = [];
	stream.on('data', (chunk: Buffer) => told.push(HealthCheckResponse.decode(chunk.subarray(5)).status));
	await until('it serves', () => told.length === 1);
	const closed = mesh.router.close({ graceMs: 20_000 });
	await until('it serves no more', () => told.length === 2);
	t.deepEqual(told, [1, 2]);
	stream.close();
	await closed;
});
