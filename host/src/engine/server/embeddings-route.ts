// Owns `POST /v1/embeddings`: prefill-only work, and seeded unit vectors that are the same for the same text.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { MeshError, SeededRandom } from '@infermesh/proto';
import { engineErrors } from '../errors.js';
import type { Sequence } from '../model/sequence.js';
import { createdSeconds, type EngineContext, newId } from './engine-context.js';
import { faultBeforeWork } from './generate-route.js';
import { assertModel, promptList } from './generation-request.js';
import { readJsonObject, sendJson } from './http-io.js';
import { engineLoad } from './metrics.js';
import { orcaHeaders } from './orca.js';
import { contentSeed, type Prompt } from './prompt.js';
import { type Body, optionalInteger, optionalString, refuse, requiredString } from './request-fields.js';

const DIMENSIONS_MAX = 65_536;

export async function serveEmbeddings(
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	const body = await readJsonObject(request, engine.options.bodyBytesMax);
	if (response.destroyed) return;
	const model = requiredString(body, 'model');
	const prompts = promptList(body, 'input', engine.options.choicesMax);
	const dimensions = optionalInteger(body, 'dimensions', 1, DIMENSIONS_MAX) ?? engine.options.embeddingDimensions;
	const base64 = encodingFormat(body) === 'base64';
	assertModel(model, engine.options.models);
	for (const prompt of prompts) assertFits(engine, prompt);
	if (faultBeforeWork(engine)) return;
	prefill(engine, prompts, response, () => {
		const tokens = prompts.reduce((sum, prompt) => sum + prompt.tokens, 0);
		const value = {
			id: `embd-${newId(engine)}`,
			object: 'list',
			created: createdSeconds(engine),
			model,
			data: prompts.map((prompt, index) => ({
				index,
				object: 'embedding',
				embedding: encoded(vector(prompt, dimensions, engine.options.seed), base64),
			})),
			usage: { prompt_tokens: tokens, total_tokens: tokens, completion_tokens: 0, prompt_tokens_details: null },
		};
		sendJson(response, 200, value, orcaHeaders(request.headers, engineLoad(engine.driver)));
	});
}

function encodingFormat(body: Body): string {
	const format = optionalString(body, 'encoding_format') ?? 'float';
	return format === 'float' || format === 'base64' ? format : refuse('encoding_format', 'must be float or base64');
}

export function assertFits(engine: EngineContext, prompt: Prompt): void {
	const most = engine.options.contextTokensMax;
	if (prompt.tokens <= most) return;
	throw new MeshError(
		engineErrors,
		'IM_ENGINE_CONTEXT_EXCEEDED',
		`This model's maximum context length is ${most} tokens. However, you requested ${prompt.tokens} tokens in the input.`,
		{ where: 'input' },
	);
}

/**
 * Runs all prompts through the engine and then calls `done`; frees them when the client goes away or one is refused.
 */
export function prefill(
	engine: EngineContext,
	prompts: readonly Prompt[],
	response: ServerResponse,
	done: () => void,
): void {
	const { driver, metrics } = engine;
	const running = new Set<Sequence>();
	let unfinished = prompts.length;
	const cancelAll = (): void => {
		for (const sequence of running) if (driver.cancel(sequence)) metrics.finished(sequence, 'abort');
		running.clear();
	};
	for (const prompt of prompts) {
		const result = driver.submit(
			{ promptTokens: prompt.tokens, outputTokens: 0 },
			{
				onToken: () => undefined,
				onFinish: (sequence) => {
					running.delete(sequence);
					metrics.finished(sequence, 'stop');
					unfinished--;
					if (unfinished === 0) done();
				},
			},
		);
		if (typeof result === 'string') {
			cancelAll();
			throw new MeshError(engineErrors, 'IM_ENGINE_QUEUE_FULL');
		}
		running.add(result);
	}
	response.once('close', cancelAll);
}

export function vector(prompt: Prompt, dimensions: number, seed: number): Float32Array {
	const random = new SeededRandom((contentSeed(prompt.bytes) ^ seed) >>> 0);
	const values = Float32Array.from({ length: dimensions }, () => random.nextFloat() * 2 - 1);
	const norm = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
	return values.map((x) => x / norm);
}

function encoded(values: Float32Array, base64: boolean): string | number[] {
	if (!base64) return Array.from(values);
	const bytes = new DataView(new ArrayBuffer(values.length * 4));
	for (const [i, value] of values.entries()) bytes.setFloat32(i * 4, value, true);
	return Buffer.from(bytes.buffer).toString('base64');
}
