// Owns which named inputs of a model are its prompt, as text or as token ids, where a protocol has inputs of any name: tensors of KServe's and TensorFlow Serving's protocols, and
// members of their JSON. Where a request has none of these names, all its texts are taken for the prompt.

/**
 * In lower case. Triton's vLLM and TensorRT-LLM backends (`text_input`, `prompt`, `QUERY`), KServe's and MLServer's runtimes for Hugging Face (`input-0`, `args`), and what
 * models exported for TensorFlow Serving and TorchServe commonly have.
 */
const PROMPT_NAMES: ReadonlySet<string> = new Set([
	'text_input',
	'input_text',
	'text',
	'prompt',
	'prompts',
	'query',
	'input',
	'inputs',
	'input-0',
	'input_0',
	'args',
	'messages',
	'question',
	'content',
	'data',
]);

export function isPromptName(name: string): boolean {
	return PROMPT_NAMES.has(name.toLowerCase());
}

/** Triton's TensorRT-LLM backend and models of Hugging Face (`input_ids`), and what servers of token ids commonly have. Masks, positions and lengths go by other names. */
const IDS_NAMES: ReadonlySet<string> = new Set(['input_ids', 'token_ids', 'prompt_token_ids']);

/** Integers of this name are the prompt's token ids. */
export function isIdsName(name: string): boolean {
	return IDS_NAMES.has(name.toLowerCase());
}

/** The order of named inputs in a prompt: that in a request may be any. */
export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
	return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
