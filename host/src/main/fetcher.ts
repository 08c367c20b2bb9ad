// Owns the agent's GET requests to targets: bounded in time and size, over its own small connection pool.
import { Agent, request } from 'undici';
import type { Fetcher } from '../fleet/poller.js';

/** Makes a fetcher and the way to close its connections. */
export function createFetcher(): { readonly fetch: Fetcher; readonly close: () => Promise<void> } {
	const agent = new Agent({ connections: 2, pipelining: 1, keepAliveTimeout: 10_000, connect: { timeout: 2000 } });
	const fetch: Fetcher = async (url, { timeoutMs, bodyMaxBytes, apiKey }) => {
		const response = await request(url, {
			dispatcher: agent,
			signal: AbortSignal.timeout(timeoutMs),
			headers: { accept: 'text/plain', ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }) },
		});
		const chunks: Buffer[] = [];
		let bytes = 0;
		for await (const chunk of response.body as AsyncIterable<Buffer>) {
			bytes += chunk.length;
			if (bytes > bodyMaxBytes) {
				response.body.destroy();
				throw new RangeError(`the body of ${new URL(url).pathname} exceeds ${bodyMaxBytes} bytes`);
			}
			chunks.push(chunk);
		}
		return { status: response.statusCode, body: Buffer.concat(chunks, bytes).toString('utf8') };
	};
	return { fetch, close: () => agent.destroy() };
}
