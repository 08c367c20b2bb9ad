// Owns the shapes of errors: OpenAI's `{"error": {"message", "type", "param", "code"}}`, and those of the other dialects; made from a refusal or kept from an
// engine's own body. Nothing an engine says is passed on unless it already has a message meant for clients.
import type { ErrorShape } from '@infermesh/adapters';
import { type Refusal, type RouterErrorCode, routerErrors } from './errors.js';

type Json = Readonly<Record<string, unknown>>;

/** What an error says, before it has a shape. */
interface ErrorFacts {
	readonly status: number;
	readonly message: string;
	readonly param: string | null;
	readonly code: string | null;
}

/** OpenAI's error type for a status. */
export function errorType(status: number): string {
	if (status === 401) return 'authentication_error';
	if (status === 403) return 'permission_error';
	if (status === 429) return 'rate_limit_error';
	return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** Anthropic's. */
function anthropicType(status: number): string {
	if (status === 404) return 'not_found_error';
	if (status === 413) return 'request_too_large';
	if (status === 503 || status === 529) return 'overloaded_error';
	return status >= 500 ? 'api_error' : errorType(status);
}

/** TGI's `error_type`. */
function tgiType(status: number): string {
	if (status === 429 || status === 503) return 'overloaded';
	return status >= 500 ? 'generation' : 'validation';
}

const shapes: Readonly<Record<ErrorShape, (facts: ErrorFacts) => Json>> = {
	openai: ({ status, message, param, code }) => ({ error: { message, type: errorType(status), param, code } }),
	anthropic: ({ status, message }) => ({ type: 'error', error: { type: anthropicType(status), message } }),
	text: ({ message }) => ({ error: message }),
	tgi: ({ status, message }) => ({ error: message, error_type: tgiType(status) }),
	torchserve: ({ status, message, code }) => ({ code: status, type: code ?? 'InternalServerException', message }),
};

export function refusalStatus(refusal: Refusal): number {
	return refusal.status ?? routerErrors[refusal.code].httpStatus;
}

/** The JSON text of a refusal. */
export function refusalBody(refusal: Refusal, shape: ErrorShape = 'openai'): string {
	const entry: { readonly summary: string; readonly hint: string; readonly openaiCode?: string } =
		routerErrors[refusal.code];
	const facts: ErrorFacts = {
		status: refusalStatus(refusal),
		message: `${refusal.message ?? entry.summary} ${entry.hint}`,
		param: refusal.param ?? null,
		code: shape === 'openai' ? (entry.openaiCode ?? refusal.code) : refusal.code,
	};
	return JSON.stringify(shapes[shape](facts));
}

/** One server-sent event that tells a client its stream is cut. No `[DONE]` follows. */
export function errorEvent(code: RouterErrorCode, shape: ErrorShape = 'openai'): string {
	const { summary, hint } = routerErrors[code];
	const facts: ErrorFacts = { status: CUT_STATUS, message: `${summary} ${hint}`, param: null, code };
	const name = shape === 'anthropic' ? 'event: error\n' : '';
	return `${name}data: ${JSON.stringify(shapes[shape](facts))}\n\n`;
}

/** A stream that is cut failed on the server's side, whatever status its code has before a stream begins. */
const CUT_STATUS = 500;
const MESSAGE_CHARS_MAX = 4096;

/**
 * An engine's error body in the shape of the dialect. Returned unchanged (same buffer) when it has that shape already; made anew when it is one of those
 * engines are known to use (`message` at the top, `detail`, `error` as text or as an object); undefined when it says nothing usable.
 */
export function upstreamErrorBody(body: Buffer, status: number, shape: ErrorShape = 'openai'): Buffer | undefined {
	let parsed: unknown;
	try {
		parsed = JSON.parse(body.toString('utf8'));
	} catch {
		return undefined;
	}
	if (typeof parsed !== 'object' || parsed === null) return undefined;
	const given = parsed as Json;
	if (hasShape(given, shape)) return body;
	const { error, message, detail, code } = given;
	const inner = typeof error === 'object' && error !== null ? (error as Json)['message'] : error;
	const text =
		[inner, message, detail].find((value) => typeof value === 'string') ??
		(detail === undefined ? undefined : JSON.stringify(detail));
	if (typeof text !== 'string') return undefined;
	const facts: ErrorFacts = {
		status,
		message: text.slice(0, MESSAGE_CHARS_MAX),
		param: null,
		code: typeof code === 'string' ? code : null,
	};
	return Buffer.from(JSON.stringify(withType(shapes[shape](facts), given['type'], shape)));
}

function hasShape({ type, error, message, error_type: kind }: Json, shape: ErrorShape): boolean {
	const isObject = typeof error === 'object' && error !== null;
	if (shape === 'openai') return isObject;
	if (shape === 'anthropic') return isObject && type === 'error';
	if (shape === 'tgi' && typeof kind !== 'string') return false;
	return shape === 'torchserve' ? typeof message === 'string' : typeof error === 'string';
}

/** OpenAI's shape keeps the type an engine gives. */
function withType(shaped: Json, type: unknown, shape: ErrorShape): Json {
	if (shape !== 'openai' || typeof type !== 'string') return shaped;
	return { error: { ...(shaped['error'] as Json), type } };
}
