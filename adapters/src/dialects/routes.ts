// Owns the table of paths: which methods and paths are which dialect, and which of them the router answers itself. Segments in braces are parameters:
// `{model}` may hold percent escapes, any other only plain characters.
import type { Dialect } from './dialect.js';
import {
	anthropicCount,
	anthropicMessages,
	openaiChat,
	openaiCompletion,
	openaiEmbedding,
	openaiForm,
	openaiResponse,
	openaiResponses,
	openaiSpeech,
	rerank,
	vllmGenerate,
} from './openai.js';
import {
	kserveGenerate,
	kserveGenerateStream,
	kserveInfer,
	kserveModel,
	nativeGenerate,
	tfserving,
	tfservingModel,
	tgiGenerateStream,
	tgiInfo,
	torchserve,
} from './runtimes.js';

/** What the router answers of itself. */
export type OwnAnswer = 'health' | 'live' | 'ready' | 'ping' | 'server' | 'models' | 'model' | 'model_ready';

export interface DialectRoute {
	readonly path: string;
	readonly methods: readonly string[];
	readonly to: Dialect | OwnAnswer;
}

const READ = ['GET', 'HEAD'];
const POST = ['POST'];
const ANY = ['GET', 'HEAD', 'POST', 'PUT'];

function reads(path: string, to: Dialect | OwnAnswer): DialectRoute {
	return { path, methods: READ, to };
}

function posts(path: string, to: Dialect): DialectRoute {
	return { path, methods: POST, to };
}

/** OpenAI's paths under `/v1`, and under `/v3` where OVMS has them. */
function openai(version: string): DialectRoute[] {
	return [
		posts(`/${version}/chat/completions`, openaiChat),
		posts(`/${version}/completions`, openaiCompletion),
		posts(`/${version}/embeddings`, openaiEmbedding),
		posts(`/${version}/rerank`, rerank),
		posts(`/${version}/responses`, openaiResponses),
		{ path: `/${version}/responses/{id}`, methods: ['GET', 'HEAD', 'DELETE'], to: openaiResponse },
		posts(`/${version}/responses/{id}/cancel`, openaiResponse),
		reads(`/${version}/responses/{id}/input_items`, openaiResponse),
		posts(`/${version}/audio/transcriptions`, openaiForm),
		posts(`/${version}/audio/translations`, openaiForm),
		posts(`/${version}/audio/speech`, openaiSpeech),
		posts(`/${version}/images/edits`, openaiForm),
		posts(`/${version}/images/variations`, openaiForm),
		posts(`/${version}/messages`, anthropicMessages),
		posts(`/${version}/messages/count_tokens`, anthropicCount),
		reads(`/${version}/models`, 'models'),
		reads(`/${version}/models/{model}`, 'model'),
	];
}

/** A model of KServe v2, of any version or of one. */
function kserve(model: string): DialectRoute[] {
	return [
		posts(`${model}/infer`, kserveInfer),
		posts(`${model}/generate`, kserveGenerate),
		posts(`${model}/generate_stream`, kserveGenerateStream),
		reads(model, kserveModel),
		reads(`${model}/config`, kserveModel),
		reads(`${model}/stats`, kserveModel),
		reads(`${model}/ready`, 'model_ready'),
	];
}

/** TF Serving's model, of any version, of one, or by a label. `GET` of the bare name is OpenAI's. */
function tensorflow(model: string): DialectRoute[] {
	return [
		...['predict', 'classify', 'regress', 'explain'].map((verb) => posts(`${model}:${verb}`, tfserving)),
		reads(`${model}/metadata`, tfservingModel),
	];
}

export const dialectRoutes: readonly DialectRoute[] = [
	...openai('v1'),
	...openai('v3'),
	posts('/rerank', rerank),
	posts('/v2/rerank', rerank),
	reads('/healthz', 'health'),
	reads('/v2', 'server'),
	reads('/v2/health/live', 'live'),
	reads('/v2/health/ready', 'ready'),
	...kserve('/v2/models/{model}'),
	...kserve('/v2/models/{model}/versions/{version}'),
	posts('/inference/v1/generate', vllmGenerate),
	posts('/generate', nativeGenerate),
	posts('/generate_stream', tgiGenerateStream),
	reads('/info', tgiInfo),
	reads('/ping', 'ping'),
	{ path: '/predictions/{model}', methods: ANY, to: torchserve },
	{ path: '/predictions/{model}/{version}', methods: ANY, to: torchserve },
	posts('/explanations/{model}', torchserve),
	...tensorflow('/v1/models/{model}'),
	...tensorflow('/v1/models/{model}/versions/{version}'),
	...tensorflow('/v1/models/{model}/labels/{label}'),
	reads('/v1/models/{model}/versions/{version}', tfservingModel),
	reads('/v1/models/{model}/labels/{label}', tfservingModel),
];
