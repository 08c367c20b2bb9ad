// Owns the OpenAI error shape: `{"error": {"message", "type", "param", "code"}}`, made from a refusal or kept from an engine's own
// body. Nothing an engine says is passed on unless it already has a message meant for clients.
import { type Refusal, type RouterErrorCode, routerErrors } from './errors.js';

/** OpenAI's error type for a status. */
export function errorType(status: number): string {
	if (status === 401) return 'authentication_error';
	if (status === 403) return 'permission_error';
	if (status === 429) return 'rate_limit_error';
	return status >= 500 ? 'server_error' : 'invalid_request_error';
}

export function refusalStatus(refusal: Refusal): number {
	return refusal.status ?? routerErrors[refusal.code].httpStatus;
}

/** The JSON text of a refusal. */
export function refusalBody(refusal: Refusal): string {
	const entry: { readonly summary: string; readonly hint: string; readonly openaiCode?: string } =
		routerErrors[refusal.code];
	return JSON.stringify({
		error: {
			message: `${refusal.message ?? entry.summary} ${entry.hint}`,
			type: errorType(refusalStatus(refusal)),
			param: refusal.param ?? null,
			code: entry.openaiCode ?? refusal.code,
		},
	});
}

/** One server-sent event that tells a client its stream is cut. No `[DONE]` follows. */
export function errorEvent(code: RouterErrorCode): string {
	const entry = routerErrors[code];
	const error = { message: `${entry.summary} ${entry.hint}`, type: 'server_error', param: null, code };
	return `data: ${JSON.stringify({ error })}\n\n`;
}

const MESSAGE_CHARS_MAX = 4096;

/**
 * An engine's error body in OpenAI shape. Returned unchanged (same buffer) when it has that shape already; wrapped when it is one of the
 * shapes engines are known to use (`message` at the top, `detail`, `error` as text); undefined when it says nothing usable.
 */
export function openaiErrorBody(body: Buffer, status: number): Buffer | undefined {
	let parsed: unknown;
	try {
		parsed = JSON.parse(body.toString('utf8'));
	} catch {
		return undefined;
	}
	if (typeof parsed !== 'object' || parsed === null) return undefined;
	const { error, message, detail, type, code } = parsed as Readonly<Record<string, unknown>>;
	if (typeof error === 'object' && error !== null) return body;
	const text =
		[error, message, detail].find((value) => typeof value === 'string') ??
		(detail === undefined ? undefined : JSON.stringify(detail));
	if (typeof text !== 'string') return undefined;
	return Buffer.from(
		JSON.stringify({
			error: {
				message: text.slice(0, MESSAGE_CHARS_MAX),
				type: typeof type === 'string' ? type : errorType(status),
				param: null,
				code: typeof code === 'string' ? code : null,
			},
		}),
	);
}
