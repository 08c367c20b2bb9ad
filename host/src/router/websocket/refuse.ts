// Owns the answer to a handshake that is refused: a plain HTTP response on the socket, which is closed with it.
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { refusalBody, refusalStatus } from '../error-body.js';
import type { Refusal } from '../errors.js';

export function refuseHandshake(socket: Duplex, refusal: Refusal, extra: readonly string[] = []): void {
	if (socket.destroyed || !socket.writable) {
		socket.destroy();
		return;
	}
	const status = refusalStatus(refusal);
	const body = refusalBody(refusal);
	const head = [
		`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
		'content-type: application/json',
		`content-length: ${Buffer.byteLength(body)}`,
		`x-infermesh-error: ${refusal.code}`,
		'connection: close',
		...extra,
	];
	if (refusal.code === 'IM_WEBSOCKET_HANDSHAKE') head.push('sec-websocket-version: 13');
	if (refusal.retryAfterS !== undefined) head.push(`retry-after: ${refusal.retryAfterS}`);
	if (refusal.allow !== undefined) head.push(`allow: ${refusal.allow}`);
	socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
