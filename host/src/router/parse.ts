// Owns the parse stage: one JSON.parse of the body, and from it just what routing needs. Whatever else is in the body is the engine's to
// judge. The prompt goes to the shared buffer; the parsed body is let go.
import { isAscii, isUtf8 } from 'node:buffer';
import type { RouterEnv } from './env.js';
import type { Refusal } from './errors.js';
import { Exchange } from './exchange.js';
import { type Hash64, hashText } from './hash.js';
import { isTame } from './json-bytes.js';
import { collectPrompt } from './prompt.js';
import type { RoutedRequest } from './routed-request.js';

type Json = Readonly<Record<string, unknown>>;

const MODEL_CHARS_MAX = 512;
const KEY_CHARS_MAX = 256;
const session: Hash64 = { low: 0, high: 0 };

/** Reads the body into the exchange. */
export function parse(env: RouterEnv, exchange: Exchange): Refusal | undefined {
	env.promptOf = exchange;
	env.prompt.reset();
	if (exchange.endpoint === 'other' && !looksLikeJson(exchange)) return setSession(exchange, {});
	const body = parseBody(env, exchange.body);
	if (body === undefined) {
		if (exchange.endpoint === 'other') return setSession(exchange, {});
		return { code: 'IM_REQUEST_JSON' };
	}
	const model = body['model'];
	if (typeof model === 'string' && model !== '' && model.length <= MODEL_CHARS_MAX) exchange.model = model;
	else if (exchange.endpoint !== 'other')
		return { code: 'IM_REQUEST_FIELD', param: 'model', message: '`model` must be the name of a model.' };
	readGeneration(env, exchange, body);
	collectPrompt(body, env.prompt);
	exchange.tokensIn = env.prompt.tokens;
	return setSession(exchange, body);
}

/** Lays the prompt out again, for a decision in a later tick than the parse. Only HTTP bodies are read for one. */
export function recallPrompt(env: RouterEnv, request: RoutedRequest): void {
	if (env.promptOf === request) return;
	env.promptOf = request;
	env.prompt.reset();
	if (!(request instanceof Exchange) || (request.endpoint === 'other' && request.model === '')) return;
	const body = parseBody(env, request.body);
	if (body !== undefined) collectPrompt(body, env.prompt);
}

function looksLikeJson(exchange: Exchange): boolean {
	return exchange.body[0] === 0x7b && (exchange.req.headers['content-type'] ?? '').includes('json');
}

function parseBody(env: RouterEnv, body: Buffer): Json | undefined {
	const { jsonUncheckedBytesMax, jsonDepthMax, jsonContainersMax } = env.options;
	// Most bodies are plain ASCII, and as Latin-1 such bytes become a string by being copied.
	const encoding = isAscii(body) ? 'latin1' : isUtf8(body) ? 'utf8' : undefined;
	if (encoding === undefined) return undefined;
	if (body.length > jsonUncheckedBytesMax && !isTame(body, jsonDepthMax, jsonContainersMax)) return undefined;
	try {
		const parsed: unknown = JSON.parse(body.toString(encoding));
		return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as Json) : undefined;
	} catch {
		return undefined;
	}
}

function readGeneration(env: RouterEnv, exchange: Exchange, body: Json): void {
	exchange.tokensOutMax = count(body['max_completion_tokens'] ?? body['max_tokens']);
	exchange.lora = exchange.loraHeader || key(body['lora_path'] ?? body['lora_name'] ?? body['lora']);
	exchange.stream = body['stream'] === true;
	if (!exchange.stream || (exchange.endpoint !== 'chat' && exchange.endpoint !== 'completion')) return;
	const asked = body['stream_options'];
	exchange.streamOptions = asked;
	exchange.usageInjected = env.options.injectUsage && (asked as Json | null | undefined)?.['include_usage'] !== true;
}

function count(value: unknown): number {
	return typeof value === 'number' && value >= 1 && value <= 0xffff_ffff ? Math.floor(value) : 0;
}

function key(value: unknown): string {
	return typeof value === 'string' ? value.slice(0, KEY_CHARS_MAX) : '';
}

/** The session is what the client names most explicitly: header, then cache key, then session, then user. */
export function setSession(request: RoutedRequest, body: Json): undefined {
	request.session =
		request.sessionHeader || key(body['session_id']) || key(body['prompt_cache_key']) || key(body['user']);
	hashText(request.session, session);
	request.sessionLow = session.low;
	request.sessionHigh = session.high;
	return undefined;
}
