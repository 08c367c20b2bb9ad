// Owns OpenAI's responses on an emulated engine: they are stored, bounded in number, and can be read, gone on from, cancelled and deleted. One in the background
// goes on when its client has left.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../../errors.js';
import { createdSeconds, type EngineContext, newId } from '../engine-context.js';
import { faultBeforeWork, generationContext, serveBody } from '../generate-route.js';
import { type ChoiceState, Generation, type Usage } from '../generation.js';
import { assertModel } from '../generation-request.js';
import { readJsonObject, sendJson } from '../http-io.js';
import type { Chunk, ReplyFormat } from '../reply-format.js';
import { type Body, optionalString } from '../request-fields.js';
import { type Message, responsesMessages, responsesRequest } from './requests.js';

interface Stored {
	response: Readonly<Record<string, unknown>>;
	/** The conversation up to and with the answer. */
	messages: readonly Message[];
	cancel: (() => void) | undefined;
}

const STORED_MAX = 1024;

/** The responses an engine remembers, the oldest forgotten first. */
export class ResponseStore {
	readonly #stored = new Map<string, Stored>();

	/** Throws `IM_ENGINE_RESPONSE_UNKNOWN`. */
	get(id: string): Stored {
		const found = this.#stored.get(id);
		if (found !== undefined) return found;
		throw new MeshError(
			engineErrors,
			'IM_ENGINE_RESPONSE_UNKNOWN',
			`Response with id '${id.slice(0, 200)}' not found.`,
		);
	}

	put(id: string, stored: Stored): void {
		this.#stored.set(id, stored);
		const [oldest] = this.#stored.keys();
		if (this.#stored.size > STORED_MAX && oldest !== undefined) this.#stored.delete(oldest);
	}

	delete(id: string): void {
		this.get(id).cancel?.();
		this.#stored.delete(id);
	}
}

export async function serveResponses(
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	const body = await readJsonObject(request, engine.options.bodyBytesMax);
	if (response.destroyed) return;
	const previous = optionalString(body, 'previous_response_id');
	const before = previous === undefined ? [] : engine.responses.get(previous).messages;
	const messages = responsesMessages(body, before);
	const draft = new Draft(engine, body, messages);
	if (body['background'] === true) return inBackground(engine, response, draft, body, messages);
	const parse = (given: Body, choicesMax: number) => responsesRequest(given, messages, choicesMax);
	await serveBody(engine, request, response, body, parse, () => responsesFormat(draft));
}

/** Answers at once; the work goes on by itself. */
function inBackground(
	engine: EngineContext,
	response: ServerResponse,
	draft: Draft,
	body: Body,
	messages: readonly Message[],
): void {
	const { options } = engine;
	const request = responsesRequest(body, messages, options.choicesMax);
	assertModel(request.model, options.models);
	if (faultBeforeWork(engine)) return;
	const generation: Generation = new Generation(generationContext(engine), request, {
		onText: () => undefined,
		onDone: () => draft.done(generation.choices[0] as ChoiceState, generation.usage),
	});
	generation.start(0);
	draft.keep('in_progress', [], null, () => {
		generation.cancel();
		draft.keep('cancelled', [], null, undefined);
	});
	sendJson(response, 200, engine.responses.get(draft.id).response);
}

/** A response in the making. */
class Draft {
	readonly id: string;
	readonly itemId: string;
	readonly #engine: EngineContext;
	readonly #body: Body;
	readonly #messages: readonly Message[];
	readonly #createdS: number;

	constructor(engine: EngineContext, body: Body, messages: readonly Message[]) {
		this.id = `resp_${newId(engine)}`;
		this.itemId = `msg_${newId(engine)}`;
		this.#engine = engine;
		this.#body = body;
		this.#messages = messages;
		this.#createdS = createdSeconds(engine);
	}

