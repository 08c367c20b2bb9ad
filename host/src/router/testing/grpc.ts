// Owns what tests of gRPC share: answers of an engine below grpc-js, and a grpc-js client of KServe's service through the router.
import type { ServerHttp2Stream } from 'node:http2';
import { ChannelCredentials, Metadata, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { type ModelInferRequest, ModelInferResponse, ModelStreamInferResponse } from '@infermesh/proto/inference';
import { GRPCInferenceServiceClient } from '@infermesh/proto/inference-client';
import type { ExecutionContext } from 'ava';
import type { FakeHttp2, StreamHandler } from './http2.js';
import { startRouter, type TestRouter, type TestRouterOptions } from './kit.js';

export function framed(message: Uint8Array, flags = 0): Buffer {
	const head = Buffer.alloc(5);
	head[0] = flags;
	head.writeUInt32BE(message.length, 1);
	return Buffer.concat([head, message]);
}

/** Sends head, messages and a good status. */
export function answerGrpc(
	stream: ServerHttp2Stream,
	messages: readonly Uint8Array[],
	trailers: Record<string, string> = {},
): void {
	stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
	stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', ...trailers }));
	for (const message of messages) stream.write(framed(message));
	stream.end();
}

/** Trailers alone. */
export function refuseGrpc(stream: ServerHttp2Stream, code: number, message = ''): void {
	stream.respond(
		{ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(code), 'grpc-message': message },
		{ endStream: true },
	);
}

/** Answers an inference once the client has sent all. */
export const answerInfer: StreamHandler = (stream) => {
	const chunks: Buffer[] = [];
	stream.on('data', (chunk: Buffer) => chunks.push(chunk));
	stream.on('end', () => answerGrpc(stream, [inferResponse(Buffer.concat(chunks).toString('base64'))]));
};

/** A response that carries a text as its id. */
export function inferResponse(id: string): Uint8Array {
	return ModelInferResponse.encode({
		modelName: 'm',
		modelVersion: '1',
		id,
		parameters: {},
		outputs: [],
		rawOutputContents: [],
	}).finish();
}

export function streamResponse(id: string): Uint8Array {
	return ModelStreamInferResponse.encode({
		errorMessage: '',
		inferResponse: ModelInferResponse.decode(inferResponse(id)),
	}).finish();
}

export function inferRequest(modelName: string, id = 'one', padding = 0): ModelInferRequest {
	return {
		modelName,
		modelVersion: '',
		id,
		parameters: {},
		inputs: [],
		outputs: [],
		rawInputContents: padding === 0 ? [] : [Buffer.alloc(padding, 0x61)],
	};
}

export interface GrpcRig {
	readonly mesh: TestRouter;
	readonly client: GRPCInferenceServiceClient;
}

/** A router before these engines, and a client of it; both end with the test. */
export async function grpcRig(
	t: ExecutionContext,
	engines: readonly FakeHttp2[],
	options: Partial<TestRouterOptions> = {},
): Promise<GrpcRig> {
	const origins = options.origins ?? engines.map(({ origin }) => origin);
	const each = origins.map((grpcOrigin) => ({ grpcOrigin }));
	const mesh = await startRouter({ origins, each, ...options });
	const client = new GRPCInferenceServiceClient(`127.0.0.1:${mesh.port}`, ChannelCredentials.createInsecure());
	t.teardown(async () => {
		client.close();
		await mesh.close();
		await Promise.all(engines.map((engine) => engine.close()));
	});
	return { mesh, client };
}

export interface UnaryAnswer {
	readonly id: string | undefined;
	readonly error: ServiceError | undefined;
	readonly head: Metadata;
	readonly status: StatusObject | undefined;
}

/** One inference; resolves with what came, error or not. */
export function infer(
	client: GRPCInferenceServiceClient,
	request: ModelInferRequest,
	options: { readonly metadata?: Record<string, string>; readonly deadlineMs?: number } = {},
): Promise<UnaryAnswer> {
	const metadata = new Metadata();
	for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
	const { deadlineMs } = options;
	return new Promise((resolve) => {
		let head = new Metadata();
		let answer: { id: string | undefined; error: ServiceError | undefined } | undefined;
		let status: StatusObject | undefined;
		const settle = (): void => {
			if (answer !== undefined && status !== undefined) resolve({ ...answer, head, status });
		};
		const call = client.modelInfer(
			request,
			metadata,
			deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
			(error, response) => {
				answer = { id: error === null ? response.id : undefined, error: error ?? undefined };
				settle();
			},
		);
		call.on('metadata', (got: Metadata) => {
			head = got;
		});
		call.on('status', (got: StatusObject) => {
			status = got;
			settle();
		});
	});
}
