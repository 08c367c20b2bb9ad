// Owns reading a bounded body from a request and writing JSON and errors to a response, in the shapes OpenAI clients
// expect.
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../errors.js';

/**
 * Reads the whole body; rejects with `IM_ENGINE_BODY_TOO_LARGE` as soon as it is known to exceed `bytesMax`. The rest
 * of such a body is thrown away unread by Node once the answer is out, so that the client gets to see the answer; the
 * request time-out bounds it.
 */
export function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
	return new Promise((resolve, reject) => {
		const chunks: Buffer[] = [];
		let bytes = 0;
		const refuse = (): void => {
			request.off('data', take);
			reject(tooLarge(bytesMax));
		};
		const take = (chunk: Buffer): void => {
			bytes += chunk.length;
			if (bytes > bytesMax) refuse();
			else chunks.push(chunk);
		};
		if (Number(request.headers['content-length'] ?? 0) > bytesMax) {
			refuse();
			return;
		}
		request.on('data', take);
		request.once('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
		request.once('error', reject);
		request.once('close', () => reject(new Error('the client went away while sending')));
	});
}

/** Reads a JSON object; throws `IM_ENGINE_REQUEST_INVALID` for anything else. */
export async function readJsonObject(request: IncomingMessage, bytesMax: number): Promise<Record<string, unknown>> {
	const body = await readBody(request, bytesMax);
	let parsed: unknown;
	try {
		parsed = JSON.parse(body.toString('utf8'));
	} catch (cause) {
		throw new MeshError(engineErrors, 'IM_ENGINE_REQUEST_INVALID', 'the body is not valid JSON', { cause });
	}
	if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
		throw new MeshError(engineErrors, 'IM_ENGINE_REQUEST_INVALID', 'the body must be a JSON object');
	}
	return parsed as Record<string, unknown>;
}

export function sendJson(
	response: ServerResponse,
	status: number,
	value: unknown,
	headers: OutgoingHttpHeaders = {},
): void {
	sendText(response, status, JSON.stringify(value), { 'content-type': 'application/json', ...headers });
}

export function sendText(response: ServerResponse, status: number, text: string, headers: OutgoingHttpHeaders): void {
	if (response.headersSent || response.destroyed) return;
	response.writeHead(status, { 'content-length': Buffer.byteLength(text), ...headers });
	response.end(text);
}

/** Answers with an error in OpenAI's shape; `param` is the field at fault. */
export function sendError(response: ServerResponse, error: MeshError): void {
	const { httpStatus } = error.entry;
	const status = typeof error.details?.['status'] === 'number' ? error.details['status'] : httpStatus;
	const headers: OutgoingHttpHeaders = { 'x-infermesh-error': error.code };
	if (error.entry.retryable && status === 503) headers['retry-after'] = '1';
	if (typeof error.details?.['allow'] === 'string') headers['allow'] = error.details['allow'];
	sendJson(response, status, errorBody(error, status), headers);
}

function errorBody(error: MeshError, status: number): unknown {
	return {
		error: {
			message: error.message,
			type: errorType(status),
			param: error.where ?? null,
			code: error.entry.openaiCode ?? null,
		},
	};
}

function errorType(status: number): string {
	switch (status) {
		case 401:
			return 'authentication_error';
		case 403:
			return 'permission_error';
		case 429:
			return 'rate_limit_error';
		default:
			return status >= 500 ? 'server_error' : 'invalid_request_error';
	}
}

function tooLarge(bytesMax: number): MeshError {
	return new MeshError(engineErrors, 'IM_ENGINE_BODY_TOO_LARGE', `the body is larger than ${bytesMax} bytes`);
}