	object(status: string, output: readonly unknown[], usage: unknown): Readonly<Record<string, unknown>> {
		const { model, previous_response_id: previous, instructions, metadata } = this.#body;
		return {
			id: this.id,
			object: 'response',
			created_at: this.#createdS,
			status,
			background: this.#body['background'] === true,
			error: null,
			incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
			instructions: instructions ?? null,
			metadata: metadata ?? {},
			model,
			output,
			parallel_tool_calls: true,
			previous_response_id: previous ?? null,
			tool_choice: 'auto',
			tools: [],
			usage,
		};
	}

	item(text: string, status: string): object {
		const content = status === 'in_progress' ? [] : [this.part(text)];
		return { id: this.itemId, type: 'message', role: 'assistant', status, content };
	}

	part(text: string): object {
		return { type: 'output_text', text, annotations: [] };
	}

	/** The whole response, stored. */
	done(choice: ChoiceState, usage: Usage): Readonly<Record<string, unknown>> {
		const status = choice.finishReason === 'length' ? 'incomplete' : 'completed';
		return this.keep(status, [this.item(choice.text, 'completed')], usageOf(usage), undefined, choice.text);
	}

	keep(
		status: string,
		output: readonly unknown[],
		usage: unknown,
		cancel: (() => void) | undefined,
		text?: string,
	): Readonly<Record<string, unknown>> {
		const response = this.object(status, output, usage);
		const said = text === undefined ? [] : [{ role: 'assistant', content: text }];
		if (this.#body['store'] !== false)
			this.#engine.responses.put(this.id, { response, messages: [...this.#messages, ...said], cancel });
		return response;
	}
}

function usageOf({ promptTokens, cachedTokens, completionTokens }: Usage): object {
	return {
		input_tokens: promptTokens,
		input_tokens_details: { cached_tokens: cachedTokens },
		output_tokens: completionTokens,
		output_tokens_details: { reasoning_tokens: 0 },
		total_tokens: promptTokens + completionTokens,
	};
}

function responsesFormat(draft: Draft): ReplyFormat {
	let sequence = 0;
	const event = (type: string, value: object): Chunk => [
		type,
		JSON.stringify({ type, sequence_number: sequence++, ...value }),
	];
	const place = { item_id: draft.itemId, output_index: 0, content_index: 0 };
	const delta = (text: string): Chunk => event('response.output_text.delta', { ...place, delta: text, logprobs: [] });
	return {
		done: false,
		whole: (choices, usage) => JSON.stringify(draft.done(choices[0] as ChoiceState, usage)),
		chunks(choice, text) {
			if (choice.tokens > 1) return text === '' ? [] : [delta(text)];
			const begun = draft.object('in_progress', [], null);
			return [
				event('response.created', { response: begun }),
				event('response.in_progress', { response: begun }),
				event('response.output_item.added', { output_index: 0, item: draft.item('', 'in_progress') }),
				event('response.content_part.added', { ...place, part: draft.part('') }),
				delta(text),
			];
		},
		closing(choices, usage) {
			const choice = choices[0] as ChoiceState;
			const response = draft.done(choice, usage);
			return [
				event('response.output_text.done', { ...place, text: choice.text, logprobs: [] }),
				event('response.content_part.done', { ...place, part: draft.part(choice.text) }),
				event('response.output_item.done', { output_index: 0, item: draft.item(choice.text, 'completed') }),
				event(`response.${String(response['status'])}`, { response }),
			];
		},
	};
}

export function readResponse(engine: EngineContext, id: string, response: ServerResponse): void {
	sendJson(response, 200, engine.responses.get(id).response);
}

export function deleteResponse(engine: EngineContext, id: string, response: ServerResponse): void {
	engine.responses.delete(id);
	sendJson(response, 200, { id, object: 'response', deleted: true });
}

/** Only what runs in the background can be cancelled; anything else is answered as it stands. */
export function cancelResponse(engine: EngineContext, id: string, response: ServerResponse): void {
	engine.responses.get(id).cancel?.();
	sendJson(response, 200, engine.responses.get(id).response);
}
