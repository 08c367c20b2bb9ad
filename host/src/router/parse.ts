// Owns the parse stage: one JSON.parse of the body, and from it just what routing needs, where the request's dialect says it lies. Whatever else is in the body
// is the engine's to judge, long strings of the prompt with it. The prompt goes to the shared buffer; the parsed body is let go.
import { isAscii, isUtf8 } from 'node:buffer';
import type { Dialect, PromptField } from '@infermesh/adapters';
import { BINARY_TENSORS, jsonBytesOf, type RawTensors, rawTensors } from './binary-tensors.js';
import { BodyRequest } from './body-request.js';
import type { RouterEnv } from './env.js';
import type { Refusal } from './errors.js';
import { handoverUnread, withoutChosenId, withoutHandover } from './handover.js';
import { type Hash64, hashText } from './hash.js';
import { isTame } from './json-bytes.js';
import { IDS_DEPTH, type PromptMembers } from './long-strings.js';
import { formModel } from './multipart.js';
import { collectPrompt } from './prompt.js';
import type { RoutedRequest } from './routed-request.js';

type Json = Readonly<Record<string, unknown>>;

const MODEL_CHARS_MAX = 512;
const KEY_CHARS_MAX = 256;
const session: Hash64 = { low: 0, high: 0 };

/** Reads the body into the request. */
export function parse(env: RouterEnv, request: BodyRequest): Refusal | undefined {
	env.promptOf = request;
	env.prompt.reset();
	const { dialect } = request;
	request.stream = dialect.stream === 'always';
	if (dialect.model === 'form')
		return (request.caller.trusted ? undefined : handoverUnread(request.body)) ?? readForm(request);
	if (request.pathModel !== undefined) request.model = request.pathModel.name;
	readJsonBytes(request);
	const body = isRead(request) ? parseBody(env, jsonOf(request), dialect) : undefined;
	const refusal = readModel(request, body);
	if (refusal !== undefined) return refusal;
	const { trusted } = request.caller;
	if (body === undefined || request.jsonBytes > 0) {
		const handover = trusted ? undefined : handoverUnread(request.body);
		if (handover !== undefined || body === undefined) return handover ?? setSession(request, {});
		return readPrompt(env, request, body);
	}
	request.parsed = true;
	if (!trusted) request.body = withoutHandover(request.body, body);
	if (dialect.responseIds) request.body = withoutChosenId(request.body, body);
	return readPrompt(env, request, body);
}

/** Reads what is asked for: how much, for which session, and the prompt. */
function readPrompt(env: RouterEnv, request: BodyRequest, body: Json): undefined {
	readGeneration(env, request, body);
	request.cacheSalt = key(body['cache_salt']);
	layOut(env, request, body);
	request.tokensIn = env.prompt.tokens;
	// What engines hold for a salt they tell nobody of, nor are such blocks matched.
	if (request.cacheSalt === '') request.tokenIds = env.prompt.exactIds();
	return setSession(request, body);
}

function layOut(env: RouterEnv, { dialect, body: bytes, jsonBytes, cacheSalt }: BodyRequest, body: Json): void {
	const raws: RawTensors | undefined =
		jsonBytes > 0 ? rawTensors(body['inputs'], bytes.subarray(jsonBytes)) : undefined;
	collectPrompt(body, env.prompt, dialect.prompt, cacheSalt, raws);
	env.longs.forget();
}

/** Lays the prompt out again, for a decision in a later tick than the parse. */
export function recallPrompt(env: RouterEnv, request: RoutedRequest): void {
	if (env.promptOf === request) return;
	env.promptOf = request;
	env.prompt.reset();
	if (request.layPrompt !== undefined) return request.layPrompt(env.prompt);
	if (!(request instanceof BodyRequest) || !(request.parsed || request.jsonBytes > 0)) return;
	const body = parseBody(env, jsonOf(request), request.dialect);
	if (body !== undefined) layOut(env, request, body);
}

/** Where raw tensors follow the JSON of a body, and it is known how that ends. */
function readJsonBytes(request: BodyRequest): void {
	const header = request.headers[BINARY_TENSORS];
	if (header !== undefined && takesTensors(request.dialect))
		request.jsonBytes = jsonBytesOf(header, request.body.length) ?? 0;
}

function takesTensors({ prompt }: Dialect): boolean {
	return prompt.some(({ as }) => as === 'tensors');
}

function jsonOf({ body, jsonBytes }: BodyRequest): Buffer {
	return jsonBytes > 0 ? body.subarray(0, jsonBytes) : body;
}

/** Whether the body is to be read as JSON. One that must name a model is, whatever it says of itself. */
function isRead({ dialect, body, headers, jsonBytes }: BodyRequest): boolean {
	if (dialect.model === 'body' && dialect.modelRequired) return true;
	if (dialect.prompt.length === 0 || body[0] !== OPEN_BRACE) return false;
	if (headers[BINARY_TENSORS] !== undefined) return jsonBytes > 0;
	return (headers['content-type'] ?? '').includes('json');
}

