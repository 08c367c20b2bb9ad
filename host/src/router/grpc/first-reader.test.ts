// What is read of first messages against messages that are decoded whole: whatever they hold and however they are cut, the same prompt is found, and it is the one that the
// same request over HTTP has.
import { ModelInferRequest } from '@infermesh/proto/inference';
import test from 'ava';
import * as fc from 'fast-check';
import { collectPrompt, layTexts } from '../prompt.js';
import { PromptBuffer } from '../prompt-buffer.js';
import { bytesField } from './answers.js';
import { FieldScanner } from './field-scanner.js';
import { kserveFields, predictFields, predictionsFields } from './first-fields.js';
import { FirstReader } from './first-reader.js';
import { frameOf } from './frames.js';
import { MessageCounter } from './message-counter.js';

const seed = 20_261_126;
const PROMPT_MAX = 4096;

function read(pieces: readonly Buffer[], fields = kserveFields, copies = false, bytesMax = PROMPT_MAX) {
	const reader = new FirstReader({ bytesMax, copies });
	const scanner = new FieldScanner(fields, 512, reader);
	for (const piece of pieces) scanner.push(piece);
	if (!scanner.end()) return undefined;
	const { texts, bytes } = reader.texts.prompt();
	const ids = reader.ids
		.prompt()
		.map((one) => [one.form, one.count, one.rows, Buffer.concat(one.pieces).toString('hex')] as const);
	return { reader, bytes, ids, texts: texts.map((parts) => Buffer.concat(parts).toString()) };
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
	const edges = [0, ...at.map((one) => one % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
	return edges.slice(1).map((edge, i) => bytes.subarray(edges[i] as number, edge));
}

interface Input {
	readonly name: string;
	readonly datatype: string;
	readonly elements: readonly string[];
}

function rawOf(elements: readonly string[]): Buffer {
	return Buffer.concat(
		elements.flatMap((element) => {
			const length = Buffer.alloc(4);
			length.writeUInt32LE(Buffer.byteLength(element));
			return [length, Buffer.from(element)];
		}),
	);
}

function request(inputs: readonly Input[], raw: boolean): ModelInferRequest {
	const contents = (elements: readonly string[]) => ({
		boolContents: [],
		intContents: [],
		int64Contents: [],
		uintContents: [],
		uint64Contents: [],
		fp32Contents: [],
		fp64Contents: [],
		bytesContents: elements.map((element) => Buffer.from(element)),
	});
	return {
		modelName: 'm',
		modelVersion: '',
		id: '',
		parameters: {},
		inputs: inputs.map(({ name, datatype, elements }) => ({
			name,
			datatype,
			shape: [BigInt(elements.length)],
			parameters: {},
			contents: raw || datatype !== 'BYTES' ? undefined : contents(elements),
		})),
		outputs: [],
		rawInputContents: raw
			? inputs.map(({ datatype, elements }) => (datatype === 'BYTES' ? rawOf(elements) : Buffer.alloc(7)))
			: [],
	};
}

/** What HTTP's layout makes of the same inputs. */
function overHttp(inputs: readonly Input[]): Buffer {
	const buffer = new PromptBuffer(1 << 20);
	const body = { inputs: inputs.map(({ name, datatype, elements }) => ({ name, datatype, data: elements })) };
	collectPrompt(body, buffer, [{ member: 'inputs', as: 'tensors' }]);
	return Buffer.from(buffer.bytes);
}

const inputs = fc.uniqueArray(
	fc.record({
		name: fc.constantFrom('text_input', 'PROMPT', 'stop_words', 'image', 'sampling_parameters'),
		datatype: fc.constantFrom('BYTES', 'BYTES', 'FP32'),
		elements: fc.array(fc.string({ maxLength: 40 }), { maxLength: 4 }),
	}),
	{ selector: ({ name }) => name, maxLength: 5 },
);
const cuts = fc.array(fc.nat(10_000), { maxLength: 8 });

test('the prompt of any request is what HTTP has of it, as fields or raw, wherever it is cut', (t) => {
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(inputs, fc.boolean(), cuts, fc.boolean(), (given, raw, at, copies) => {
			const texts = given.filter(({ datatype }) => datatype === 'BYTES');
			const message = Buffer.from(ModelInferRequest.encode(request(given, raw)).finish());
			const pieces = cut(message, at);
			const reader = new FirstReader({ bytesMax: PROMPT_MAX, copies });
			const scanner = new FieldScanner(kserveFields, 512, reader);
			for (const piece of pieces) scanner.push(piece);
			t.true(scanner.end());
			const laid = new PromptBuffer(1 << 20);
			layTexts(reader.texts.prompt().texts, laid);
			t.deepEqual(Buffer.from(laid.bytes), overHttp(texts));
			const kept = reader.texts
				.prompt()
				.texts.flat()
				.reduce((sum, { length }) => sum + length, 0);
			t.is(reader.texts.copiedBytes, copies ? kept : 0);
		}),
		{ seed, numRuns: 1000 },
	);
});

test('names of prompts count, and others where there are none', (t) => {
	const text = { name: 'text_input', datatype: 'BYTES', elements: ['hello'] };
	const stop = { name: 'stop_words', datatype: 'BYTES', elements: ['.'] };
	const found = (given: readonly Input[], raw = false) =>
		read([Buffer.from(ModelInferRequest.encode(request(given, raw)).finish())])?.texts;
	t.deepEqual(found([text, stop]), ['hello']);
	t.deepEqual(found([stop, text], true), ['hello']);
	t.deepEqual(found([stop]), ['.']);
	t.deepEqual(found([]), []);
	t.deepEqual(found([{ name: 'pixels', datatype: 'FP32', elements: [] }], true), []);
});

function numberField(field: number, value: number): Buffer {
	return Buffer.from([field * 8, value]);
}

test('raw bytes that are no row of elements, or of fewer tensors, are no prompt', (t) => {
	const tensor = (name: string): Buffer =>
		bytesField(5, Buffer.concat([bytesField(1, Buffer.from(name)), bytesField(2, Buffer.from('BYTES'))]));
	const texts = (raws: readonly Buffer[], names = ['text_input']) =>
		read([Buffer.concat([...names.map(tensor), ...raws.map((raw) => bytesField(7, raw))])])?.texts;
	t.deepEqual(texts([rawOf(['a', '', 'b'])]), ['a', '', 'b']);
	t.deepEqual(texts([Buffer.from([9, 0, 0, 0, 0x61])]), []);
	t.deepEqual(texts([Buffer.from([1, 0, 0])]), []);
	t.deepEqual(texts([Buffer.from([0xff, 0xff, 0xff, 0xff, 0x61])]), []);
	t.deepEqual(texts([rawOf(['b'])], ['shared', 'text_input']), []);
	t.deepEqual(texts([]), []);
});

test('the longest output and the sequence are read from parameters', (t) => {
	const parameter = (name: string, value: Buffer): Buffer =>
		bytesField(4, Buffer.concat([bytesField(1, Buffer.from(name)), bytesField(2, value)]));
	const of = (...fields: readonly Buffer[]) => read([Buffer.concat(fields)])?.reader;
	t.like(of(parameter('max_tokens', numberField(2, 7)), parameter('x', numberField(2, 9))), {
		tokensOutMax: 7,
		sequence: '',
	});
	t.is(of(parameter('sequence_id', numberField(2, 5)))?.sequence, '5');
	t.is(of(parameter('sequence_id', numberField(2, 0)))?.sequence, '');
	t.is(of(parameter('sequence_id', bytesField(3, Buffer.from('abc'))))?.sequence, 'abc');
	const most = Buffer.from([0x10, ...Array.from({ length: 9 }, () => 0xff), 0x01]);
	t.is(of(parameter('max_tokens', most))?.tokensOutMax, 0, 'minus one');
});

test('texts of TensorFlow’s tensors come by name, in whatever order the map has them', (t) => {
	const entry = (name: string, ...texts: readonly string[]): Buffer => {
		const value = Buffer.concat([numberField(1, 7), ...texts.map((text) => bytesField(8, Buffer.from(text)))]);
		return bytesField(2, Buffer.concat([bytesField(1, Buffer.from(name)), bytesField(2, value)]));
	};
	const spec = bytesField(1, bytesField(1, Buffer.from('tf')));
	const texts = (...fields: readonly Buffer[]) => read([Buffer.concat([spec, ...fields])], predictFields)?.texts;
	t.deepEqual(texts(entry('b', 'two'), entry('a', 'one', 'more')), ['one', 'more', 'two']);
	t.deepEqual(texts(entry('a', 'one', 'more'), entry('b', 'two')), ['one', 'more', 'two']);
	t.deepEqual(texts(entry('a', 'one'), entry('prompt', 'this')), ['this']);
	t.is(read([spec], predictFields)?.reader.model, 'tf');
});

test('TorchServe’s inputs come by name, with the sequence they are of', (t) => {
	const entry = (name: string, value: string): Buffer =>
		bytesField(3, Buffer.concat([bytesField(1, Buffer.from(name)), bytesField(2, Buffer.from(value))]));
	const model = bytesField(1, Buffer.from('ts'));
	const sequence = bytesField(4, Buffer.from('s-7'));
	const of = (...fields: readonly Buffer[]) => read([Buffer.concat([model, ...fields])], predictionsFields);
	t.like(of(entry('b', 'two'), entry('a', 'one')), { texts: ['one', 'two'], bytes: 6 });
	t.like(of(entry('height', '100'), entry('data', 'a text')), { texts: ['a text'], bytes: 6 });
	t.is(of(entry('data', 'x'), sequence)?.reader.sequence, 's-7');
	t.is(of(entry('data', 'x'))?.reader.sequence, '');
	t.is(of(sequence)?.reader.model, 'ts');
});

const counts = (prompt: number, message: number): number => 1_000_000 * prompt + message;

test('what follows the first message counts, message by message, however it is cut', (t) => {
	t.log(`seed ${seed}`);
	const options = {
		fields: kserveFields,
		nameBytesMax: 512,
		tokensOf: (of: FirstReader | undefined, message: number) => counts(of?.texts.prompt().bytes ?? 0, message),
	};
	fc.assert(
		fc.property(
			fc.array(fc.tuple(inputs, fc.boolean(), fc.constantFrom(0, 0, 1)), { maxLength: 5 }),
			cuts,
			(sent, at) => {
				const messages = sent.map(([given, raw]) =>
					Buffer.from(ModelInferRequest.encode(request(given, raw)).finish()),
				);
				const frames = messages.map((message, place) => {
					const frame = frameOf(message);
					frame[0] = sent[place]?.[2] ?? 0;
					return frame;
				});
				const wanted = messages.map((message, place) =>
					counts(sent[place]?.[2] === 1 ? 0 : (read([message])?.bytes ?? 0), message.length),
				);
				const counted: number[] = [];
				const counter = new MessageCounter(options, (tokens) => counted.push(tokens));
				for (const piece of cut(Buffer.concat(frames), at)) counter.push(piece);
				t.deepEqual(counted, wanted);
			},
		),
		{ seed, numRuns: 300 },
	);
	const counted: number[] = [];
	const counter = new MessageCounter(options, (tokens) => counted.push(tokens));
	counter.push(Buffer.concat([frameOf(Buffer.from([0xff, 0xff])), frameOf(Buffer.alloc(0))]));
	t.deepEqual(counted, [2, 0], 'what is no message counts by its bytes; the engine will say what it is');
});

test('what is kept is bounded, however a message is made: it is the beginning of the prompt', (t) => {
	const many = request(
		[{ name: 'text_input', datatype: 'BYTES', elements: Array.from({ length: 9000 }, () => 'a') }],
		false,
	);
	const message = Buffer.from(ModelInferRequest.encode(many).finish());
	const found = read([message]);
	t.is(found?.bytes, 9000);
	t.true((found?.texts.length ?? 0) <= 2048);
	const long = request([{ name: 'text_input', datatype: 'BYTES', elements: ['b'.repeat(10_000)] }], true);
	const cutFinely = Array.from(Buffer.from(ModelInferRequest.encode(long).finish()), (byte) => Buffer.from([byte]));
	const kept = read(cutFinely, kserveFields, true, 5000);
	t.is(kept?.bytes, 10_000);
	t.is(kept?.texts.join('').length, 4095, 'pieces');
	t.is(kept?.reader.texts.copiedBytes, 4095);
	t.is(read([Buffer.concat(cutFinely)], kserveFields, true, 5000)?.texts[0]?.length, 5000);
	const tensors = request(
		Array.from({ length: 100 }, (_, at) => ({ name: `t${at}`, datatype: 'BYTES', elements: ['c'] })),
		false,
	);
	t.is(read([Buffer.from(ModelInferRequest.encode(tensors).finish())])?.texts.length, 64);
});

test('random bytes never throw, and say the same however they are cut', (t) => {
	t.log(`seed ${seed}`);
	let found = 0;
	// Bytes that make fields of the tree likely.
	const likely = fc.array(
		fc.oneof(
			fc.constantFrom(0x0a, 0x2a, 0x22, 0x3a, 0x12, 0x42, 0x10, 1, 2, 4, 6),
			fc.nat(255),
			fc.constantFrom('token_ids', 'INT32', 'INT64').map((name) => withHead(0x0a, [...Buffer.from(name)])),
			fc.constantFrom('INT32', 'UINT64').map((type) => withHead(0x12, [...Buffer.from(type)])),
			fc.array(fc.nat(255), { maxLength: 9 }).map((packed) => withHead(0x2a, withHead(0x12, packed))),
			fc.array(fc.nat(255), { maxLength: 8 }).map((packed) => tensorBytes(withHead(0x2a, withHead(0x1a, packed)))),
			fc.array(fc.nat(255), { maxLength: 16 }).map((raw) => tensorBytes([]).concat(withHead(0x3a, raw))),
		),
		{
			maxLength: 120,
		},
	);
	fc.assert(
		fc.property(likely, cuts, fc.constantFrom(kserveFields, predictFields), (bytes, at, fields) => {
			const message = Buffer.from(bytes.flat());
			const whole = read([message], fields);
			found += whole?.ids.length ?? 0;
			const parts = read(cut(message, at), fields);
			t.deepEqual([parts?.texts, parts?.bytes, parts?.ids], [whole?.texts, whole?.bytes, whole?.ids]);
			t.deepEqual(
				[parts?.reader.model, parts?.reader.tokensOutMax, parts?.reader.sequence],
				[whole?.reader.model, whole?.reader.tokensOutMax, whole?.reader.sequence],
			);
		}),
		{ seed, numRuns: 5000 },
	);
	t.true(found > 100, `ids of ${found} tensors`);
});

/** A field of protobuf, short. */
function withHead(tag: number, bytes: readonly number[]): number[] {
	return [tag, bytes.length].concat(bytes);
}

/** A tensor of ids with these further fields. */
function tensorBytes(more: readonly number[]): number[] {
	const name = withHead(0x0a, [...Buffer.from('input_ids')]);
	return withHead(0x2a, name.concat(withHead(0x12, [...Buffer.from('INT64')]), more));
}
