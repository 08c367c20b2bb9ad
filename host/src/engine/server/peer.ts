// Owns the question one emulated engine puts to another: how much of a prompt's KV it can hand over. Bounded in time and size.
import { request as httpRequest } from 'node:http';
import type { SelfAddress } from './kv-transfer.js';

export interface PeerQuestion {
	/** Name of a prefill that was announced. */
	readonly key?: string;
	/** The prefill may still be under way. */
	readonly wait?: boolean;
	readonly waitMs?: number;
	/** Hash chain of a prompt. */
	readonly chain?: readonly number[];
}

const ANSWER_BYTES_MAX = 64 * 1024;

/** Tokens that can be handed over. Rejects when the peer has none to give, does not answer in `timeoutMs`, or is not there. */
export function askPeer(peer: SelfAddress, question: PeerQuestion, timeoutMs: number): Promise<number> {
	return new Promise((resolve, reject) => {
		const body = JSON.stringify(question);
		const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
		const request = httpRequest(
			{ host: peer.host, port: peer.port, path: '/_kv', method: 'POST', headers, agent: false, timeout: timeoutMs },
			(response) => {
				const chunks: Buffer[] = [];
				let bytes = 0;
				response.on('data', (chunk: Buffer) => {
					bytes += chunk.length;
					if (bytes > ANSWER_BYTES_MAX) request.destroy(new Error('the peer says too much'));
					else chunks.push(chunk);
				});
				response.once('error', reject);
				response.once('end', () => {
					const tokens = tokensOf(Buffer.concat(chunks).toString('utf8'));
					if (response.statusCode === 200 && tokens !== undefined) resolve(tokens);
					else reject(new Error(`the peer answered ${response.statusCode}`));
				});
			},
		);
		request.once('timeout', () => request.destroy(new Error('the peer did not answer in time')));
		request.once('error', reject);
		request.end(body);
	});
}

function tokensOf(text: string): number | undefined {
	try {
		const { tokens } = JSON.parse(text) as { readonly tokens?: unknown };
		return typeof tokens === 'number' && Number.isSafeInteger(tokens) && tokens >= 0 ? tokens : undefined;
	} catch {
		return undefined;
	}
}
