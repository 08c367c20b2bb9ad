// Owns what makes an HTTP/2 stream an HTTP exchange: Node's own request and response over a stream, which the pipeline's stages use as they do those of
// HTTP/1.1, and the few things that differ. Connection-specific fields are never sent (RFC 9113 §8.2.2).
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
	constants,
	Http2ServerRequest,
	Http2ServerResponse,
	type IncomingHttpHeaders,
	type ServerHttp2Stream,
} from 'node:http2';

export interface Http2Exchange {
	readonly req: IncomingMessage;
	readonly res: ServerResponse;
}

/** Request and response of a stream; `expect: 100-continue` is answered for a body within `bodyBytesMax`. */
export function exchangeOf(
	stream: ServerHttp2Stream,
	headers: IncomingHttpHeaders,
	rawHeaders: readonly string[],
	bodyBytesMax: number,
): Http2Exchange {
	const req = new Http2ServerRequest(stream, headers, {}, rawHeaders);
	const res = new Http2ServerResponse(stream);
	if (headers['expect'] === '100-continue' && Number(headers['content-length'] ?? 0) <= bodyBytesMax)
		stream.additionalHeaders({ [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_CONTINUE });
	return { req: req as unknown as IncomingMessage, res: res as unknown as ServerResponse };
}

/** Resets a stream so that no client takes what it has for whole. */
export function resetStream(stream: ServerHttp2Stream): void {
	if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
}

/** Once the answer is out, tells a client that it need not send the rest of its request (RFC 9113 §8.1). */
export function stopUpload(stream: ServerHttp2Stream): void {
	const stop = (): void => stream.close(constants.NGHTTP2_NO_ERROR);
	if (stream.writableFinished) stop();
	else stream.once('finish', stop);
}
