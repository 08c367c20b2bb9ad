// Owns turning a chat or completion body into one request for the generator: prompts, limits, and what to say if not
// prose.
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../errors.js';
import { renderChat } from './chat-template.js';
import { type Prompt, promptFromIds, promptFromText, textSeed } from './prompt.js';
import {
	type Body,
	isObject,
	optionalBoolean,
	optionalInteger,
	optionalObject,
	optionalString,
	refuse,
	requiredString,
	stringList,
} from './request-fields.js';

/** A tool the answer must call. */
export interface ForcedTool {
	readonly name: string;
	readonly parameters: unknown;
	/** A named choice finishes with `stop`, a required one with `tool_calls`, as OpenAI and vLLM have it. */
	readonly named: boolean;
}

export interface GenerationRequest {
	readonly kind: 'chat' | 'completion';
	readonly model: string;
	readonly prompts: readonly Prompt[];
	/** Choices for each prompt. */
	readonly choices: number;
	readonly stream: boolean;
	readonly includeUsage: boolean;
	readonly continuousUsage: boolean;
	/** Absent: as much as the context allows. */
	readonly maxTokens: number | undefined;
	readonly minTokens: number;
	readonly ignoreEos: boolean;
	readonly seed: number | undefined;
	readonly stops: readonly string[];
	readonly includeStop: boolean;
	readonly tool: ForcedTool | undefined;
	/** The schema the answer must follow; an empty one for any JSON object. */
	readonly jsonSchema: unknown;
	readonly cacheSalt: number;
	/** The LoRA adapter it asks for as SGLang's requests do; '' = none. */
	readonly lora: string;
}

const STOPS_MAX = 16;
const MESSAGES_MAX = 16_384;
const TOKENS_MAX = 2 ** 31 - 1;
/** OpenAI's and vLLM's default for the completions endpoint. */
const COMPLETION_MAX_TOKENS = 16;

/** Reads a `POST /v1/chat/completions` body. */
export function chatRequest(body: Body, choicesMax: number): GenerationRequest {
	const messages = body['messages'];
	if (!Array.isArray(messages) || messages.length === 0) refuse('messages', 'must be a list with at least one message');
	if (messages.length > MESSAGES_MAX) refuse('messages', `must have at most ${MESSAGES_MAX} entries`);
	const tools = toolList(body);
	return {
		...common(body, 'chat', choicesMax),
		prompts: [promptFromText(renderChat(messages, tools))],
		maxTokens:
			optionalInteger(body, 'max_completion_tokens', 1, TOKENS_MAX) ??
			optionalInteger(body, 'max_tokens', 1, TOKENS_MAX),
		tool: forcedTool(body, tools),
		jsonSchema: jsonSchema(body),
	};
}

/** Reads a `POST /v1/completions` body. */
export function completionRequest(body: Body, choicesMax: number): GenerationRequest {
	const prompts = promptList(body, 'prompt', choicesMax);
	const request = common(body, 'completion', choicesMax);
	if (prompts.length * request.choices > choicesMax) refuse('prompt', `times n must be at most ${choicesMax}`);
	return {
		...request,
		prompts,
		maxTokens: optionalInteger(body, 'max_tokens', 1, TOKENS_MAX) ?? COMPLETION_MAX_TOKENS,
		tool: undefined,
		jsonSchema: jsonSchema(body),
	};
}

/** A prompt field: text, a list of texts, token ids, or a list of token id lists. */
export function promptList(body: Body, field: string, most: number): Prompt[] {
	const value = body[field];
	if (typeof value === 'string') return [promptFromText(value)];
	if (!Array.isArray(value) || value.length === 0) refuse(field, 'must be a string, token ids, or a list of these');
	if (isTokenIds(value)) return [promptFromIds(value)];
	if (value.length > most) refuse(field, `must have at most ${most} entries`);
	return value.map((entry: unknown) => {
		if (typeof entry === 'string') return promptFromText(entry);
		return isTokenIds(entry) ? promptFromIds(entry) : refuse(field, 'must be a string, token ids, or a list of these');
	});
}

function isTokenIds(value: unknown): value is number[] {
	if (!Array.isArray(value) || value.length === 0) return false;
	return value.every((id) => Number.isInteger(id) && (id as number) >= 0 && (id as number) <= 0xffffffff);
}

