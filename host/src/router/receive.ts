// Owns the receive stage: the request body, within the bound of one request and within that of the whole router. How long it may
// take is the server's requestTimeout.
import { BodyParts, tooFine } from './body-parts.js';
import { EMPTY } from './body-request.js';
import type { RouterEnv } from './env.js';
import type { Refusal } from './errors.js';
import type { Exchange } from './exchange.js';

/** Collects the body, then calls `done` once. Never calls it when the client goes away first: the response's close tells of that. */
export function receive(env: RouterEnv, exchange: Exchange, done: (refusal: Refusal | undefined) => void): void {
	const { req } = exchange;
	const declared = req.headers['content-length'];
	if (!hasBody(exchange, declared)) return done(undefined);
	const length = declared === undefined ? 0 : Number(declared);
	const refusal = tooMuch(env, length, length);
	if (refusal !== undefined) return done(refusal);
	// Node's parser sees to it that a body of HTTP/1.1 comes in time.
	exchange.receiving = exchange.stream2 !== undefined;
	const body = new BodyParts();
	const firstWireByte = req.socket.bytesRead;
	let bytes = 0;
	let over = false;
	req.on('data', (chunk: Buffer) => {
		if (over) return;
		bytes += chunk.length;
		const wireBytes = exchange.stream2 === undefined ? req.socket.bytesRead - firstWireByte : 0;
		const refusal = tooMuch(env, bytes, chunk.length) ?? tooFine(bytes, body.added, wireBytes);
		if (refusal !== undefined) {
			over = true;
			exchange.receiving = false;
			body.drop();
			return done(refusal);
		}
		env.bodyBytes += chunk.length;
		exchange.bodyBytes += chunk.length;
		body.add(chunk);
	});
	req.on('end', () => {
		exchange.receiving = false;
		if (over || exchange.finished) return;
		exchange.body = body.whole(bytes);
		// The listeners live as long as the response: what they hold would be held with them.
		body.drop();
		done(undefined);
	});
}

function hasBody({ req, stream2 }: Exchange, declared: string | undefined): boolean {
	if (stream2 !== undefined) return !stream2.endAfterHeaders;
	return declared !== undefined || req.headers['transfer-encoding'] !== undefined;
}

/** Forgets the body: it has been sent and will not be sent again. */
export function dropBody(env: RouterEnv, exchange: Exchange): void {
	env.bodyBytes -= exchange.bodyBytes;
	exchange.bodyBytes = 0;
	exchange.body = EMPTY;
	exchange.sentBody = undefined;
}

function tooMuch(env: RouterEnv, bytes: number, more: number): Refusal | undefined {
	const { bodyBytesMax, bodyBytesTotalMax, saturatedRetryAfterS } = env.options;
	if (bytes > bodyBytesMax)
		return { code: 'IM_REQUEST_BODY_SIZE', message: `The request body is larger than ${bodyBytesMax} bytes.` };
	if (env.bodyBytes + more > bodyBytesTotalMax)
		return { code: 'IM_ROUTE_SATURATED', retryAfterS: saturatedRetryAfterS };
	return undefined;
}
