// Owns the shapes of answers in other dialects than OpenAI's chat and completions: Anthropic's messages, TGI, SGLang's own, vLLM's of token ids, and Triton's
// generate extension.
import type { ChoiceState, Usage } from '../generation.js';
import type { GenerationRequest } from '../generation-request.js';
import { promptFromText, tokenIds } from '../prompt.js';
import { type Chunk, type ReplyFormat, type ReplyHead, usageObject } from '../reply-format.js';

function first(choices: readonly ChoiceState[]): ChoiceState {
	return choices[0] as ChoiceState;
}

/** An event whose type is its name. */
function named(name: string, value: object): Chunk {
	return [name, JSON.stringify({ type: name, ...value })];
}

/** Anthropic's messages. */
export function anthropicFormat({ id, model }: ReplyHead): ReplyFormat {
	const messageId = `msg_${id.slice(id.indexOf('-') + 1)}`;
	const usageOf = ({ promptTokens, cachedTokens }: Usage, outputTokens: number): object => ({
		input_tokens: promptTokens - cachedTokens,
		cache_creation_input_tokens: 0,
		cache_read_input_tokens: cachedTokens,
		output_tokens: outputTokens,
	});
	const reasonOf = ({ finishReason, stop }: ChoiceState): object => ({
		stop_reason: stop !== undefined ? 'stop_sequence' : finishReason === 'length' ? 'max_tokens' : 'end_turn',
		stop_sequence: stop ?? null,
	});
	const message = { id: messageId, type: 'message', role: 'assistant', model };
	return {
		done: false,
		whole(choices, usage) {
			const content = [{ type: 'text', text: first(choices).text }];
			const counts = usageOf(usage, usage.completionTokens);
			return JSON.stringify({ ...message, content, ...reasonOf(first(choices)), usage: counts });
		},
		chunks(choice, text, usage) {
			const delta = named('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });
			if (choice.tokens > 1) return text === '' ? [] : [delta];
			const empty = { content: [], stop_reason: null, stop_sequence: null, usage: usageOf(usage(), 1) };
			return [
				named('message_start', { message: { ...message, ...empty } }),
				named('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
				delta,
			];
		},
		closing: (choices, usage) => [
			named('content_block_stop', { index: 0 }),
			named('message_delta', { delta: reasonOf(first(choices)), usage: { output_tokens: usage.completionTokens } }),
			named('message_stop', {}),
		],
	};
}

/** TGI. `details` only where they are asked for, and with the last token of a stream. */
export function tgiFormat(wantsDetails: boolean): ReplyFormat {
	const detailsOf = ({ finishReason, stop, tokens }: ChoiceState): object => ({
		finish_reason: stop !== undefined ? 'stop_sequence' : finishReason === 'length' ? 'length' : 'eos_token',
		generated_tokens: tokens,
		seed: null,
	});
	return {
		done: false,
		whole(choices) {
			const choice = first(choices);
			const details = wantsDetails ? { details: { ...detailsOf(choice), prefill: [], tokens: [] } } : {};
			return JSON.stringify({ generated_text: choice.text, ...details });
		},
		chunks(choice, text) {
			const last = choice.finishReason !== undefined;
			const token = { id: choice.tokens, text, logprob: 0, special: false };
			const more = { generated_text: last ? choice.text : null, details: last ? detailsOf(choice) : null };
			return [JSON.stringify({ index: choice.tokens, token, ...more })];
		},
		closing: () => [],
		headers: ({ promptTokens, completionTokens }) => ({
			'x-prompt-tokens': String(promptTokens),
			'x-generated-tokens': String(completionTokens),
		}),
	};
}

/** SGLang's own `/generate`: each event has all of the text so far. */
export function sglangFormat({ id }: ReplyHead): ReplyFormat {
	const reply = (choice: ChoiceState, { promptTokens, completionTokens, cachedTokens }: Usage): string =>
		JSON.stringify({
			text: choice.text,
			meta_info: {
				id,
				finish_reason: choice.finishReason === undefined ? null : { type: choice.finishReason },
				prompt_tokens: promptTokens,
				completion_tokens: completionTokens,
				cached_tokens: cachedTokens,
			},
		});
	return {
		done: true,
		whole: (choices, usage) => reply(first(choices), usage),
		chunks: (choice, _text, usage) => [reply(choice, usage())],
		closing: () => [],
	};
}

/** vLLM's tokens out: ids, and no text. */
export function tokensFormat({ includeUsage }: GenerationRequest, { id, created, model }: ReplyHead): ReplyFormat {
	const head = { request_id: `generate-tokens-${id.slice(id.indexOf('-') + 1)}` };
	const choiceOf = ({ index, finishReason }: ChoiceState, text: string): object => ({
		index,
		logprobs: null,
		finish_reason: finishReason ?? null,
		token_ids: text === '' ? [] : tokenIds(promptFromText(text)),
	});
	return {
		done: true,
		whole: (choices, usage) =>
			JSON.stringify({
				id: head.request_id,
				created,
				model,
				choices: choices.map((choice) => choiceOf(choice, choice.text)),
				usage: usageObject(usage),
			}),
		chunks: (choice, text) => [JSON.stringify({ ...head, choices: [choiceOf(choice, text)] })],
		closing: (_choices, usage) =>
			includeUsage ? [JSON.stringify({ ...head, choices: [], usage: usageObject(usage) })] : [],
	};
}

/** Triton's generate extension: each event has the text that is new. */
export function kserveFormat({ model }: ReplyHead): ReplyFormat {
	const reply = (text: string): string => JSON.stringify({ model_name: model, model_version: '1', text_output: text });
	return {
		done: false,
		whole: (choices) => reply(first(choices).text),
		chunks: (_choice, text) => [reply(text)],
		closing: () => [],
	};
}
