// Owns what a WebSocket handshake (RFC 6455 §4) says to the router, as pure functions: whether it is one, where it comes from, and with what key. Browsers
// cannot set headers on a WebSocket, so a key may also be offered as a subprotocol.
import type { IncomingHttpHeaders } from 'node:http';
import type { Refusal } from '../errors.js';

/** Subprotocol of the chat endpoint. */
export const CHAT_PROTOCOL = 'infermesh.chat.v1';

const KEY = /^[+/0-9A-Za-z]{22}==$/;
const PROTOCOLS_CHARS_MAX = 4096;
const PROTOCOL = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** How a key is offered among the subprotocols: as it is, in base64url where it has characters these may not have, and as OpenAI's clients do. */
const BEARER = 'bearer.';
const BEARER_BASE64 = 'bearer-base64.';
const OPENAI = 'openai-insecure-api-key.';

export interface Offer {
	/** Offered subprotocols without those that carry a key. */
	readonly protocols: readonly string[];
	/** An `authorization` value made of an offered key. */
	readonly authorization: string | undefined;
}

/** Undefined when this is a handshake that can be answered. */
export function handshakeFault(method: string | undefined, headers: IncomingHttpHeaders): Refusal | undefined {
	if (method !== 'GET') return { code: 'IM_REQUEST_METHOD', allow: 'GET' };
	if (headers['sec-websocket-version'] !== '13')
		return { code: 'IM_WEBSOCKET_HANDSHAKE', message: 'Only version 13 of the WebSocket protocol is spoken here.' };
	if (!KEY.test(headers['sec-websocket-key'] ?? '') || offerOf(headers) === undefined)
		return { code: 'IM_WEBSOCKET_HANDSHAKE' };
	return undefined;
}

/** What a client offers; undefined when it is no list of distinct names. */
export function offerOf(headers: IncomingHttpHeaders): Offer | undefined {
	const given = headers['sec-websocket-protocol'];
	if (given === undefined) return { protocols: [], authorization: undefined };
	if (given.length > PROTOCOLS_CHARS_MAX) return undefined;
	const names = given.split(',').map((name) => name.trim());
	if (new Set(names).size !== names.length || !names.every((name) => PROTOCOL.test(name))) return undefined;
	const key = names.map(keyIn).find((one) => one !== undefined);
	return {
		protocols: names.filter((name) => keyIn(name) === undefined),
		authorization: key === undefined ? undefined : `Bearer ${key}`,
	};
}

function keyIn(name: string): string | undefined {
	if (name.startsWith(BEARER_BASE64)) return Buffer.from(name.slice(BEARER_BASE64.length), 'base64url').toString();
	if (name.startsWith(BEARER)) return name.slice(BEARER.length);
	return name.startsWith(OPENAI) ? name.slice(OPENAI.length) : undefined;
}

const LOOPBACK = /^https?:\/\/(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/;

/** Whether a page of this origin may connect. Only browsers send one, and no page can forge it; other clients are known by their key alone. */
export function mayConnect(origin: string | undefined, allowed: readonly string[]): boolean {
	return origin === undefined || LOOPBACK.test(origin) || allowed.includes(origin) || allowed.includes('*');
}
