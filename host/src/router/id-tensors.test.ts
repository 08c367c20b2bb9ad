// Token ids as tensors: whatever way KServe's protocol has for them, over HTTP and gRPC, it is the prompt that the same ids are as a list of OpenAI's, counted exactly, and known by
// its ids where all of them are some.
import { dialectRoutes, type PromptField } from '@infermesh/adapters';
import { SeededRandom } from '@infermesh/proto';
import { ModelInferRequest } from '@infermesh/proto/inference';
import test from 'ava';
import * as fc from 'fast-check';
import { rawTensors } from './binary-tensors.js';
import { FieldScanner } from './grpc/field-scanner.js';
import { kserveFields } from './grpc/first-fields.js';
import { FirstReader } from './grpc/first-reader.js';
import { IDS_DEPTH, LongStrings } from './long-strings.js';
import { collectPrompt } from './prompt.js';
import { PromptBuffer } from './prompt-buffer.js';

const seed = 20_261_127;
const PROMPT_MAX = 1 << 20;
const TENSORS = promptOf('/v2/models/{model}/infer');
const LISTS = promptOf('/v1/completions');

function promptOf(of: string): readonly PromptField[] {
	const to = dialectRoutes.find(({ path }) => path === of)?.to;
	return typeof to === 'object' ? to.prompt : [];
}

interface Laid {
	readonly bytes: string;
	readonly tokens: number;
	readonly ids: readonly number[] | undefined;
}

function laid(into: PromptBuffer): Laid {
	const ids = into.exactIds();
	return {
		bytes: Buffer.from(into.bytes).toString('hex'),
		tokens: into.tokens,
		ids: ids === undefined ? undefined : [...ids],
	};
}

interface Tensor {
	readonly name: string;
	readonly datatype: string;
	readonly shape: readonly number[];
	readonly data: readonly (number | bigint)[];
}

function overJson(tensors: readonly unknown[], longs?: LongStrings): Laid {
	const into = new PromptBuffer(PROMPT_MAX, longs);
	const body = Buffer.from(JSON.stringify({ id: 'x', inputs: tensors, outputs: [] }));
	const json = longs?.take(body, new Map([['inputs', IDS_DEPTH.tensors]])) ?? body;
	collectPrompt(JSON.parse(String(json)) as Record<string, unknown>, into, TENSORS);
	return laid(into);
}

function rawOf({ datatype, data }: Tensor): Buffer {
	const width = datatype.endsWith('64') ? 8 : 4;
	const raw = Buffer.alloc(data.length * width);
	data.forEach((value, at) => {
		if (width === 8) raw.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at * 8);
		else raw.writeUInt32LE(Number(value) >>> 0, at * 4);
	});
	return raw;
}

function overBinary(tensors: readonly Tensor[]): Laid {
	const into = new PromptBuffer(PROMPT_MAX);
	const raws = tensors.map(rawOf);
	const inputs = tensors.map(({ name, datatype, shape }, at) => ({
		name,
		datatype,
		shape,
		parameters: { binary_data_size: raws[at]?.length },
	}));
	collectPrompt({ inputs }, into, TENSORS, '', rawTensors(inputs, Buffer.concat(raws)));
	return laid(into);
}

const contentsOf: Readonly<Record<string, string>> = {
	INT32: 'intContents',
	INT64: 'int64Contents',
	UINT32: 'uintContents',
	UINT64: 'uint64Contents',
};

function message(tensors: readonly Tensor[], raw: boolean): Buffer {
	const request = ModelInferRequest.decode(new Uint8Array());
	for (const { name, datatype, shape, data } of tensors) {
		const empty = ModelInferRequest.decode(Buffer.from([0x2a, 2, 0x2a, 0])).inputs[0]?.contents;
		const filled = { ...empty, [contentsOf[datatype] ?? '']: datatype.endsWith('64') ? data.map(BigInt) : data };
		request.inputs.push({
			name,
			datatype,
			shape: shape.map(BigInt),
			parameters: {},
			contents: raw ? undefined : (filled as NonNullable<typeof empty>),
		});
	}
	if (raw) request.rawInputContents.push(...tensors.map(rawOf));
	return Buffer.from(ModelInferRequest.encode(request).finish());
}

