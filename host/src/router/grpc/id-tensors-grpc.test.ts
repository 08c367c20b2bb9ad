// Token ids as tensors of gRPC calls through the data port: counted exactly, known again over HTTP, known by their ids where an engine says what it holds, and sent on byte by byte.

import { once } from 'node:events';
import { connect } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { ModelInferRequest } from '@infermesh/proto/inference';
import test from 'ava';
import { createPrefixIndex } from '../../prefix/prefix-index.js';
import { answerInfer, framed, grpcRig, inferRequest } from '../testing/grpc.js';
import { fakeHttp2 } from '../testing/http2.js';
import { post, type TestRouter, until } from '../testing/kit.js';

const STREAM = '/inference.GRPCInferenceService/ModelStreamInfer';
const UNARY = '/inference.GRPCInferenceService/ModelInfer';

async function call(
	made: TestRouter,
	path: string,
	bytes: Buffer,
	headers: Readonly<Record<string, string>> = {},
): Promise<void> {
	const session = connect(made.url);
	session.on('error', () => undefined);
	const stream = session.request({
		':method': 'POST',
		':path': path,
		'content-type': 'application/grpc',
		te: 'trailers',
		...headers,
	});
	stream.end(bytes);
	await once(stream.resume(), 'close');
	session.destroy();
	await until('nothing is in flight', () => made.router.inflight() === 0);
}

function message(ids: readonly number[], raw: boolean): Buffer {
	const words = Buffer.from(Int32Array.from(ids).buffer);
	const contents = {
		boolContents: [],
		intContents: [...ids],
		int64Contents: [],
		uintContents: [],
		uint64Contents: [],
		fp32Contents: [],
		fp64Contents: [],
		bytesContents: [],
	};
	return Buffer.from(
		ModelInferRequest.encode({
			...inferRequest('m'),
			inputs: [
				{
					name: 'input_ids',
					datatype: 'INT32',
					shape: [1n, BigInt(ids.length)],
					parameters: {},
					contents: raw ? undefined : contents,
				},
				{
					name: 'input_lengths',
					datatype: 'INT32',
					shape: [1n, 1n],
					parameters: {},
					contents: raw ? undefined : { ...contents, intContents: [ids.length] },
				},
			],
			rawInputContents: raw ? [words, Buffer.from(Int32Array.of(ids.length).buffer)] : [],
		}).finish(),
	);
}

test('a prompt of ids in tensors is what it is over HTTP, packed, raw or compressed', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const index = createPrefixIndex({ blocksMax: 4096 });
	const asked: (readonly [bytes: Buffer, ids: Uint32Array | undefined])[] = [];
	const hash = index.hashPrompt.bind(index);
	let precise = false;
	index.hashPrompt = (model, lora, bytes, ids, name) => {
		asked.push([Buffer.from(bytes), ids]);
		return hash(model, lora, bytes, ids, name);
	};
	index.wantsTokens = () => precise;
	const { mesh } = await grpcRig(t, [engine], { ports: { prefixes: index } });
	for (const many of [70, 40_000]) {
		const ids = Array.from({ length: many }, (_, at) => (at * 7919) % 130_000);
		const words = Buffer.from(Uint32Array.from(ids).buffer);
		for (const raw of [false, true]) {
			const bytes = message(ids, raw);
			for (const [frame, headers] of [
				[framed(bytes), {}],
				[framed(gzipSync(bytes), 1), { 'grpc-encoding': 'gzip' }],
			] as const) {
				precise = !precise;
				await call(mesh, UNARY, frame, headers);
				t.is(mesh.decided.at(-1)?.features.tokensIn, many);
				t.deepEqual(asked.at(-1), [words, precise ? Uint32Array.from(ids) : undefined]);
			}
		}
		t.deepEqual(mesh.decided.at(-1)?.hits, [many - (many % 64)], 'known again');
		await post(`${mesh.url}/v1/completions`, JSON.stringify({ model: 'm', prompt: ids }));
		t.deepEqual(mesh.decided.at(-1)?.hits, [many - (many % 64)], 'and by another protocol');
	}
});

test('messages of a stream count by their ids', async (t) => {
	const engine = await fakeHttp2(answerInfer);
	const { mesh } = await grpcRig(t, [engine]);
	const ids = (many: number): number[] => Array.from({ length: many }, (_, at) => at);
	await call(
		mesh,
		STREAM,
		Buffer.concat([framed(message(ids(10), true)), framed(message(ids(1000), false)), framed(message(ids(300), true))]),
	);
	t.is(mesh.outcomes.at(-1)?.tokensIn, 1310);
});
