// Owns traffic whose answers can be checked: every request has a seed of its own, and the engines' text follows from the seed alone, so that
// a lost, cut, mixed or doubled answer shows in its content.
import { createHash } from 'node:crypto';
import { MODEL } from './mesh.js';

export interface Answer {
	readonly status: number;
	readonly text: string;
	/** Error code of a refusal, or of the event a broken stream ended with. */
	readonly error: string | undefined;
	readonly target: string;
	readonly strategy: string;
	readonly decision: string;
	readonly finish: string | undefined;
	/** The stream ended regularly. */
	readonly complete: boolean;
	readonly elapsedMs: number;
}

export interface Ask {
	readonly url: string;
	readonly seed: number;
	readonly tokens?: number;
	readonly stream?: boolean;
	/** False: the engine ends where it likes, at the latest after `tokens`. */
	readonly ignoreEos?: boolean;
	readonly model?: string;
	readonly prompt?: string;
	/** The LoRA adapter asked for. */
	readonly lora?: string;
	readonly headers?: Readonly<Record<string, string>>;
	readonly signal?: AbortSignal;
	/** Called when the answer begins, with the target that gives it. */
	readonly onTarget?: (target: string) => void;
	/** Called at the first content of a stream. */
	readonly onFirst?: () => void;
}

interface Chunk {
	readonly choices?: ReadonlyArray<{
		readonly delta?: { readonly content?: string };
		readonly message?: { readonly content?: string };
		readonly finish_reason?: string | null;
	}>;
	readonly error?: { readonly code?: string };
}

/** Sends one chat request and reads its answer to the end. Rejects only when the connection fails before an answer began. */
export async function ask(options: Ask): Promise<Answer> {
	const {
		url,
		seed,
		tokens = 12,
		stream = false,
		ignoreEos = true,
		model = MODEL,
		prompt = `question ${seed}`,
	} = options;
	const began = performance.now();
	const response = await fetch(`${url}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json', ...options.headers },
		body: JSON.stringify({
			model,
			seed,
			stream,
			max_tokens: tokens,
			ignore_eos: ignoreEos,
			...(options.lora === undefined ? {} : { lora_path: options.lora }),
			messages: [{ role: 'user', content: prompt }],
		}),
		...(options.signal === undefined ? {} : { signal: options.signal }),
	});
	const target = response.headers.get('x-infermesh-target') ?? '';
	options.onTarget?.(target);
	const read = stream && response.ok ? await readStream(response, options.onFirst) : await readWhole(response);
	return {
		status: response.status,
		target,
		strategy: response.headers.get('x-infermesh-strategy') ?? '',
		decision: response.headers.get('x-infermesh-decision') ?? '',
		elapsedMs: performance.now() - began,
		...read,
		error: read.error ?? response.headers.get('x-infermesh-error') ?? undefined,
	};
}

type Read = Pick<Answer, 'text' | 'error' | 'finish' | 'complete'>;

async function readWhole(response: Response): Promise<Read> {
	const body = (await response.json()) as Chunk;
	const choice = body.choices?.[0];
	return {
		text: choice?.message?.content ?? '',
		finish: choice?.finish_reason ?? undefined,
		error: body.error?.code,
		complete: response.ok,
	};
}

async function readStream(response: Response, onFirst: (() => void) | undefined): Promise<Read> {
	let text = '';
	let finish: string | undefined;
	let error: string | undefined;
	let complete = false;
	let rest = '';
	const decoder = new TextDecoder();
	try {
		for await (const bytes of response.body ?? []) {
			const events = (rest + decoder.decode(bytes as Uint8Array, { stream: true })).split('\n\n');
			rest = events.pop() ?? '';
			for (const event of events) {
				const data = event.replace(/^data: /, '');
				if (data === '[DONE]') {
					complete = true;
					continue;
				}
				const chunk = JSON.parse(data) as Chunk;
				error = chunk.error?.code ?? error;
				const choice = chunk.choices?.[0];
				if (text === '' && (choice?.delta?.content ?? '') !== '') onFirst?.();
				text += choice?.delta?.content ?? '';
				finish = choice?.finish_reason ?? finish;
			}
		}
	} catch (cause) {
		error ??= cause instanceof Error ? cause.name : String(cause);
	}
	return { text, finish, error, complete: complete && error === undefined };
}

/** What an answer of this seed and length says, learned from an engine directly and remembered. */
export class Oracle {
	readonly #url: string;
	readonly #texts = new Map<string, Promise<string>>();

	constructor(engineUrl: string) {
		this.#url = engineUrl;
	}

	text(seed: number, tokens = 12, model = MODEL): Promise<string> {
		const key = `${seed}/${tokens}`;
		const known = this.#texts.get(key) ?? ask({ url: this.#url, seed, tokens, model }).then(({ text }) => text);
		this.#texts.set(key, known);
		return known;
	}
}

/** A key for the data plane and its digest, as the configuration wants it. */
export function keyOf(text: string): { readonly key: string; readonly sha256: string } {
	return { key: text, sha256: createHash('sha256').update(text).digest('hex') };
}