const OPEN_BRACE = 0x7b;

/** A model the request does not name where its dialect has one may be named by a header. */
function readModel(request: BodyRequest, body: Json | undefined): Refusal | undefined {
	const { dialect, modelHeader } = request;
	if (dialect.model === 'path') return undefined;
	const named = dialect.model === 'body' ? body?.['model'] : undefined;
	if (typeof named === 'string' && named !== '' && named.length <= MODEL_CHARS_MAX) {
		request.model = named;
		request.modelInBody = true;
		return undefined;
	}
	if (dialect.modelRequired)
		return body === undefined
			? { code: 'IM_REQUEST_JSON' }
			: { code: 'IM_REQUEST_FIELD', param: 'model', message: '`model` must be the name of a model.' };
	request.model = modelHeader;
	return undefined;
}

function readForm(request: BodyRequest): Refusal | undefined {
	const found = formModel(request.body, request.headers['content-type'], MODEL_CHARS_MAX);
	if (typeof found === 'string') return { code: 'IM_REQUEST_FORM', param: 'model', message: found };
	request.model = found.model;
	request.formModel = found.span;
	return setSession(request, {});
}

function parseBody(env: RouterEnv, body: Buffer, dialect: Dialect): Json | undefined {
	const { jsonUncheckedBytesMax, jsonDepthMax, jsonContainersMax } = env.options;
	// Most bodies are plain ASCII, and as Latin-1 such bytes become a string by being copied.
	const encoding = isAscii(body) ? 'latin1' : isUtf8(body) ? 'utf8' : undefined;
	if (encoding === undefined) return undefined;
	const json = env.longs.take(body, promptMembers(dialect));
	if (json.length > jsonUncheckedBytesMax && !isTame(json, jsonDepthMax, jsonContainersMax)) return undefined;
	try {
		const parsed: unknown = JSON.parse(json.toString(encoding));
		return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as Json) : undefined;
	} catch {
		return undefined;
	}
}

const members = new WeakMap<Dialect, PromptMembers>();

/** Members of a body from which long strings may be taken before it is parsed, and ids where there may be some: nothing is asked of these but the prompt. */
function promptMembers(dialect: Dialect): PromptMembers {
	let names = members.get(dialect);
	if (names === undefined)
		members.set(dialect, (names = new Map(dialect.prompt.map(({ member, as }) => [member, idsDepth(as)]))));
	return names;
}

function idsDepth(as: PromptField['as']): number {
	if (as === 'tensors') return IDS_DEPTH.tensors;
	return as === 'batch' || as === 'ids' ? IDS_DEPTH.lists : IDS_DEPTH.none;
}

function readGeneration(env: RouterEnv, request: BodyRequest, body: Json): void {
	const { dialect } = request;
	request.tokensOutMax = tokensOutMax(dialect, body);
	request.lora = request.loraHeader || key(body['lora_path'] ?? body['lora_name'] ?? body['lora']);
	if (dialect.responseIds) request.previousId = key(body['previous_response_id']);
	if (dialect.stream === 'body') request.stream = body['stream'] === true;
	if (!request.stream || !dialect.usageAskedByStreamOptions) return;
	const asked = body['stream_options'];
	request.streamOptions = asked;
	request.usageInjected = env.options.injectUsage && (asked as Json | null | undefined)?.['include_usage'] !== true;
}

function tokensOutMax({ tokensOutMax: places }: Dialect, body: Json): number {
	for (const path of places) {
		const given = member(body, path);
		if (given !== undefined && given !== null) return count(given);
	}
	return 0;
}

function member(body: Json, path: readonly string[]): unknown {
	let value: unknown = body;
	for (const name of path) value = typeof value === 'object' && value !== null ? (value as Json)[name] : undefined;
	return value;
}

function count(value: unknown): number {
	return typeof value === 'number' && value >= 1 && value <= 0xffff_ffff ? Math.floor(value) : 0;
}

function key(value: unknown): string {
	if (typeof value === 'number') return String(value);
	return typeof value === 'string' ? value.slice(0, KEY_CHARS_MAX) : '';
}

/** The session is what the client names most explicitly: a header, a place of its dialect (`sequence`, or in the body), session, cache key, user. */
export function setSession(request: RoutedRequest, body: Json, sequence = ''): undefined {
	request.session =
		request.sessionHeader ||
		sequence ||
		request.dialect.session.map((path) => key(member(body, path))).find((named) => named !== '') ||
		key(body['session_id']) ||
		key(body['prompt_cache_key']) ||
		key(body['user']);
	hashText(request.session, session);
	request.sessionLow = session.low;
	request.sessionHigh = session.high;
	return undefined;
}
