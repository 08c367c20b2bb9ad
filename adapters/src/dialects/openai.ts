// Owns the dialects of OpenAI's API and of those who speak it: vLLM, SGLang, llama.cpp, OVMS (under /v3) and others. And Anthropic's messages, which
// several of them serve beside it.
import { dialect } from './dialect.js';

/** TensorRT-LLM takes a chat's token ids beside its messages, and then these. */
export const openaiChat = dialect('openai.chat', {
	tokensOutMax: [['max_completion_tokens'], ['max_tokens']],
	prompt: [
		{ member: 'prompt_token_ids', as: 'ids' },
		{ member: 'tools', as: 'json' },
		{ member: 'messages', as: 'messages' },
	],
	usageAskedByStreamOptions: true,
	operation: 'chat',
});

export const openaiCompletion = dialect('openai.completions', {
	tokensOutMax: [['max_tokens']],
	prompt: [{ member: 'prompt', as: 'batch' }],
	usageAskedByStreamOptions: true,
	operation: 'text_completion',
});

/** vLLM's tokens in, tokens out. It names its model, or there is one. */
export const vllmGenerate = dialect('vllm.generate', {
	modelRequired: false,
	tokensOutMax: [['sampling_params', 'max_tokens']],
	prompt: [{ member: 'token_ids', as: 'ids' }],
	usageAskedByStreamOptions: true,
	operation: 'text_completion',
});

export const openaiEmbedding = dialect('openai.embeddings', {
	work: 'embedding',
	stream: 'never',
	prompt: [{ member: 'input', as: 'batch' }],
	operation: 'embeddings',
});

/** Engines store what they answer, so asking twice makes two. */
export const openaiResponses = dialect('openai.responses', {
	tokensOutMax: [['max_output_tokens']],
	prompt: [
		{ member: 'tools', as: 'json' },
		{ member: 'instructions', as: 'text' },
		{ member: 'input', as: 'items' },
	],
	idempotent: false,
	responseIds: true,
	operation: 'chat',
});

/** A stored response: to be read, cancelled or deleted where it was made. */
export const openaiResponse = dialect('openai.response', {
	model: 'none',
	modelRequired: false,
	work: 'control',
	stream: 'never',
	idempotent: false,
	responseIds: true,
});

export const rerank = dialect('rerank', {
	modelRequired: false,
	work: 'embedding',
	stream: 'never',
	prompt: [
		{ member: 'query', as: 'batch' },
		{ member: 'documents', as: 'batch' },
		{ member: 'texts', as: 'batch' },
	],
	operation: 'rerank',
});

export const openaiSpeech = dialect('openai.speech', {
	stream: 'never',
	prompt: [{ member: 'input', as: 'batch' }],
	operation: 'generate_content',
});

/** Audio and images that are sent as a form. */
export const openaiForm = dialect('openai.form', {
	model: 'form',
	stream: 'never',
	operation: 'generate_content',
});

export const anthropicMessages = dialect('anthropic.messages', {
	tokensOutMax: [['max_tokens']],
	prompt: [
		{ member: 'tools', as: 'json' },
		{ member: 'system', as: 'text' },
		{ member: 'messages', as: 'messages' },
	],
	session: [['metadata', 'user_id']],
	errors: 'anthropic',
	operation: 'chat',
});

export const anthropicCount = dialect('anthropic.count_tokens', {
	work: 'control',
	stream: 'never',
	errors: 'anthropic',
});

/** A session over WebSocket, which a client and a runtime hold between them: it cannot be begun twice. */
export const realtime = dialect('realtime', {
	model: 'none',
	stream: 'always',
	idempotent: false,
	operation: 'chat',
});

/** What is allowed and not known: passed through unread as far as it is not JSON that names a model. */
export const passThrough = dialect('other', {
	modelRequired: false,
	tokensOutMax: [['max_completion_tokens'], ['max_tokens'], ['sampling_params', 'max_new_tokens']],
	prompt: [
		{ member: 'prompt_token_ids', as: 'ids' },
		{ member: 'token_ids', as: 'ids' },
		{ member: 'input_ids', as: 'ids' },
		{ member: 'tools', as: 'json' },
		{ member: 'messages', as: 'messages' },
		{ member: 'prompt', as: 'batch' },
		{ member: 'input', as: 'batch' },
		{ member: 'inputs', as: 'batch' },
		{ member: 'text', as: 'batch' },
	],
	idempotent: false,
});
