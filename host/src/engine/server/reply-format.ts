// Owns the JSON shapes of chat and completion answers, streamed and whole, as vLLM writes them.
import type { ChoiceState, Usage } from './generation.js';
import type { GenerationRequest } from './generation-request.js';

export interface ReplyHead {
	readonly id: string;
	readonly model: string;
	/** Unix time in seconds. */
	readonly created: number;
}

/** One event of a stream: its data, or its name and data. */
export type Chunk = string | readonly [name: string, data: string];

/** Writes the answer to one request. */
export interface ReplyFormat {
	/** Streams end with `[DONE]`. */
	readonly done: boolean;
	/** The whole answer. */
	whole(choices: readonly ChoiceState[], usage: Usage): string;
	/**
	 * The events for new text of a choice: usually one, two with the first of a chat. `usage` is asked only when it is
	 * sent.
	 */
	chunks(choice: ChoiceState, text: string, usage: () => Usage): readonly Chunk[];
	/** The events that end a stream. */
	closing(choices: readonly ChoiceState[], usage: Usage): readonly Chunk[];
	/** Headers of the whole answer. */
	headers?(usage: Usage): Readonly<Record<string, string>>;
}

export function replyFormat(request: GenerationRequest, head: ReplyHead): ReplyFormat {
	return request.kind === 'chat' ? new ChatFormat(request, head) : new CompletionFormat(request, head);
}

/** `usage` as OpenAI has it. */
export function usageObject(usage: Usage): unknown {
	return {
		prompt_tokens: usage.promptTokens,
		total_tokens: usage.promptTokens + usage.completionTokens,
		completion_tokens: usage.completionTokens,
		prompt_tokens_details: { cached_tokens: usage.cachedTokens },
	};
}

/** Chunks are written a hundred times an answer: the unchanging start is serialised once. */
function chunkHead(head: ReplyHead, object: string): string {
	const { id, created, model } = head;
	return `${JSON.stringify({ id, object, created, model }).slice(0, -1)},"choices":[`;
}

class ChatFormat implements ReplyFormat {
	readonly done = true;
	readonly #request: GenerationRequest;
	readonly #head: ReplyHead;
	readonly #chunkHead: string;

	constructor(request: GenerationRequest, head: ReplyHead) {
		this.#request = request;
		this.#head = head;
		this.#chunkHead = chunkHead(head, 'chat.completion.chunk');
	}

	whole(choices: readonly ChoiceState[], usage: Usage): string {
		const { id, created, model } = this.#head;
		return JSON.stringify({
			id,
			object: 'chat.completion',
			created,
			model,
			choices: choices.map((choice) => ({
				index: choice.index,
				message: this.#message(choice),
				logprobs: null,
				finish_reason: choice.finishReason ?? null,
				stop_reason: choice.stop ?? null,
			})),
			usage: usageObject(usage),
		});
	}

	chunks(choice: ChoiceState, text: string, usage: () => Usage): string[] {
		const chunks: string[] = [];
		if (choice.tokens === 1) chunks.push(this.#chunk(choice, '{"role":"assistant","content":""}', undefined));
		const tool = this.#request.tool;
		// A named or required call opens with its id and name; arguments follow in pieces.
		const opening = tool !== undefined && choice.tokens === 1;
		const delta =
			tool === undefined
				? `{"content":${JSON.stringify(text)}}`
				: JSON.stringify({ tool_calls: [this.#toolDelta(choice, text, opening)] });
		chunks.push(this.#chunk(choice, delta, this.#request.continuousUsage ? usage() : undefined, choice.finishReason));
		return chunks;
	}

	closing(_choices: readonly ChoiceState[], usage: Usage): string[] {
		return this.#request.includeUsage ? [`${this.#chunkHead}],"usage":${JSON.stringify(usageObject(usage))}}`] : [];
	}

	#chunk(choice: ChoiceState, delta: string, usage: Usage | undefined, finishReason?: string): string {
		const end = finishReason === undefined ? 'null' : `"${finishReason}"`;
		const stop = finishReason === undefined ? '' : `,"stop_reason":${JSON.stringify(choice.stop ?? null)}`;
		const counted = usage === undefined ? '' : `,"usage":${JSON.stringify(usageObject(usage))}`;
		return (
			`${this.#chunkHead}{"index":${choice.index},"delta":${delta},"logprobs":null,` +
			`"finish_reason":${end}${stop}}]${counted}}`
		);
	}

	#toolDelta(choice: ChoiceState, text: string, opening: boolean): unknown {
		if (!opening) return { index: 0, function: { arguments: text } };
		return {
			index: 0,
			id: this.#toolId(choice),
			type: 'function',
			function: { name: this.#request.tool?.name, arguments: text },
		};
	}

	#message(choice: ChoiceState): unknown {
		const tool = this.#request.tool;
		if (tool === undefined) return { role: 'assistant', content: choice.text, refusal: null, tool_calls: [] };
		return {
			role: 'assistant',
			content: '',
			refusal: null,
			tool_calls: [
				{
					id: this.#toolId(choice),
					type: 'function',
					function: { name: tool.name, arguments: choice.text },
				},
			],
		};
	}

	#toolId(choice: ChoiceState): string {
		return `chatcmpl-tool-${this.#head.id.slice('chatcmpl-'.length)}-${choice.index}`;
	}
}

class CompletionFormat implements ReplyFormat {
	readonly done = true;
	readonly #request: GenerationRequest;
	readonly #head: ReplyHead;
	readonly #chunkHead: string;

	constructor(request: GenerationRequest, head: ReplyHead) {
		this.#request = request;
		this.#head = head;
		this.#chunkHead = chunkHead(head, 'text_completion');
	}

	whole(choices: readonly ChoiceState[], usage: Usage): string {
		const { id, created, model } = this.#head;
		return JSON.stringify({
			id,
			object: 'text_completion',
			created,
			model,
			choices: choices.map((choice) => ({
				index: choice.index,
				text: choice.text,
				logprobs: null,
				finish_reason: choice.finishReason ?? null,
				stop_reason: choice.stop ?? null,
			})),
			usage: usageObject(usage),
		});
	}

	chunks(choice: ChoiceState, text: string, usage: () => Usage): string[] {
		const end = choice.finishReason === undefined ? 'null' : `"${choice.finishReason}"`;
		const counted = this.#request.continuousUsage ? `,"usage":${JSON.stringify(usageObject(usage()))}` : '';
		return [
			`${this.#chunkHead}{"index":${choice.index},"text":${JSON.stringify(text)},"logprobs":null,` +
				`"finish_reason":${end},"stop_reason":${JSON.stringify(choice.stop ?? null)}}]${counted}}`,
		];
	}

	closing(_choices: readonly ChoiceState[], usage: Usage): string[] {
		return this.#request.includeUsage ? [`${this.#chunkHead}],"usage":${JSON.stringify(usageObject(usage))}}`] : [];
	}
}
