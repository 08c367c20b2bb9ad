// Prefix awareness in every protocol there is: what one request has put at a target, the next one with the same prompt is sent to, and the decision says how much of it
// is expected there. One table; whatever speaks of prompts has its row.
import { once } from 'node:events';
import { connect } from 'node:http2';
import { ModelInferRequest } from '@infermesh/proto/inference';
import test from 'ava';
import { MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';

let mesh: TestMesh;
const closers: (() => Promise<void> | void)[] = [];

test.before(async () => {
	const engines = Array.from({ length: 4 }, () => ({ target: { grpc: 'same' } }));
	// With several workers each knows what it has sent itself.
	const config = { strategy: { active: 'hybrid_mesh' }, data: { workers: 1 } };
	mesh = await startTestMesh({ teardown: (fn) => closers.push(fn) }, { engines, config });
	await mesh.ready(4);
});

test.after.always(async () => {
	for (const close of closers.reverse()) await close();
});

interface Sent {
	readonly target: string;
	readonly decision: string;
}

type Send = (prompt: string) => Promise<Sent>;

function over(path: string, body: (prompt: string) => object, headers: Record<string, string> = {}): Send {
	return async (prompt) => {
		const response = await fetch(`${mesh.dataUrl}${path}`, {
			method: 'POST',
			headers: { 'content-type': 'application/json', ...headers },
			body: JSON.stringify(body(prompt)),
		});
		await response.text();
		return {
			target: response.headers.get('x-infermesh-target') ?? '',
			decision: response.headers.get('x-infermesh-decision') ?? '',
		};
	};
}

async function overWebSocket(prompt: string): Promise<Sent> {
	const socket = new WebSocket(`${mesh.dataUrl.replace('http', 'ws')}/v1/chat/ws`, ['infermesh.chat.v1']);
	await once(socket, 'open');
	const messages: { type: string; headers?: Record<string, string> }[] = [];
	const done = new Promise<void>((resolve) => {
		socket.addEventListener('message', ({ data }) => {
			messages.push(JSON.parse(String(data)) as { type: string });
			if (messages.at(-1)?.type === 'done') resolve();
		});
	});
	const request = { model: MODEL, messages: [{ role: 'user', content: prompt }], max_tokens: 2 };
	socket.send(JSON.stringify({ type: 'chat', id: '1', request }));
	await done;
	socket.close();
	const { headers = {} } = messages.find(({ type }) => type === 'start') ?? {};
	return { target: headers['x-infermesh-target'] ?? '', decision: headers['x-infermesh-decision'] ?? '' };
}

/** A call below grpc-js: methods the mesh has no client for, too. */
function overGrpc(path: string, message: (prompt: string) => Uint8Array): Send {
	return async (prompt) => {
		const session = connect(mesh.dataUrl);
		try {
			const stream = session.request({
				':method': 'POST',
				':path': path,
				'content-type': 'application/grpc',
				te: 'trailers',
			});
			const head = Buffer.alloc(5);
			const bytes = message(prompt);
			head.writeUInt32BE(bytes.length, 1);
			stream.end(Buffer.concat([head, bytes]));
			const [headers] = (await once(stream, 'response')) as [Record<string, string>];
			stream.resume();
			await once(stream, 'close');
			return { target: headers['x-infermesh-target'] ?? '', decision: headers['x-infermesh-decision'] ?? '' };
		} finally {
			session.close();
		}
	};
}

const parameter = { boolParam: undefined, stringParam: undefined, doubleParam: undefined, uint64Param: undefined };

function inferMessage(prompt: string, raw: boolean): Uint8Array {
	const length = Buffer.alloc(4);
	length.writeUInt32LE(Buffer.byteLength(prompt));
	const contents = {
		boolContents: [],
		intContents: [],
		int64Contents: [],
		uintContents: [],
		uint64Contents: [],
		fp32Contents: [],
		fp64Contents: [],
		bytesContents: [Buffer.from(prompt)],
	};
	return ModelInferRequest.encode({
		modelName: MODEL,
		modelVersion: '',
		id: '',
		parameters: { max_tokens: { ...parameter, int64Param: 2n } },
		inputs: [
			{
				name: 'text_input',
				datatype: 'BYTES',
				shape: [1n],
				parameters: {},
				contents: raw ? undefined : contents,
			},
		],
		outputs: [],
		rawInputContents: raw ? [Buffer.concat([length, Buffer.from(prompt)])] : [],
	}).finish();
}

/** A field of protobuf with a length, less than 2^14. */
function field(number: number, value: Buffer): Buffer {
	return Buffer.concat([Buffer.from([number * 8 + 2, (value.length & 0x7f) | 0x80, value.length >> 7]), value]);
}

function predictMessage(prompt: string): Uint8Array {
	const spec = field(1, Buffer.from(MODEL));
	const tensor = Buffer.concat([Buffer.from([8, 7]), field(8, Buffer.from(prompt))]);
	return Buffer.concat([field(1, spec), field(2, Buffer.concat([field(1, Buffer.from('text')), field(2, tensor)]))]);
}

const infer = (name: string) => (prompt: string) => ({
	inputs: [
		{ name, datatype: 'BYTES', shape: [1], data: [prompt] },
		{ name: 'stop_words', datatype: 'BYTES', shape: [1], data: [`${Math.random()}`] },
	],
});
const named = { 'x-infermesh-model': MODEL };
const KSERVE = '/inference.GRPCInferenceService';

const protocols: Readonly<Record<string, Send>> = {
	'OpenAI chat': over('/v1/chat/completions', (content) => ({
		model: MODEL,
		max_tokens: 1,
		messages: [{ role: 'user', content }],
	})),
	'OpenAI chat, streamed': over('/v1/chat/completions', (content) => ({
		model: MODEL,
		max_tokens: 1,
		stream: true,
		messages: [{ role: 'user', content }],
	})),
	'OpenAI completions': over('/v1/completions', (prompt) => ({ model: MODEL, max_tokens: 1, prompt })),
	'OpenAI responses': over('/v1/responses', (input) => ({ model: MODEL, max_output_tokens: 1, input })),
	'OpenAI embeddings': over('/v1/embeddings', (input) => ({ model: MODEL, input })),
	'OVMS chat': over('/v3/chat/completions', (content) => ({
		model: MODEL,
		max_tokens: 1,
		messages: [{ role: 'user', content }],
	})),
	'Anthropic messages': over('/v1/messages', (content) => ({
		model: MODEL,
		max_tokens: 1,
		messages: [{ role: 'user', content }],
	})),
	rerank: over('/v1/rerank', (query) => ({ model: MODEL, query, documents: ['a', 'b'] })),
	'WebSocket chat': overWebSocket,
	'KServe infer': over(`/v2/models/${MODEL}/infer`, infer('text_input')),
	'KServe infer, old Triton names': over(`/v2/models/${MODEL}/versions/1/infer`, infer('PROMPT')),
	'Triton generate': over(`/v2/models/${MODEL}/generate`, (text) => ({ text_input: text, max_tokens: 1 })),
	'Triton generate_stream': over(`/v2/models/${MODEL}/generate_stream`, (text) => ({
		text_input: text,
		max_tokens: 1,
	})),
	'TGI generate': over('/generate', (inputs) => ({ inputs, parameters: { max_new_tokens: 1 } }), named),
	'TGI generate_stream': over('/generate_stream', (inputs) => ({ inputs, parameters: { max_new_tokens: 1 } }), named),
	'SGLang generate': over('/generate', (text) => ({ text, sampling_params: { max_new_tokens: 1 } }), named),
	'TF Serving, rows': over(`/v1/models/${MODEL}:predict`, (text) => ({ instances: [{ temperature: 1, text }] })),
	'TF Serving, columns': over(`/v1/models/${MODEL}:predict`, (text) => ({ inputs: { text: [text] } })),
	'TF Serving, a list': over(`/v1/models/${MODEL}:predict`, (text) => ({ instances: [text] })),
	TorchServe: over(`/predictions/${MODEL}`, (prompt) => ({ prompt, max_tokens: 1 })),
	'KServe gRPC': overGrpc(`${KSERVE}/ModelInfer`, (prompt) => inferMessage(prompt, false)),
	'KServe gRPC, raw': overGrpc(`${KSERVE}/ModelInfer`, (prompt) => inferMessage(prompt, true)),
	'KServe gRPC, streamed': overGrpc(`${KSERVE}/ModelStreamInfer`, (prompt) => inferMessage(prompt, true)),
	'TF Serving gRPC': overGrpc('/tensorflow.serving.PredictionService/Predict', predictMessage),
};

for (const [name, send] of Object.entries(protocols))
	test(`${name}: the same prompt goes where it has been`, async (t) => {
		const prompt = `About ${name}. `.repeat(400).slice(0, 4000);
		const first = await send(prompt);
		t.regex(first.target, /^engine-[1-4]$/);
		t.is((await mesh.admin.explain(first.decision)).cachedTokens, 0);
		for (const again of [1, 2, 3]) {
			const next = await send(prompt);
			t.is(next.target, first.target, `time ${again + 1}`);
			const { cachedTokens, cachedSource } = await mesh.admin.explain(next.decision);
			t.is(cachedSource, 'approximate');
			t.true(cachedTokens > 700, `${cachedTokens} tokens`);
		}
	});

test('a prompt is known again over another protocol of the same engine', async (t) => {
	const prompt = 'The same over HTTP and gRPC. '.repeat(200).slice(0, 4000);
	const first = await (protocols['KServe infer'] as Send)(prompt);
	const next = await (protocols['KServe gRPC, raw'] as Send)(prompt);
	t.is(next.target, first.target);
	t.true((await mesh.admin.explain(next.decision)).cachedTokens > 700);
});
