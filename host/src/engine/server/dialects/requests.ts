// Owns turning bodies of other dialects into the generator's request: each is mapped to what it means as a chat or a completion.
import { chatRequest, completionRequest, type GenerationRequest } from '../generation-request.js';
import { type Body, isObject, optionalObject, optionalString, refuse, requiredString } from '../request-fields.js';

/** TGI's default. */
const TGI_MAX_TOKENS = 100;
/** Triton's vLLM backend's default. */
const KSERVE_MAX_TOKENS = 16;

export type Message = Readonly<Record<string, unknown>>;

/** Anthropic's `POST /v1/messages`. */
export function messagesRequest(body: Body, choicesMax: number): GenerationRequest {
	if (typeof body['max_tokens'] !== 'number') refuse('max_tokens', 'is required');
	const { system, messages, stop_sequences: stop, ...rest } = body;
	const head = system === undefined ? [] : [{ role: 'system', content: system }];
	const all = Array.isArray(messages) ? [...head, ...(messages as unknown[])] : messages;
	return chatRequest({ ...rest, messages: all, stop, tools: undefined, tool_choice: undefined }, choicesMax);
}

/** `input` and `instructions` of `POST /v1/responses`, after the conversation it goes on from, as chat messages. */
export function responsesMessages(body: Body, before: readonly Message[]): Message[] {
	const { input } = body;
	const instructions = optionalString(body, 'instructions');
	const head = instructions === undefined ? [] : [{ role: 'system', content: instructions }];
	if (typeof input === 'string') return [...head, ...before, { role: 'user', content: input }];
	if (!Array.isArray(input)) refuse('input', 'must be a string or a list of items');
	return [...head, ...before, ...input.map(itemMessage)];
}

function itemMessage(item: unknown, at: number): Message {
	if (!isObject(item)) return refuse(`input[${at}]`, 'must be an object');
	if (typeof item['role'] === 'string') return { role: item['role'], content: item['content'] };
	if (item['type'] === 'function_call_output') return { role: 'tool', content: item['output'] };
	return { role: 'assistant', content: JSON.stringify(item) };
}

/** `POST /v1/responses`, its messages made by `responsesMessages`. */
export function responsesRequest(body: Body, messages: readonly Message[], choicesMax: number): GenerationRequest {
	return chatRequest(
		{
			model: body['model'],
			messages,
			max_tokens: body['max_output_tokens'],
			stream: body['stream'],
			seed: body['seed'],
			ignore_eos: body['ignore_eos'],
		},
		choicesMax,
	);
}

/** TGI's `/generate` and `/generate_stream`: there is one model, and nobody names it. */
export function tgiRequest(body: Body, model: string, stream: boolean, choicesMax: number): GenerationRequest {
	const parameters = optionalObject(body, 'parameters') ?? {};
	const wanted = {
		model,
		prompt: requiredString(body, 'inputs'),
		stream,
		max_tokens: parameters['max_new_tokens'] ?? TGI_MAX_TOKENS,
		stop: parameters['stop'],
		seed: parameters['seed'],
	};
	return completionRequest(wanted, choicesMax);
}

/** SGLang's `/generate`. */
export function sglangRequest(body: Body, model: string, choicesMax: number): GenerationRequest {
	const parameters = optionalObject(body, 'sampling_params') ?? {};
	const wanted = {
		model,
		prompt: body['text'] ?? body['input_ids'],
		stream: body['stream'],
		max_tokens: parameters['max_new_tokens'],
		stop: parameters['stop'],
		ignore_eos: parameters['ignore_eos'],
		seed: parameters['sampling_seed'],
	};
	return completionRequest(wanted, choicesMax);
}

/** vLLM's `/inference/v1/generate`: token ids in, token ids out. */
export function tokensRequest(body: Body, model: string, choicesMax: number): GenerationRequest {
	const parameters = optionalObject(body, 'sampling_params') ?? refuse('sampling_params', 'is required');
	const ids = body['token_ids'];
	if (!Array.isArray(ids) || ids.length === 0 || typeof ids[0] !== 'number')
		refuse('token_ids', 'must be a list of token ids');
	const wanted = {
		...parameters,
		model: body['model'] ?? model,
		prompt: ids,
		stream: body['stream'],
		stream_options: body['stream_options'],
		cache_salt: body['cache_salt'],
	};
	return completionRequest(wanted, choicesMax);
}

/** Triton's generate extension. Its parameters stand in the body or in `parameters`. */
export function kserveRequest(body: Body, model: string, stream: boolean, choicesMax: number): GenerationRequest {
	const given: Body = { ...optionalObject(body, 'parameters'), ...body };
	const wanted = {
		model,
		prompt: requiredString(body, 'text_input'),
		stream,
		max_tokens: given['max_tokens'] ?? KSERVE_MAX_TOKENS,
		stop: given['stop_words'],
		seed: given['random_seed'],
	};
	return completionRequest(wanted, choicesMax);
}
