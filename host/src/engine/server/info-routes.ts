// Owns the routes that tell about the engine: models, health, version, metrics, tokens, and its fault switches.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { renderChat } from './chat-template.js';
import type { EngineContext } from './engine-context.js';
import { assertModel } from './generation-request.js';
import { readJsonObject, sendJson, sendText } from './http-io.js';
import { metricsText } from './metrics-dialects.js';
import { promptFromText, tokenIds } from './prompt.js';
import { optionalString, refuse } from './request-fields.js';

/** What `/version` says; the suffix tells nobody mistakes it for a real vLLM. */
const VERSION = '0.1.0+infermesh.emulated';

export function serveModels(engine: EngineContext, _request: IncomingMessage, response: ServerResponse): void {
	const created = Math.floor(engine.startedWallMs / 1000);
	sendJson(response, 200, {
		object: 'list',
		data: engine.options.models.map((id) => ({
			id,
			object: 'model',
			created,
			owned_by: 'infermesh',
			root: engine.options.profile.name,
			parent: null,
			max_model_len: engine.options.contextTokensMax,
		})),
	});
}

export function serveHealth(_engine: EngineContext, _request: IncomingMessage, response: ServerResponse): void {
	sendText(response, 200, '', {});
}

export function serveVersion(_engine: EngineContext, _request: IncomingMessage, response: ServerResponse): void {
	sendJson(response, 200, { version: VERSION });
}

export function serveMetrics(engine: EngineContext, _request: IncomingMessage, response: ServerResponse): void {
	const text = metricsText({
		dialect: engine.options.metricsDialect,
		modelName: engine.options.models[0] ?? '',
		driver: engine.driver,
		metrics: engine.metrics,
		createdSeconds: engine.startedWallMs / 1000,
	});
	sendText(response, 200, text, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
}

/** vLLM's `POST /tokenize`: of a prompt, or of messages as chat would render them. */
export async function serveTokenize(
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	const body = await readJsonObject(request, engine.options.bodyBytesMax);
	const model = optionalString(body, 'model');
	if (model !== undefined) assertModel(model, engine.options.models);
	const messages = body['messages'];
	const text = Array.isArray(messages) ? renderChat(messages, []) : optionalString(body, 'prompt');
	const prompt = promptFromText(text ?? refuse('prompt', 'or messages is required'));
	sendJson(response, 200, {
		count: prompt.tokens,
		max_model_len: engine.options.contextTokensMax,
		tokens: tokenIds(prompt),
		token_strs: null,
	});
}

export function serveFaults(engine: EngineContext, _request: IncomingMessage, response: ServerResponse): void {
	sendJson(response, 200, { faults: engine.faults.settings, fired: engine.faults.fired });
}

/** Merges the switches of the body and answers with all that are on. */
export async function changeFaults(
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	engine.faults.apply(await readJsonObject(request, engine.options.bodyBytesMax));
	serveFaults(engine, request, response);
}
