// Owns the messages of the chat socket, as text: reading a client's, writing the router's. Pure. The chat body inside a message is taken out as the bytes it was
// sent as. The protocol is described in docs/protocols.md.
import { isTame, prependMember, topLevelValue } from '../json-bytes.js';

export interface ChatRequest {
	readonly type: 'chat';
	readonly id: string;
	/** Body of a chat completion. */
	readonly body: Buffer;
	/** Name and value pairs. */
	readonly headers: readonly string[];
}

export interface ChatCancel {
	readonly type: 'cancel';
	readonly id: string;
}

type Json = Readonly<Record<string, unknown>>;

const ID_CHARS_MAX = 128;
const HEADERS_MAX = 16;
const HEADER_CHARS_MAX = 1024;
const OWN_HEADER = /^x-infermesh-[a-z-]{1,64}$/;
const HEADER_VALUE = /^[\x20-\x7e]*$/;

export interface JsonBounds {
	readonly jsonDepthMax: number;
	readonly jsonContainersMax: number;
}

/** A client's message; or, as text, what is wrong with it. */
export function readMessage(data: Buffer, bounds: JsonBounds): ChatRequest | ChatCancel | string {
	if (!isTame(data, bounds.jsonDepthMax, bounds.jsonContainersMax)) return 'The message nests too deeply.';
	let message: unknown;
	try {
		message = JSON.parse(data.toString('utf8'));
	} catch {
		return 'The message is not valid JSON.';
	}
	if (typeof message !== 'object' || message === null) return 'A message is a JSON object.';
	const { type, id, request, headers } = message as Json;
	if (typeof id !== 'string' || id === '' || id.length > ID_CHARS_MAX) return '`id` must be a short text.';
	if (type === 'cancel') return { type, id };
	if (type !== 'chat') return '`type` must be chat or cancel.';
	if (typeof request !== 'object' || request === null || Array.isArray(request)) return '`request` must be an object.';
	const pairs = headerPairs(headers);
	if (typeof pairs === 'string') return pairs;
	const span = topLevelValue(data, 'request');
	if (span === undefined) return '`request` must be an object.';
	const body = data.subarray(span.start, span.end);
	return { type, id, body: 'stream' in request ? body : prependMember(body, '"stream":true'), headers: pairs };
}

/** Headers of the mesh's own that a message may carry, since a browser cannot send any. */
function headerPairs(headers: unknown): string[] | string {
	if (headers === undefined) return [];
	if (typeof headers !== 'object' || headers === null) return '`headers` must be an object.';
	const entries = Object.entries(headers);
	if (entries.length > HEADERS_MAX) return `\`headers\` must have at most ${HEADERS_MAX} entries.`;
	for (const [name, value] of entries) {
		if (!OWN_HEADER.test(name)) return '`headers` may only have names that begin with x-infermesh-.';
		if (typeof value !== 'string' || value.length > HEADER_CHARS_MAX || !HEADER_VALUE.test(value))
			return '`headers` must have short texts as values.';
	}
	return entries.flat() as string[];
}

/** The text of a message to the client. `json` members are JSON text already. */
export function serverMessage(type: string, id: string, json: Readonly<Record<string, string>> = {}): string {
	let text = `{"type":"${type}","id":${JSON.stringify(id)}`;
	for (const name in json) text += `,"${name}":${json[name]}`;
	return `${text}}`;
}
