// Owns the clients of the overload bench: requests of one tenant, closed loop (always so many open) or open loop (at a rate, whatever comes back), and
// what became of them: when each was answered, with how many tokens, or how it was refused.
import { Agent, request } from 'node:http';
import type { Random } from '@infermesh/proto';

export interface TenantLoad {
	readonly tenant: string;
	readonly weight: number;
	/** Output tokens of each of its requests. */
	readonly tokensOut: number;
}

export interface Answer {
	readonly tenant: string;
	readonly sentMs: number;
	readonly endMs: number;
	/** 0 when nobody answered. */
	readonly status: number;
	readonly code: string;
	readonly tokensIn: number;
	readonly tokensOut: number;
}

export interface ClientOptions {
	readonly model: string;
	readonly key: string | undefined;
	/** Every request is to be answered within this; 0 = whenever. */
	readonly deadlineMs: number;
}

const WORDS = 'the mesh sends every request where it is served best and keeps the rest in fair order ';
const PROMPT_CHARS = 400;

export class OverloadClient {
	readonly answers: Answer[] = [];
	readonly #options: ClientOptions;
	readonly #agent = new Agent({ keepAlive: true });
	#serial = 0;
	#stopped = false;

	constructor(options: ClientOptions) {
		this.#options = options;
	}

	/** Keeps `open` requests open at `port` until `stop`; sizes are drawn by `pick`. */
	closedLoop(port: number, open: number, pick: () => TenantLoad): void {
		const again = (): void => {
			if (!this.#stopped) void this.#ask(port, pick()).then(again);
		};
		for (let n = 0; n < open; n++) again();
	}

	/** Sends requests of one tenant for `durationMs`, with exponential gaps from intended send times. */
	async openLoop(port: number, load: TenantLoad, ratePerS: number, durationMs: number, random: Random): Promise<void> {
		const fromMs = performance.now();
		let atMs = 0;
		while (atMs < durationMs && !this.#stopped) {
			atMs += (-Math.log(1 - random.nextFloat()) / ratePerS) * 1000;
			const waitMs = fromMs + atMs - performance.now();
			if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
			void this.#ask(port, load);
		}
	}

	/** Cuts everything that is open. */
	stop(): void {
		this.#stopped = true;
		this.#agent.destroy();
	}

	#ask(port: number, { tenant, tokensOut }: TenantLoad): Promise<void> {
		const { model, key, deadlineMs } = this.#options;
		const serial = this.#serial++;
		const content = `${serial} ${WORDS.repeat(8)}`.slice(0, PROMPT_CHARS);
		const body = JSON.stringify({
			model,
			messages: [{ role: 'user', content }],
			max_tokens: tokensOut,
			ignore_eos: true,
		});
		const headers = {
			'content-type': 'application/json',
			'content-length': String(body.length),
			'x-infermesh-tenant': tenant,
			...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
			...(deadlineMs === 0 ? {} : { 'x-infermesh-deadline-ms': String(deadlineMs) }),
		};
		const sentMs = performance.now();
		return new Promise((resolve) => {
			const settle = (status: number, code: string, text: string): void => {
				const usage = status === 200 ? usageOf(text) : { tokensIn: 0, tokensOut: 0 };
				this.answers.push({ tenant, sentMs, endMs: performance.now(), status, code, ...usage });
				resolve();
			};
			const sent = request(
				{ host: '127.0.0.1', port, method: 'POST', path: '/v1/chat/completions', headers, agent: this.#agent },
				(response) => {
					let text = '';
					response.setEncoding('utf8');
					response.on('data', (part: string) => (text += part));
					response.on('end', () =>
						settle(response.statusCode ?? 0, String(response.headers['x-infermesh-error'] ?? ''), text),
					);
					response.on('error', () => settle(0, '', ''));
				},
			);
			sent.on('error', () => settle(0, '', ''));
			sent.end(body);
		});
	}
}

function usageOf(text: string): { readonly tokensIn: number; readonly tokensOut: number } {
	const { usage } = JSON.parse(text) as { usage: { prompt_tokens: number; completion_tokens: number } };
	return { tokensIn: usage.prompt_tokens, tokensOut: usage.completion_tokens };
}
