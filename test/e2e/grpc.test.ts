// A plain grpc-js client of KServe's service against a whole mesh, as an application would use it: whole and streamed through the port that speaks HTTP too,
// while engines die, and with each decision accounted for.
import { ChannelCredentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import {
	GRPCInferenceServiceClient,
	type InferParameter,
	type ModelInferRequest,
	type ModelInferResponse,
	type ModelStreamInferResponse,
} from '@infermesh/proto/inference';
import test, { type ExecutionContext } from 'ava';
import { MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';

const overGrpc = { target: { grpc: 'same' } };

async function open(
	t: ExecutionContext,
	engines: number,
	speed?: number,
): Promise<{ mesh: TestMesh; client: GRPCInferenceServiceClient }> {
	const mesh = await startTestMesh(t, {
		engines: Array.from({ length: engines }, () => overGrpc),
		...(speed === undefined ? {} : { speed }),
	});
	const client = new GRPCInferenceServiceClient(new URL(mesh.dataUrl).host, ChannelCredentials.createInsecure());
	t.teardown(() => client.close());
	return { mesh, client };
}

function parameter(value: bigint | boolean): InferParameter {
	return {
		boolParam: typeof value === 'boolean' ? value : undefined,
		int64Param: typeof value === 'bigint' ? value : undefined,
		stringParam: undefined,
		doubleParam: undefined,
		uint64Param: undefined,
	};
}

function request(tokens: number, modelName = MODEL): ModelInferRequest {
	const text = Buffer.from('Tell me about the weather.');
	const length = Buffer.alloc(4);
	length.writeUInt32LE(text.length);
	return {
		modelName,
		modelVersion: '',
		id: '',
		parameters: { max_tokens: parameter(BigInt(tokens)), ignore_eos: parameter(true) },
		inputs: [{ name: 'text_input', datatype: 'BYTES', shape: [1n], parameters: {}, contents: undefined }],
		outputs: [],
		rawInputContents: [Buffer.concat([length, text])],
	};
}

interface Answer {
	readonly error: ServiceError | undefined;
	readonly response: ModelInferResponse | undefined;
	readonly decision: string;
	readonly target: string;
}

function infer(client: GRPCInferenceServiceClient, asked: ModelInferRequest): Promise<Answer> {
	return new Promise((resolve) => {
		let head = new Metadata();
		const call = client.modelInfer(asked, (error, response) => {
			const from = error?.metadata ?? head;
			resolve({
				error: error ?? undefined,
				response: error === null ? response : undefined,
				decision: String(from.get('x-infermesh-decision')[0]),
				target: String(from.get('x-infermesh-target')[0]),
			});
		});
		call.on('metadata', (got: Metadata) => {
			head = got;
		});
	});
}

function textOf(response: ModelInferResponse | undefined): string {
	return Buffer.from(response?.outputs[0]?.contents?.bytesContents[0] ?? []).toString();
}

test.serial(
	'whole and streamed answers come through the port that speaks HTTP too, and decisions are explained',
	async (t) => {
		const { mesh, client } = await open(t, 2);
		const [whole, http] = await Promise.all([
			infer(client, request(12)),
			mesh.openai.chat.completions.create({ model: MODEL, messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 }),
		]);
		t.is(whole.error, undefined);
		t.is(http.object, 'chat.completion');
		t.regex(whole.target, /^engine-[12]$/);
		const explained = await mesh.admin.explain(whole.decision);
		t.like(explained, { path: '/inference.GRPCInferenceService/ModelInfer', chosen: whole.target, verdict: 'route' });

		const call = client.modelStreamInfer();
		const texts: string[] = [];
		call.on('data', ({ inferResponse }: ModelStreamInferResponse) => texts.push(textOf(inferResponse)));
		const code = new Promise<number>((resolve) => call.on('status', (end) => resolve(end.code)));
		call.write(request(12));
		call.end();
		t.is(await code, status.OK);
		t.is(texts.length, 12);
		t.is(texts.join('').length, textOf(whole.response).length);
		t.is((await infer(client, request(1, 'nobody’s'))).error?.code, status.NOT_FOUND);
	},
);

test.serial('an engine that dies loses no call that had no answer; a stream that has begun is told', async (t) => {
	const { mesh, client } = await open(t, 2, 1);
	const call = client.modelStreamInfer();
	const first = new Promise<string>((resolve) =>
		call.on('metadata', (head: Metadata) => resolve(String(head.get('x-infermesh-target')[0]))),
	);
	call.on('data', () => undefined);
	call.on('error', () => undefined);
	const ended = new Promise<{ code: number; metadata: Metadata }>((resolve) => call.on('status', resolve));
	call.write(request(5000));
	const target = await first;
	const victim = mesh.engines[target === 'engine-1' ? 0 : 1];
	victim?.setFaults({ dieAfterTokens: { tokens: 0 } });
	// Whichever engine they go to first, all of them are answered.
	const answers = await Promise.all(Array.from({ length: 8 }, () => infer(client, request(3))));
	for (const { error, target: to } of answers) {
		t.is(error, undefined);
		t.not(to, target);
	}
	await victim?.close();
	const { code, metadata } = await ended;
	t.is(code, status.UNAVAILABLE);
	t.is(metadata.get('x-infermesh-error')[0], 'IM_UPSTREAM_DIED');
});
