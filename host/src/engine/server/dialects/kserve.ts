// Owns KServe v2 over HTTP on an emulated engine: metadata, health, Triton's generate extension, and inference of texts, which may come as JSON or as binary tensors.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EngineContext } from '../engine-context.js';
import { faultBeforeWork, generationContext, serve } from '../generate-route.js';
import { Generation } from '../generation.js';
import { assertModel, completionRequest } from '../generation-request.js';
import { readBody, sendJson } from '../http-io.js';
import { type Body, isObject, optionalString, refuse } from '../request-fields.js';
import { kserveFormat } from './formats.js';
import { kserveRequest } from './requests.js';

const HEADER_LENGTH = 'inference-header-content-length';
const MAX_TOKENS = 16;

export function kserveServer(response: ServerResponse): void {
	sendJson(response, 200, {
		name: 'infermesh-emulated',
		version: '0.1.0',
		extensions: ['generate', 'binary_tensor_data'],
	});
}

export function kserveModel(engine: EngineContext, model: string, response: ServerResponse): void {
	assertModel(model, engine.options.models);
	const text = { datatype: 'BYTES', shape: [-1] };
	sendJson(response, 200, {
		name: model,
		versions: ['1'],
		platform: 'infermesh_emulated',
		inputs: [
			{ name: 'text_input', ...text },
			{ name: 'max_tokens', datatype: 'INT32', shape: [1] },
		],
		outputs: [{ name: 'text_output', ...text }],
	});
}

export function kserveGenerate(
	engine: EngineContext,
	model: string,
	stream: boolean,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	const parse = (body: Body, choicesMax: number) => kserveRequest(body, model, stream, choicesMax);
	return serve(engine, request, response, parse, (_request, head) => kserveFormat(head));
}

/** One text out for each text in. */
export async function kserveInfer(
	engine: EngineContext,
	model: string,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	const { options } = engine;
	const bytes = await readBody(request, options.bodyBytesMax);
	if (response.destroyed) return;
	const { body, texts, maxTokens } = readInputs(bytes, request.headers[HEADER_LENGTH]);
	const parsed = completionRequest({ model, prompt: texts, max_tokens: maxTokens }, options.choicesMax);
	assertModel(model, options.models);
	if (faultBeforeWork(engine)) return;
	const generation: Generation = new Generation(generationContext(engine), parsed, {
		onText: () => undefined,
		onDone() {
			const data = generation.choices.map(({ text }) => text);
			const outputs = [{ name: 'text_output', datatype: 'BYTES', shape: [data.length], data }];
			sendJson(response, 200, { model_name: model, model_version: '1', id: optionalString(body, 'id'), outputs });
		},
	});
	generation.start(0);
	response.once('close', () => {
		if (!response.writableFinished) generation.cancel();
	});
}

interface Inputs {
	readonly body: Body;
	readonly texts: readonly string[];
	readonly maxTokens: number;
}

function readInputs(bytes: Buffer, headerLength: string | string[] | undefined): Inputs {
	const jsonBytes = headerLength === undefined ? bytes.length : Number(headerLength);
	if (!Number.isSafeInteger(jsonBytes) || jsonBytes < 0 || jsonBytes > bytes.length)
		refuse(HEADER_LENGTH, 'must be the length of the JSON before the tensors');
	const body = parseJson(bytes.toString('utf8', 0, jsonBytes));
	const { inputs } = body;
	if (!Array.isArray(inputs)) refuse('inputs', 'must be a list of tensors');
	let at = jsonBytes;
	let texts: readonly string[] = [];
	let maxTokens = MAX_TOKENS;
	for (const tensor of inputs as unknown[]) {
		if (!isObject(tensor)) return refuse('inputs', 'must be a list of tensors');
		const size = isObject(tensor['parameters']) ? tensor['parameters']['binary_data_size'] : undefined;
		const end = at + (typeof size === 'number' && size >= 0 ? size : 0);
		if (end > bytes.length) refuse('inputs', 'say more bytes than there are');
		const raw = bytes.subarray(at, end);
		at = end;
		if (tensor['name'] === 'text_input') texts = size === undefined ? jsonTexts(tensor['data']) : rawTexts(raw);
		if (tensor['name'] === 'max_tokens')
			maxTokens = size === undefined ? jsonNumber(tensor['data']) : raw.readInt32LE(0);
	}
	if (texts.length === 0) refuse('text_input', 'must be a tensor of texts');
	return { body, texts, maxTokens };
}

function parseJson(text: string): Body {
	let parsed: unknown;
	try {
		parsed = JSON.parse(text);
	} catch {
		refuse('body', 'is not valid JSON');
	}
	return isObject(parsed) ? parsed : refuse('body', 'must be a JSON object');
}

function jsonTexts(data: unknown): string[] {
	if (!Array.isArray(data) || !data.every((one) => typeof one === 'string')) refuse('text_input', 'must hold texts');
	return data;
}

function jsonNumber(data: unknown): number {
	const value: unknown = Array.isArray(data) ? data[0] : undefined;
	return typeof value === 'number' ? value : refuse('max_tokens', 'must hold a number');
}

/** Each text is its length in four bytes, and its bytes. */
function rawTexts(raw: Buffer): string[] {
	const texts: string[] = [];
	for (let at = 0; at < raw.length; ) {
		const end = at + 4 <= raw.length ? at + 4 + raw.readUInt32LE(at) : raw.length + 1;
		if (end > raw.length) refuse('text_input', 'is cut short');
		texts.push(raw.toString('utf8', at + 4, end));
		at = end;
	}
	return texts;
}
