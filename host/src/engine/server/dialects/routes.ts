// Owns the paths of an emulated engine besides OpenAI's chat, completions and embeddings.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EngineContext } from '../engine-context.js';
import { serve, serveBody } from '../generate-route.js';
import { readJsonObject, sendJson, sendText } from '../http-io.js';
import { isObject } from '../request-fields.js';
import { anthropicFormat, sglangFormat, tgiFormat, tokensFormat } from './formats.js';
import { kserveGenerate, kserveInfer, kserveModel, kserveServer } from './kserve.js';
import { messagesRequest, sglangRequest, tgiRequest, tokensRequest } from './requests.js';
import { serveRerank } from './rerank.js';
import { cancelResponse, deleteResponse, readResponse, serveResponses } from './responses.js';

export type Handler = (
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
) => Promise<void> | void;
export type Methods = Readonly<Record<string, Handler>>;

function ready(_engine: EngineContext, _request: IncomingMessage, response: ServerResponse): void {
	sendText(response, 200, '', {});
}

function serveMessages(engine: EngineContext, request: IncomingMessage, response: ServerResponse): Promise<void> {
	return serve(engine, request, response, messagesRequest, (_request, head) => anthropicFormat(head));
}

/** TGI's and SGLang's `/generate`, told apart by their fields. */
async function serveGenerate(engine: EngineContext, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const { options } = engine;
	const body = await readJsonObject(request, options.bodyBytesMax);
	if (response.destroyed) return;
	const model = options.models[0] as string;
	if (body['inputs'] === undefined)
		return serveBody(
			engine,
			request,
			response,
			body,
			(given, most) => sglangRequest(given, model, most),
			(_given, head) => sglangFormat(head),
		);
	const stream = body['stream'] === true;
	const details = isObject(body['parameters']) && body['parameters']['details'] === true;
	await serveBody(
		engine,
		request,
		response,
		body,
		(given, most) => tgiRequest(given, model, stream, most),
		() => tgiFormat(details),
	);
}

function serveGenerateStream(engine: EngineContext, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const model = engine.options.models[0] as string;
	return serve(
		engine,
		request,
		response,
		(body, most) => tgiRequest(body, model, true, most),
		() => tgiFormat(true),
	);
}

function serveTokens(engine: EngineContext, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const model = engine.options.models[0] as string;
	return serve(engine, request, response, (body, most) => tokensRequest(body, model, most), tokensFormat);
}

function serveInfo({ options }: EngineContext, _request: IncomingMessage, response: ServerResponse): void {
	sendJson(response, 200, {
		model_id: options.models[0],
		max_total_tokens: options.contextTokensMax,
		max_input_tokens: options.contextTokensMax - 1,
		version: '0.1.0+infermesh.emulated',
	});
}

export const dialectPaths: Readonly<Record<string, Methods>> = {
	'/v1/responses': { POST: serveResponses },
	'/v1/rerank': { POST: serveRerank },
	'/rerank': { POST: serveRerank },
	'/v1/messages': { POST: serveMessages },
	'/inference/v1/generate': { POST: serveTokens },
	'/generate': { POST: serveGenerate },
	'/generate_stream': { POST: serveGenerateStream },
	'/info': { GET: serveInfo },
	'/v2': { GET: (_engine, _request, response) => kserveServer(response) },
	'/v2/health/live': { GET: ready },
	'/v2/health/ready': { GET: ready },
};

const RESPONSE = /^\/v1\/responses\/([^/]+)(\/cancel)?$/;
const MODEL = /^\/v2\/models\/([^/]+)(?:\/versions\/[^/]+)?(\/[a-z_]+)?$/;

/** Paths with a name in them. */
export function dialectPath(path: string): Methods | undefined {
	const response = RESPONSE.exec(path);
	if (response !== null) return responseMethods(response[1] as string, response[2] !== undefined);
	const model = MODEL.exec(path);
	return model === null ? undefined : modelMethods(decoded(model[1] as string), model[2] ?? '');
}

function decoded(name: string): string {
	try {
		return decodeURIComponent(name);
	} catch {
		return name;
	}
}

function responseMethods(id: string, cancel: boolean): Methods {
	if (cancel) return { POST: (engine, _request, response) => cancelResponse(engine, id, response) };
	return {
		GET: (engine, _request, response) => readResponse(engine, id, response),
		DELETE: (engine, _request, response) => deleteResponse(engine, id, response),
	};
}

function modelMethods(model: string, tail: string): Methods | undefined {
	switch (tail) {
		case '':
			return { GET: (engine, _request, response) => kserveModel(engine, model, response) };
		case '/ready':
			return { GET: ready };
		case '/infer':
			return { POST: (engine, request, response) => kserveInfer(engine, model, request, response) };
		case '/generate':
		case '/generate_stream':
			return {
				POST: (engine, request, response) =>
					kserveGenerate(engine, model, tail === '/generate_stream', request, response),
			};
		default:
			return undefined;
	}
}
