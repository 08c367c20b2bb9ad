// A plain grpc-js client of KServe's service against a whole mesh, as an application would use it: whole and streamed through the port that speaks HTTP too,
// while engines die, and with each decision accounted for.
import { ChannelCredentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import {
	type InferParameter,
	type ModelInferRequest,
	type ModelInferResponse,
	type ModelStreamInferResponse,
} from '@infermesh/proto/inference';
import { GRPCInferenceServiceClient } from '@infermesh/proto/inference-client';
import test, { type ExecutionContext } from 'ava';
import { eventually, MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';

const overGrpc = { target: { grpc: 'same' } };

async function open(
	t: ExecutionContext,
	engines: number,
	speed?: number,
	config?: Readonly<Record<string, unknown>>,
): Promise<{ mesh: TestMesh; client: GRPCInferenceServiceClient }> {
	const mesh = await startTestMesh(t, {
		engines: Array.from({ length: engines }, () => overGrpc),
		...(speed === undefined ? {} : { speed }),
		...(config === undefined ? {} : { config }),
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

interface Streamed {
	readonly code: number;
	readonly messages: number;
	readonly decision: string;
	readonly target: string;
}

function stream(client: GRPCInferenceServiceClient, tokens: number): Promise<Streamed> {
	return new Promise((resolve) => {
		const call = client.modelStreamInfer();
		let head = new Metadata();
		let messages = 0;
		call.on('metadata', (got: Metadata) => {
			head = got;
		});
		call.on('data', () => messages++);
		call.on('error', () => undefined);
		call.on('status', ({ code }) =>
			resolve({
				code,
				messages,
				decision: String(head.get('x-infermesh-decision')[0]),
				target: String(head.get('x-infermesh-target')[0]),
			}),
		);
		call.write(request(tokens));
		call.end();
	});
}

test.serial(
	'a copy of a call answers for an engine that is late, which is told to stop; its work is counted as waste',
	async (t) => {
		t.timeout(240_000);
		const { mesh, client } = await open(t, 2, undefined, {
			data: { hedge: { copies: 1, delay_ms: 20, budget_ratio: 1 } },
		});
		// Earns the budget.
		for (let n = 0; n < 8; n++) t.like(await stream(client, 40), { code: status.OK, messages: 40 });
		const won = (): Promise<number> => mesh.admin.metric('infermesh_hedges_total', { result: 'won' });
		const wonBefore = await won();
		// A step takes half a second: the whole answer would take more than a minute.
		mesh.engines[0]?.setFaults({ slow: { factor: 3000 } });
		let rescued: Streamed | undefined;
		for (let n = 0; n < 24 && rescued === undefined; n++) {
			const answer = await stream(client, 150);
			t.like(answer, { code: status.OK, messages: 150, target: 'engine-2' });
			if ((await won()) > wonBefore) rescued = answer;
		}
		t.not(rescued, undefined, 'one of them went to the late engine first');
		const { attempts } = await mesh.admin.explain(rescued?.decision ?? '');
		t.deepEqual(
			attempts
				.map(({ target, hedge, lost, status: end }) => [target, hedge, lost, end])
				.sort((a, b) => String(a[0]).localeCompare(String(b[0]))),
			[
				['engine-1', 'first', true, 'cancelled'],
				['engine-2', 'copy', false, 'ok'],
			],
		);
		const stopped = async (): Promise<boolean> => {
			const page = await (await fetch(`${mesh.engines[0]?.url}/metrics`)).text();
			const value = (name: RegExp): number => Number(new RegExp(`^vllm:${name.source} (\\S+)$`, 'm').exec(page)?.[1]);
			return value(/num_requests_running\{[^}]*\}/) === 0 && value(/request_success_total\{[^}]*"abort"\}/) > 0;
		};
		await eventually('the late engine has stopped', stopped, { withinMs: 30_000, everyMs: 50 });
		t.true((await mesh.admin.metric('infermesh_hedge_wasted_tokens_total', { kind: 'prefill' })) > 0);
		t.is((await mesh.admin.targets()).filter(({ state }) => state === 'ready').length, 2, 'the loser is not blamed');
	},
);
