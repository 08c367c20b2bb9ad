// Owns `POST /v1/rerank`: each document is prefilled with the query, and scored by the likeness of their vectors.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { assertFits, prefill, vector } from '../embeddings-route.js';
import { type EngineContext, newId } from '../engine-context.js';
import { faultBeforeWork } from '../generate-route.js';
import { assertModel } from '../generation-request.js';
import { readJsonObject, sendJson } from '../http-io.js';
import { engineLoad } from '../metrics.js';
import { orcaHeaders } from '../orca.js';
import { promptFromText } from '../prompt.js';
import { type Body, isObject, optionalInteger, optionalString, refuse, requiredString } from '../request-fields.js';

const DIMENSIONS = 64;

export async function serveRerank(
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	const { options, driver } = engine;
	const body = await readJsonObject(request, options.bodyBytesMax);
	if (response.destroyed) return;
	const model = optionalString(body, 'model') ?? options.models[0] ?? '';
	const query = requiredString(body, 'query');
	const documents = documentTexts(body, options.choicesMax);
	const most = optionalInteger(body, 'top_n', 1, documents.length) ?? documents.length;
	assertModel(model, options.models);
	const pairs = documents.map((text) => promptFromText(`${query}\n${text}`));
	for (const pair of pairs) assertFits(engine, pair);
	if (faultBeforeWork(engine)) return;
	const asked = vector(promptFromText(query), DIMENSIONS, options.seed);
	prefill(engine, pairs, response, () => {
		const results = documents
			.map((text, index) => ({ index, document: { text }, relevance_score: likeness(asked, text, options.seed) }))
			.toSorted((a, b) => b.relevance_score - a.relevance_score || a.index - b.index)
			.slice(0, most);
		const tokens = pairs.reduce((sum, pair) => sum + pair.tokens, 0);
		const usage = { prompt_tokens: tokens, total_tokens: tokens };
		const headers = orcaHeaders(request.headers, engineLoad(driver));
		sendJson(response, 200, { id: `rerank-${newId(engine)}`, model, usage, results }, headers);
	});
}

function documentTexts(body: Body, most: number): string[] {
	const documents = body['documents'];
	if (!Array.isArray(documents) || documents.length === 0)
		refuse('documents', 'must be a list with at least one entry');
	if (documents.length > most) refuse('documents', `must have at most ${most} entries`);
	return documents.map((one: unknown, at) => {
		const text = isObject(one) ? one['text'] : one;
		return typeof text === 'string' ? text : refuse(`documents[${at}]`, 'must be a text');
	});
}

/** From 0 to 1, by the angle between two vectors. */
function likeness(asked: Float32Array, text: string, seed: number): number {
	const other = vector(promptFromText(text), DIMENSIONS, seed);
	return (1 + asked.reduce((sum, value, at) => sum + value * (other[at] as number), 0)) / 2;
}