type Common = Omit<GenerationRequest, 'prompts' | 'maxTokens' | 'tool' | 'jsonSchema'>;

function common(body: Body, kind: GenerationRequest['kind'], choicesMax: number): Common {
	const stream = optionalBoolean(body, 'stream');
	const streamOptions = optionalObject(body, 'stream_options');
	if (streamOptions !== undefined && !stream) refuse('stream_options', 'can only be given when stream is true');
	const stops = stringList(body, 'stop', STOPS_MAX);
	if (stops.includes('')) refuse('stop', 'must not hold an empty string');
	const salt = optionalString(body, 'cache_salt');
	return {
		kind,
		model: requiredString(body, 'model'),
		choices: optionalInteger(body, 'n', 1, choicesMax) ?? 1,
		stream,
		includeUsage: streamOptions !== undefined && optionalBoolean(streamOptions, 'include_usage'),
		continuousUsage: streamOptions !== undefined && optionalBoolean(streamOptions, 'continuous_usage_stats'),
		minTokens: optionalInteger(body, 'min_tokens', 0, TOKENS_MAX) ?? 0,
		ignoreEos: optionalBoolean(body, 'ignore_eos'),
		seed: optionalInteger(body, 'seed', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
		stops,
		includeStop: optionalBoolean(body, 'include_stop_str_in_output'),
		cacheSalt: salt === undefined ? 0 : textSeed(salt),
		lora: loraName(body['lora_path']),
	};
}

/** What a metrics label of names with commas between them can hold. */
const LORA_NAME = /^[^,\s]{1,256}$/;

function loraName(value: unknown): string {
	return typeof value === 'string' && LORA_NAME.test(value) ? value : '';
}

interface Tool {
	readonly name: string;
	readonly parameters: unknown;
}

function toolList(body: Body): Tool[] {
	const tools = body['tools'];
	if (tools === undefined || tools === null) return [];
	if (!Array.isArray(tools)) refuse('tools', 'must be a list');
	return tools.map((tool: unknown, i) => {
		const definition = isObject(tool) ? tool['function'] : undefined;
		if (!isObject(definition) || typeof definition['name'] !== 'string') {
			return refuse(`tools[${i}]`, 'must be {"type": "function", "function": {"name": ...}}');
		}
		return { name: definition['name'], parameters: definition['parameters'] ?? { type: 'object' } };
	});
}

/** The tool a request forces. With `auto` the emulated model never chooses to call one. */
function forcedTool(body: Body, tools: readonly Tool[]): ForcedTool | undefined {
	const choice = body['tool_choice'];
	if (choice === undefined || choice === null || choice === 'none' || choice === 'auto') return undefined;
	if (tools.length === 0) refuse('tool_choice', 'needs tools');
	if (choice === 'required') return { ...(tools[0] as Tool), named: false };
	const wanted = isObject(choice) && isObject(choice['function']) ? choice['function']['name'] : undefined;
	const tool = tools.find(({ name }) => name === wanted);
	if (tool === undefined) refuse('tool_choice', 'must be none, auto, required, or name one of the tools');
	return { ...tool, named: true };
}

function jsonSchema(body: Body): unknown {
	const format = optionalObject(body, 'response_format');
	switch (format?.['type']) {
		case undefined:
		case 'text':
			return undefined;
		case 'json_object':
			return { type: 'object', properties: { answer: { type: 'string' } } };
		case 'json_schema': {
			const given = format?.['json_schema'];
			if (isObject(given) && isObject(given['schema'])) return given['schema'];
			return refuse('response_format.json_schema', 'must hold a schema');
		}
		default:
			return refuse('response_format.type', 'must be text, json_object or json_schema');
	}
}

/** Throws `IM_ENGINE_MODEL_NOT_FOUND` unless the engine serves this model. */
export function assertModel(model: string, served: readonly string[]): void {
	if (served.includes(model)) return;
	throw new MeshError(
		engineErrors,
		'IM_ENGINE_MODEL_NOT_FOUND',
		`The model \`${model.slice(0, 200)}\` does not exist.`,
		{
			where: 'model',
		},
	);
}