function overGrpc(tensors: readonly Tensor[], raw: boolean, cuts: readonly number[], copies: boolean): Laid {
	const bytes = message(tensors, raw);
	const reader = new FirstReader({ bytesMax: PROMPT_MAX, copies });
	const scanner = new FieldScanner(kserveFields, 512, reader);
	const edges = [0, ...cuts.map((cut) => cut % bytes.length).toSorted((a, b) => a - b), bytes.length];
	for (let at = 1; at < edges.length; at++) scanner.push(bytes.subarray(edges[at - 1], edges[at]));
	scanner.end();
	const into = new PromptBuffer(PROMPT_MAX);
	into.reset();
	for (const ids of reader.ids.prompt()) into.idBytes(ids);
	return laid(into);
}

/** The same ids as OpenAI's completions have them. */
function asList(ids: readonly unknown[]): Laid {
	const into = new PromptBuffer(PROMPT_MAX);
	collectPrompt({ prompt: ids }, into, LISTS);
	return laid(into);
}

const id = fc.oneof(fc.nat(200_000), fc.constantFrom(0, 127, 128, 16_384, 2 ** 28 - 1, 2 ** 28, 2 ** 31 - 1));
const datatype = fc.constantFrom('INT32', 'INT64', 'UINT32', 'UINT64');
const cuts = fc.array(fc.nat(10_000), { maxLength: 6 });

test('ids in tensors are the prompt that they are as a list, whatever way they come and however they are cut', (t) => {
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(
			fc.array(id, { minLength: 1, maxLength: 60 }),
			datatype,
			fc.constantFrom('input_ids', 'INPUT_IDS', 'token_ids'),
			cuts,
			fc.boolean(),
			fc.boolean(),
			(ids, type, name, at, batched, copies) => {
				const shape = batched ? [1, ids.length] : [ids.length];
				const mask: Tensor = { name: 'attention_mask', datatype: 'INT64', shape, data: ids.map(() => 1) };
				const tensor: Tensor = { name, datatype: type, shape, data: ids };
				const wanted = asList(ids);
				t.deepEqual(wanted.ids, ids);
				for (const tensors of [[tensor], [mask, tensor], [tensor, mask]]) {
					t.deepEqual(overJson(tensors), wanted);
					t.deepEqual(overBinary(tensors), wanted);
					for (const raw of [false, true]) t.deepEqual(overGrpc(tensors, raw, at, copies), wanted);
				}
				t.deepEqual(overJson([{ ...tensor, data: [ids] }]), wanted, 'nested as its shape is');
			},
		),
		{ seed, numRuns: 300 },
	);
});

test('several prompts in a tensor count all of their ids, and are known by no list', (t) => {
	const data = Array.from({ length: 30 }, (_, at) => at);
	const tensor: Tensor = { name: 'input_ids', datatype: 'INT32', shape: [3, 10], data };
	for (const got of [
		overJson([tensor]),
		overBinary([tensor]),
		...[false, true].map((raw) => overGrpc([tensor], raw, [7], false)),
	])
		t.like(got, { tokens: 30, ids: undefined });
	t.like(overJson([{ ...tensor, data: [data.slice(0, 10), data.slice(10, 20), data.slice(20)] }]), {
		tokens: 30,
		ids: undefined,
	});
});

test('what is no id is counted, and the prompt is known by no list', (t) => {
	for (const [datatype, value] of [
		['INT32', -1],
		['INT64', -1n],
		['INT64', 2n ** 40n],
		['UINT64', 2n ** 63n],
	] as const) {
		const tensor: Tensor = { name: 'input_ids', datatype, shape: [1, 3], data: [5, value, 7] };
		for (const got of [overBinary([tensor]), overGrpc([tensor], false, [], false), overGrpc([tensor], true, [], true)])
			t.like(got, { tokens: 3, ids: undefined }, `${datatype} ${value}`);
		t.like(overJson([{ ...tensor, data: [5, Number(value), 7] }]), { tokens: 3, ids: undefined });
	}
	const largest: Tensor = { name: 'input_ids', datatype: 'UINT32', shape: [1], data: [0xffff_ffff] };
	for (const got of [
		overJson([largest]),
		overBinary([largest]),
		overGrpc([largest], true, [], false),
		overGrpc([largest], false, [], false),
	])
		t.deepEqual(got.ids, [0xffff_ffff]);
});

