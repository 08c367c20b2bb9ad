// Owns the native dialects of runtimes: KServe v2 (also Triton's and OVMS's), TGI, SGLang, TorchServe and TF Serving.
import { dialect } from './dialect.js';

/**
 * KServe v2 inference. With the binary tensor extension (`inference-header-content-length`) the body is JSON followed by raw tensors. A stateful model's
 * `sequence_id` keeps a sequence on one target.
 */
export const kserveInfer = dialect('kserve.infer', {
	model: 'path',
	stream: 'never',
	prompt: [{ member: 'inputs', as: 'tensors' }],
	session: [['parameters', 'sequence_id']],
	errors: 'text',
	operation: 'generate_content',
});

const generate = {
	model: 'path',
	tokensOutMax: [['max_tokens'], ['parameters', 'max_tokens']],
	prompt: [
		{ member: 'input_ids', as: 'ids' },
		{ member: 'text_input', as: 'batch' },
		{ member: 'prompt', as: 'batch' },
	],
	errors: 'text',
	operation: 'text_completion',
} as const;

/** Triton's generate extension. Its answers have no token counts. */
export const kserveGenerate = dialect('kserve.generate', { ...generate, stream: 'never' });
export const kserveGenerateStream = dialect('kserve.generate_stream', { ...generate, stream: 'always' });

/** Metadata, configuration and statistics of a model, as one of its targets tells them. */
export const kserveModel = dialect('kserve.model', { model: 'path', work: 'control', stream: 'never', errors: 'text' });

const native = {
	modelRequired: false,
	tokensOutMax: [
		['parameters', 'max_new_tokens'],
		['sampling_params', 'max_new_tokens'],
	],
	prompt: [
		{ member: 'input_ids', as: 'ids' },
		{ member: 'inputs', as: 'batch' },
		{ member: 'text', as: 'batch' },
	],
	errors: 'tgi',
	operation: 'text_completion',
} as const;

/** `/generate`, which TGI and SGLang both have, each with fields of its own. */
export const nativeGenerate = dialect('native.generate', {
	...native,
	usageKey: 'meta_info',
	usageHeaders: ['x-prompt-tokens', 'x-generated-tokens'],
});
export const tgiGenerateStream = dialect('tgi.generate_stream', {
	...native,
	stream: 'always',
	usageKey: 'details',
	usageHeaders: ['x-prompt-tokens', 'x-generated-tokens'],
});
export const tgiInfo = dialect('tgi.info', {
	model: 'none',
	modelRequired: false,
	work: 'control',
	stream: 'never',
	errors: 'tgi',
});

/** The handler of a TorchServe model reads the body as it likes, and may answer in pieces. A JSON body has its prompt where handlers commonly look for it. */
export const torchserve = dialect('torchserve', {
	model: 'path',
	stream: 'never',
	prompt: [
		{ member: 'prompt', as: 'values' },
		{ member: 'messages', as: 'messages' },
		{ member: 'text', as: 'values' },
		{ member: 'inputs', as: 'values' },
		{ member: 'data', as: 'values' },
		{ member: 'instances', as: 'values' },
	],
	idempotent: false,
	errors: 'torchserve',
	operation: 'generate_content',
});

/** Rows as `instances`, or columns as `inputs`; models with a text input may have it under any name. */
export const tfserving = dialect('tfserving', {
	model: 'path',
	stream: 'never',
	prompt: [
		{ member: 'instances', as: 'values' },
		{ member: 'inputs', as: 'values' },
	],
	errors: 'text',
	operation: 'generate_content',
});

export const tfservingModel = dialect('tfserving.model', {
	model: 'path',
	work: 'control',
	stream: 'never',
	errors: 'text',
});
