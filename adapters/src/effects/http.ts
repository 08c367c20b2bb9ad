// Owns the HTTP calls of adapters: one answer, bounded in time and size, with the times a measurement needs. Redirects are not followed: credentials
// must not travel to where an answer points.
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Clock } from '@infermesh/proto';
import type { HttpAnswer, HttpAsk, HttpCall } from './ports.js';

export function httpCaller(clock: Clock): HttpCall {
	return (ask) =>
		new Promise<HttpAnswer>((resolve, reject) => {
			const startedMs = clock.nowMs();
			const elapsed = (): number => clock.nowMs() - startedMs;
			const url = new URL(ask.url);
			if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new TypeError(`${url.protocol} is not HTTP`);
			const send = url.protocol === 'https:' ? requestHttps : requestHttp;
			const length = ask.body === undefined ? {} : { 'content-length': String(ask.body.length) };
			const call: ClientRequest = send(url, { method: ask.method, headers: { ...ask.headers, ...length } });
			const late = new DOMException(`no whole answer of ${url.host} in ${ask.timeoutMs} ms`, 'TimeoutError');
			const timer = clock.after(ask.timeoutMs, () => call.destroy(late));
			const fail = (error: Error): void => {
				timer.cancel();
				call.destroy();
				reject(error);
			};
			let sentMs = 0;
			call.once('finish', () => (sentMs = elapsed()));
			call.on('error', fail);
			call.once('response', (response) => {
				const headMs = elapsed();
				const headers = response.headers as Record<string, string>;
				const whole = (body: Uint8Array): void => {
					timer.cancel();
					resolve({ status: response.statusCode ?? 0, headers, body, sentMs, headMs, totalMs: elapsed() });
				};
				collect(response, ask, url.host).then(whole, fail);
			});
			call.end(ask.body);
		});
}

async function collect(response: IncomingMessage, { bodyMaxBytes }: HttpAsk, host: string): Promise<Uint8Array> {
	const pieces: Uint8Array[] = [];
	let bytes = 0;
	for await (const piece of response as AsyncIterable<Uint8Array>) {
		bytes += piece.length;
		if (bytes > bodyMaxBytes) throw new RangeError(`the answer of ${host} exceeds ${bodyMaxBytes} bytes`);
		pieces.push(piece);
	}
	return Buffer.concat(pieces, bytes);
}
