// Owns the bytes of a request head. Nothing a client sent may end a line of it early.
import { UpstreamFault } from './faults.js';
import { BAD_VALUE, fieldName } from './syntax.js';

export interface UpstreamRequest {
	readonly method: string;
	/** Path and query. */
	readonly path: string;
	/** Name and value pairs, without host, connection and length. */
	readonly headers: readonly string[];
	readonly body: Buffer | null;
}

/** What no path may have. */
export const BAD_PATH = /[^\x21-\x7e\x80-\xff]/;

/** Methods whose requests have a body by their nature: an empty one is said to be empty. */
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** The head, to be written as Latin-1. Throws UpstreamFault `invalid`. */
export function requestHead(request: UpstreamRequest, host: string): string {
	const { method, path, headers, body } = request;
	if (fieldName(method) === undefined) throw new UpstreamFault('invalid', 'the method is no token');
	if (!path.startsWith('/') || BAD_PATH.test(path))
		throw new UpstreamFault('invalid', 'the path has characters it may not have');
	let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
	for (let at = 0; at < headers.length; at += 2) {
		const name = headers[at] as string;
		const value = headers[at + 1] as string;
		if (fieldName(name) === undefined || BAD_VALUE.test(value))
			throw new UpstreamFault('invalid', 'a header is not valid');
		head += `${name}: ${value}\r\n`;
	}
	if (body !== null) return `${head}content-length: ${body.length}\r\n\r\n`;
	return WITH_BODY.has(method) ? `${head}content-length: 0\r\n\r\n` : `${head}\r\n`;
}