test('numbers of other names and types are no ids, and a tensor that is none leaves the texts to be the prompt', (t) => {
	const none = { bytes: '', tokens: 0, ids: undefined };
	const pixels: Tensor = { name: 'pixels', datatype: 'INT32', shape: [3], data: [1, 2, 3] };
	const floats: Tensor = { name: 'input_ids', datatype: 'FP32', shape: [3], data: [1, 2, 3] };
	for (const tensors of [[pixels], [floats]])
		for (const got of [overJson(tensors), overBinary(tensors), overGrpc(tensors, true, [], false)])
			t.deepEqual(got, none);
	const text = { name: 'text_input', datatype: 'BYTES', shape: [1], data: ['hello'] };
	const both = overJson([text, { name: 'input_ids', datatype: 'INT32', shape: [0], data: [] }]);
	t.deepEqual(both, overJson([text]));
	t.is(
		overJson([text, { name: 'input_ids', datatype: 'INT32', shape: [1], data: [7] }]).tokens,
		1,
		'ids are all there is',
	);
});

test('raw tensors that are not as long as they say are not read; texts among them are', (t) => {
	const tensor = (size: unknown) => ({
		name: 'input_ids',
		datatype: 'INT32',
		shape: [2],
		parameters: { binary_data_size: size },
	});
	const found = (inputs: readonly unknown[], raw: Buffer): Laid => {
		const into = new PromptBuffer(PROMPT_MAX);
		collectPrompt({ inputs }, into, TENSORS, '', rawTensors(inputs, raw));
		return laid(into);
	};
	t.deepEqual(found([tensor(8)], Buffer.from([1, 0, 0, 0, 2, 0, 0, 0])).ids, [1, 2]);
	for (const size of [7, 9, -8, 4, 8.5, '8', null, Number.MAX_VALUE])
		t.is(found([tensor(size)], Buffer.alloc(8)).tokens, 0, String(size));
	t.is(found([tensor(6)], Buffer.alloc(6)).tokens, 0, 'no row of 32 bits');
	const raw = Buffer.concat([
		Buffer.from([5, 0, 0, 0]),
		Buffer.from('hello'),
		Buffer.from([1, 0, 0, 0]),
		Buffer.from('!'),
	]);
	const text = { name: 'text_input', datatype: 'BYTES', shape: [2], parameters: { binary_data_size: raw.length } };
	t.deepEqual(found([text], raw), overJson([{ name: 'text_input', datatype: 'BYTES', data: ['hello', '!'] }]));
	t.is(found([{ ...text, parameters: { binary_data_size: 8 } }], raw.subarray(0, 8)).tokens, 0, 'a text that is cut');
});

test('property: long lists of ids are taken out of a body of tensors, whatever stands before them', (t) => {
	t.log(`seed ${seed}`);
	const longs = new LongStrings(new SeededRandom(seed), 4096);
	fc.assert(
		fc.property(
			fc.integer({ min: 2000, max: 4000 }),
			fc.boolean(),
			fc.boolean(),
			fc.nat(),
			(count, nested, first, from) => {
				const ids = Array.from({ length: count }, (_, at) => (from + at * 7919) >>> 0);
				const of = (name: string, data: readonly number[]) => ({
					name,
					datatype: 'INT64',
					shape: [1, count],
					data: nested ? [data] : data,
				});
				const tensors = [
					of(
						'attention_mask',
						ids.map(() => 1),
					),
					of('input_ids', ids),
				];
				const got = overJson(first ? tensors : tensors.toReversed(), longs);
				t.deepEqual(got, asList(ids));
			},
		),
		{ seed, numRuns: 50 },
	);
});
