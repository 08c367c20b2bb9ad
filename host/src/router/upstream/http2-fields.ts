// Owns header fields on their way between HTTP/1.1's form and that of HTTP/2: pairs become a record for `node:http2`, what it read becomes what the
// stages after it read. Nothing of a field may mean more in the one form than in the other.
import { constants, type IncomingHttpHeaders } from 'node:http2';
import { UpstreamFault } from './faults.js';
import { BAD_PATH, type UpstreamRequest } from './request-head.js';
import type { ResponseHeaders } from './response-parser.js';
import { BAD_VALUE, TOKEN } from './syntax.js';

export type FieldRecord = Record<string, string | string[]>;

/** Adds name and value pairs, names in lower case; one that comes again becomes a list. */
export function addFields(record: FieldRecord, pairs: readonly string[]): void {
	for (let at = 0; at < pairs.length; at += 2) {
		const name = pairs[at] as string;
		const value = pairs[at + 1] as string;
		const known = record[name];
		if (known === undefined) record[name] = value;
		else record[name] = Array.isArray(known) ? [...known, value] : [known, value];
	}
}

/** The head of a request; authority and scheme are the session's. Throws UpstreamFault `invalid`. */
export function requestFields({ method, path, headers, body }: UpstreamRequest): FieldRecord {
	if (!TOKEN.test(method)) throw new UpstreamFault('invalid', 'the method is no token');
	if (!path.startsWith('/') || BAD_PATH.test(path))
		throw new UpstreamFault('invalid', 'the path has characters it may not have');
	for (let at = 0; at < headers.length; at += 2)
		if (!TOKEN.test(headers[at] as string) || BAD_VALUE.test(headers[at + 1] as string))
			throw new UpstreamFault('invalid', 'a header is not valid');
	const record = Object.create(null) as FieldRecord;
	record[constants.HTTP2_HEADER_METHOD] = method;
	record[constants.HTTP2_HEADER_PATH] = path;
	addFields(record, headers);
	if (body !== null) record['content-length'] = String(body.length);
	return record;
}

/** The head of a response without its pseudo fields. Throws UpstreamFault `protocol` for values that HTTP/1.1 cannot carry. */
export function responseFields(headers: IncomingHttpHeaders): ResponseHeaders {
	const fields = Object.create(null) as ResponseHeaders;
	for (const name of Object.keys(headers)) {
		if (name.startsWith(':')) continue;
		const value = headers[name];
		const bad = Array.isArray(value) ? value.some((one) => BAD_VALUE.test(one)) : BAD_VALUE.test(value ?? '');
		if (bad || !TOKEN.test(name)) throw new UpstreamFault('protocol', 'a header of the answer is not valid');
		fields[name] = value;
	}
	return fields;
}
